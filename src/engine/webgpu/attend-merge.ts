/** What parts of a cache left of attention, merged, as inputs of the matrix product that follows. */
import { leftFloats, partTokens, stateBinding } from './attention-shape.ts';
import type { GpuAbilities } from './gpu.ts';
import { emit, inputBindings, type InputKind } from './inputs.ts';

/** Bindings: state, left, inputs [tokens, groups · 32]. Workgroups: ⌈heads · headDim / 32⌉ by tokens. */
export const attendMerge = ({ heads, headDim, inputs }: { readonly heads: number; readonly headDim: number; readonly inputs: InputKind }, able: GpuAbilities): string => {
  const groups = Math.ceil((heads * headDim) / 32);
  const left = leftFloats(headDim);
  return `
${stateBinding(0)}
@group(0) @binding(1) var<storage, read> left: array<f32>;
${inputBindings(inputs, 2, 'read_write')}
${emit(inputs, able)}
var<workgroup> row: array<f32, 32>;
@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = id.x * 32u + lane;
  let head = column / ${headDim}u;
  var value = 0.0;
  if (head < ${heads}u) {
    let base = (id.y * ${heads}u + head) * ${left}u;
    let next = ${partTokens * heads * left}u;
    var top = left[base + ${headDim}u];
    for (var p = 1u; p < state.parts; p++) { top = max(top, left[base + p * next + ${headDim}u]); }
    var total = 0.0;
    for (var p = 0u; p < state.parts; p++) {
      let fade = exp(left[base + p * next + ${headDim}u] - top);
      total += fade * left[base + p * next + ${headDim + 1}u];
      value += fade * left[base + p * next + column % ${headDim}u];
    }
    value /= total;
  }
  row[lane] = value;
  workgroupBarrier();
  if (lane != 0u) { return; }
  var v: array<vec4f, 8>;
  for (var i = 0u; i < 32u; i++) { v[i >> 2u][i & 3u] = row[i]; }
  emit(id.y * ${groups}u + id.x, v);
}`;
};
