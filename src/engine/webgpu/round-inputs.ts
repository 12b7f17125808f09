/** Float tokens as inputs of matrix products. */
import type { GpuAbilities } from './gpu.ts';
import { emit, inputBindings, type InputKind } from './inputs.ts';

/** Bindings: floats [tokens, groups · 32], inputs. Workgroups: ⌈tokens · groups / 64⌉. */
export const roundInputs = (kind: InputKind, able: GpuAbilities): string => `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
${inputBindings(kind, 1, 'read_write')}
${emit(kind, able)}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x * 8u >= arrayLength(&x)) { return; }
  var v: array<vec4f, 8>;
  for (var i = 0u; i < 8u; i++) { v[i] = x[id.x * 8u + i]; }
  emit(id.x, v);
}`;
