/**
 * Queries, keys and values of tokens after their products: queries and keys are normalised per head where the model says
 * so and turned by their positions; keys and values go to the cache.
 *   keys    [kvHeads][headDim / n][context] of n dimensions in 16 bytes: neighbours in position lie together
 *   values  [kvHeads][context][headDim]
 */
import { keyDims, stateBinding, type AttentionShape } from './attention-shape.ts';
import type { GpuAbilities } from './gpu.ts';
import { reduction, subgroupArguments, subgroupParameters } from './workgroup-sum.ts';

const threads = 64;

export interface Rotation extends AttentionShape {
  readonly rope: boolean;
  /** ε of the norms of queries and keys, where there are norms. */
  readonly norm?: number;
}

/** Bindings: state, [tokens, (heads + 2 · kvHeads) · headDim], keys, values, angles (cos, sin) [context, headDim / 2], norm weights of queries and keys. Workgroups: heads + 2 · kvHeads by tokens. */
export const rotate = ({ heads, kvHeads, headDim, context, cache, rope, norm }: Rotation, able: GpuAbilities): string => {
  const stride = (heads + 2 * kvHeads) * headDim;
  const n = keyDims(cache);
  const half = headDim / 2;
  const element = cache === 'half' ? 'vec4u' : 'vec4f';
  const packed = (read: string): string => (cache === 'half' ? `vec4u(${[0, 2, 4, 6].map((i) => `pack2x16float(vec2f(${read.replaceAll('#', `${i}u`)}, ${read.replaceAll('#', `${i + 1}u`)}))`).join(', ')})`
    : `vec4f(${[0, 1, 2, 3].map((i) => read.replaceAll('#', `${i}u`)).join(', ')})`);
  return `
${stateBinding(0)}
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> keys: array<${element}>;
@group(0) @binding(3) var<storage, read_write> values: array<${element}>;
${rope ? '@group(0) @binding(4) var<storage, read> angles: array<vec2f>;' : ''}
${norm === undefined ? '' : `@group(0) @binding(${rope ? 5 : 4}) var<storage, read> weight: array<f32>;`}
var<workgroup> v: array<f32, ${headDim}>;
${norm === undefined ? '' : reduction({ kind: 'sum', threads, width: 1, subgroups: able.subgroups })}
fn turned(d: u32, position: u32) -> f32 {
  ${rope ? `let i = d % ${half}u;
  let angle = angles[position * ${half}u + i];
  let a = v[i];
  let b = v[i + ${half}u];
  return select(b * angle.x + a * angle.y, a * angle.x - b * angle.y, d < ${half}u);` : 'return v[d];'}
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${norm === undefined ? '' : subgroupParameters(able.subgroups)}) {
  let base = id.y * ${stride}u + id.x * ${headDim}u;
  let position = state.position + id.y;
  for (var d = lane; d < ${headDim}u; d += ${threads}u) { v[d] = x[base + d]; }
  workgroupBarrier();
  if (id.x >= ${heads + kvHeads}u) {
    let to = ((id.x - ${heads + kvHeads}u) * ${context}u + position) * ${headDim / n}u;
    for (var i = lane; i < ${headDim / n}u; i += ${threads}u) { values[to + i] = ${packed(`v[i * ${n}u + #]`)}; }
    return;
  }
  ${norm === undefined ? '' : `
  var squares: array<f32, 1>;
  for (var d = lane; d < ${headDim}u; d += ${threads}u) { squares[0] += v[d] * v[d]; }
  squares = sumAll(lane, squares${subgroupArguments(able.subgroups)});
  let root = sqrt(squares[0] / ${headDim}.0 + ${norm});
  let which = select(0u, ${headDim}u, id.x >= ${heads}u);
  for (var d = lane; d < ${headDim}u; d += ${threads}u) { v[d] = v[d] / root * weight[which + d]; }
  workgroupBarrier();`}
  if (id.x < ${heads}u) {
    for (var d = lane; d < ${headDim}u; d += ${threads}u) { x[base + d] = turned(d, position); }
  } else {
    let head = id.x - ${heads}u;
    for (var i = lane; i < ${headDim / n}u; i += ${threads}u) { keys[(head * ${headDim / n}u + i) * ${context}u + position] = ${packed(`turned(i * ${n}u + #, position)`)}; }
  }
}`;
};
