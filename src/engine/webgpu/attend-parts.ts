/**
 * Softmax attention of a few tokens over a long cache. The cache is read in parts of 256 positions, each by a workgroup:
 * a thread scores a position, then the threads walk along the values. What a part leaves is merged by `attend-merge.ts`.
 */
import { attentionBindings, keyDims, leftFloats, partPositions, partTokens, type AttentionShape } from './attention-shape.ts';
import type { GpuAbilities } from './gpu.ts';
import { reduction, subgroupArguments, subgroupParameters } from './workgroup-sum.ts';

const threads = 128;

/** Bindings: state, queries beside keys and values [tokens, (heads + 2 · kvHeads) · headDim], keys, values, left [parts, 8, heads, headDim + 2]. Workgroups: parts by heads by tokens. */
export const attendParts = ({ heads, kvHeads, headDim, context, cache, window }: AttentionShape, able: GpuAbilities): string => {
  const n = keyDims(cache);
  const quads = headDim / 4;
  const stripes = Math.max(1, Math.floor(threads / quads));
  const half = cache === 'half';
  const score = half
    ? 'let k = keys[at + i * CONTEXT]; let a = q[2u * i]; let b = q[2u * i + 1u]; sum += dot(a, vec4f(unpack2x16float(k.x), unpack2x16float(k.y))) + dot(b, vec4f(unpack2x16float(k.z), unpack2x16float(k.w)));'
    : 'sum += dot(q[i], keys[at + i * CONTEXT]);';
  return `
${attentionBindings(context, cache)}
var<workgroup> q: array<vec4f, ${quads}>;
var<workgroup> weights: array<f32, ${partPositions}>;
var<workgroup> mixed: array<vec4f, ${stripes * quads}>;
${reduction({ kind: 'max', threads, width: 1, subgroups: able.subgroups })}
${reduction({ kind: 'sum', threads, width: 1, subgroups: able.subgroups })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${subgroupParameters(able.subgroups)}) {
  let to = state.position + id.z + 1u;
  let first = id.x * ${partPositions}u;
  ${window === undefined ? 'let base = 0u;' : `let base = max(to, ${window}u) - ${window}u;`}
  let kv = id.y / ${heads / kvHeads}u;
  for (var i = lane; i < ${quads}u; i += ${threads}u) { q[i] = x[(id.z * ${heads + 2 * kvHeads}u + id.y) * ${quads}u + i] * ${1 / Math.sqrt(headDim)}; }
  workgroupBarrier();
  var top: array<f32, 1>;
  top[0] = -1e30;
  for (var p = lane; p < ${partPositions}u; p += ${threads}u) {
    let position = first + p;
    var sum = -1e30;
    if (position >= base && position < to) {
      sum = 0.0;
      let at = kv * ${headDim / n}u * CONTEXT + position;
      for (var i = 0u; i < ${headDim / n}u; i++) { ${score} }
    }
    weights[p] = sum;
    top[0] = max(top[0], sum);
  }
  top = maxAll(lane, top${subgroupArguments(able.subgroups)});
  var total: array<f32, 1>;
  for (var p = lane; p < ${partPositions}u; p += ${threads}u) {
    let weight = select(exp(weights[p] - top[0]), 0.0, weights[p] <= -1e30);
    weights[p] = weight;
    total[0] += weight;
  }
  total = sumAll(lane, total${subgroupArguments(able.subgroups)});
  workgroupBarrier();
  let quad = lane % ${quads}u;
  let stripe = lane / ${quads}u;
  let last = min(to, first + ${partPositions}u);
  if (stripe < ${stripes}u) {
    for (var column = quad; column < ${quads}u; column += ${threads}u) {
      var sum = vec4f();
      for (var position = first + stripe; position < last; position += ${stripes}u) {
        let v = values[(kv * CONTEXT + position) * ${quads}u + column];
        sum += weights[position - first] * ${half ? 'vec4f(unpack2x16float(v.x), unpack2x16float(v.y))' : 'v'};
      }
      mixed[stripe * ${quads}u + column] = sum;
    }
  }
  workgroupBarrier();
  let out = ((id.x * ${partTokens}u + id.z) * ${heads}u + id.y) * ${leftFloats(headDim)}u;
  for (var column = lane; column < ${quads}u; column += ${threads}u) {
    var sum = mixed[column];
    for (var s = 1u; s < ${stripes}u; s++) { sum += mixed[s * ${quads}u + column]; }
    for (var i = 0u; i < 4u; i++) { left[out + column * 4u + i] = sum[i]; }
  }
  if (lane == 0u) {
    left[out + ${headDim}u] = top[0];
    left[out + ${headDim + 1}u] = total[0];
  }
}`;
};
