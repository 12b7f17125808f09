/** silu(gate) · up for every token, as inputs of the matrix product that follows. */
import type { GpuAbilities } from './gpu.ts';
import { emit, inputBindings, type InputKind } from './inputs.ts';

/** Bindings: gate and up side by side [tokens, 2 · width], inputs. Workgroups: ⌈groups / 64⌉ by tokens. */
export const siluTimes = ({ width, inputs }: { readonly width: number; readonly inputs: InputKind }, able: GpuAbilities): string => {
  const groups = Math.ceil(width / 32);
  return `
@group(0) @binding(0) var<storage, read> x: array<f32>;
${inputBindings(inputs, 1, 'read_write')}
${emit(inputs, able)}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${groups}u) { return; }
  let base = id.y * ${2 * width}u;
  var v: array<vec4f, 8>;
  for (var i = 0u; i < 32u; i++) {
    let column = id.x * 32u + i;
    if (column < ${width}u) {
      let gate = x[base + column];
      // exp of what is never positive: a large gate does not overflow.
      let e = exp(-abs(gate));
      v[i >> 2u][i & 3u] = gate * select(1.0, e, gate < 0.0) / (1.0 + e) * x[base + ${width}u + column];
    }
  }
  emit(id.y * ${groups}u + id.x, v);
}`;
};
