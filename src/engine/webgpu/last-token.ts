/** The vector of the last token, by itself. */
import { stateBinding } from './attention-shape.ts';

/** Bindings: state, x [tokens, width], last [width]. Workgroups: ⌈width / 64⌉. */
export const lastToken = (width: number): string => `
${stateBinding(0)}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> last: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < ${width}u) { last[id.x] = x[(state.tokens - 1u) * ${width}u + id.x]; }
}`;
