/** Rows of the embedding matrix, one a token. */
import { groupValues } from './matrix-codes.ts';
import { isLowBit, matrixBindings, matrixBuffers, scaledValue, type MatrixLayout } from './matrix-layout.ts';
import { openTable, opensTable } from './matrix-table.ts';

/** Bindings: matrix, token ids, x [tokens, groups · 32]. Workgroups: ⌈groups / 64⌉ by tokens. */
export const embed = (layout: MatrixLayout, groups: number): string => {
  const from = matrixBuffers(layout);
  return `
${matrixBindings(layout, 0, 'vec4u')}
@group(0) @binding(${from}) var<storage, read> ids: array<u32>;
@group(0) @binding(${from + 1}) var<storage, read_write> x: array<vec4f>;
${openTable(layout, false)}
${groupValues(layout)}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  ${opensTable(layout)}
  if (id.x >= ${groups}u) { return; }
  let at = ids[id.y] * ${groups}u + id.x;
  let v = values(at);
  ${isLowBit(layout) ? 'let s = side(at);' : ''}
  for (var i = 0u; i < 8u; i++) { x[(id.y * ${groups}u + id.x) * 8u + i] = ${scaledValue(layout, 'v[i]', 'i >= 4u')}; }
}`;
};
