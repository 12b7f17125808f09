/** Rows of the embedding matrix, one a token. */
import { groupValues, isLowBit, matrixBindings, matrixBuffers, type MatrixLayout } from './matrix-layout.ts';

/** Bindings: matrix, token ids, x [tokens, groups · 32]. Workgroups: ⌈groups / 64⌉ by tokens. */
export const embed = (layout: MatrixLayout, groups: number): string => {
  const from = matrixBuffers(layout);
  const value = layout.endsWith('-minima') ? 'v[i] * s.x - s.y' : layout === 'eight-halves' ? 'v[i] * select(s.x, s.y, i >= 4u)' : isLowBit(layout) ? 'v[i] * s.x' : 'v[i]';
  return `
${matrixBindings(layout, 0, 'vec4u')}
@group(0) @binding(${from}) var<storage, read> ids: array<u32>;
@group(0) @binding(${from + 1}) var<storage, read_write> x: array<vec4f>;
${groupValues(layout)}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${groups}u) { return; }
  let at = ids[id.y] * ${groups}u + id.x;
  let v = values(at);
  ${isLowBit(layout) ? 'let s = side(at);' : ''}
  for (var i = 0u; i < 8u; i++) { x[(id.y * ${groups}u + id.x) * 8u + i] = ${value}; }
}`;
};
