/**
 * Softmax attention of many tokens, each over what came before it: a workgroup takes a tile of queries of one head and
 * walks over tiles of 64 positions with an online softmax, so that scores never leave it. Keys and values pass through a
 * small stage in shared memory; each thread keeps 4 × 4 scores and 4 rows of sums.
 */
import { attentionBindings, keyDims, leftFloats, type AttentionShape } from './attention-shape.ts';
import { each } from './lines.ts';
import { tileSoftmax, tileTotals } from './tile-softmax.ts';

export interface AttentionTile {
  /** Queries of a workgroup, a multiple of 4; 16 threads to each four. */
  readonly queries: number;
  /** Dimensions of keys, and positions of values, that are staged at a time: multiples of 8 that divide 64. */
  readonly dims: number;
  readonly positions: number;
  /** Products in half precision, added up in float32 stage by stage. */
  readonly half: boolean;
}

/** Positions of a tile. */
const tile = 64;

const stageQuads = (headDim: number, { dims, positions }: AttentionTile): number => Math.max((dims * tile) / 4, (positions * headDim) / 4);
const padded = (headDim: number, dims: number): number => Math.ceil(headDim / dims) * dims;

/** Bytes of shared memory. */
export function attentionTileBytes(headDim: number, shape: AttentionTile): number {
  const quad = shape.half ? 8 : 16;
  return quad * ((padded(headDim, shape.dims) * shape.queries) / 4 + stageQuads(headDim, shape) + (tile * shape.queries) / 4) + 16 * 4 * shape.queries;
}

/** The largest tile that a device has room for, of those that were fastest in `npm run bench webgpu`. */
export function attentionTile(headDim: number, half: boolean, workgroupBytes: number, threads: number): AttentionTile {
  for (const queries of [64, 32, 16, 8, 4]) {
    for (const [dims, positions] of [[64, half ? 32 : 16], [32, 16], [16, 8], [8, 8]]) {
      const shape = { queries, dims, positions, half };
      if (4 * queries <= threads && attentionTileBytes(headDim, shape) <= workgroupBytes) return shape;
    }
  }
  throw new RangeError(`no tile for heads of ${headDim} fits into ${workgroupBytes} bytes`);
}

/** Bindings as of `attendParts`, left [tokens, heads, headDim + 2]. Workgroups: ⌈tokens / queries⌉ by heads. */
export const attendTiles = ({ heads, kvHeads, headDim, context, cache, window }: AttentionShape, shape: AttentionTile): string => {
  const { queries, dims, positions, half } = shape;
  const E = half ? 'f16' : 'f32';
  const threads = 4 * queries;
  const Q = queries / 4;
  const quads = headDim / 4;
  const columns = Math.ceil(quads / 16);
  const n = keyDims(cache);
  const inHalf = cache === 'half';
  // Four halves in two words, as numbers of the arithmetic.
  const halves = (x: string, y: string): string => (half ? `bitcast<vec4<f16>>(vec2u(${x}, ${y}))` : `vec4f(unpack2x16float(${x}), unpack2x16float(${y}))`);
  const keyRow = (i: number): string => (inHalf ? `let k${i} = keys[at + ${i}u]; let low${i} = ${halves(`k${i}.x`, `k${i}.y`)}; let high${i} = ${halves(`k${i}.z`, `k${i}.w`)};` : `let low${i} = vec4<${E}>(keys[at + ${i}u]);`);
  const zero = `vec4<${E}>()`;
  return `
${attentionBindings(context, cache)}
var<workgroup> q: array<vec4<${E}>, ${padded(headDim, dims) * Q}>;
var<workgroup> stage: array<vec4<${E}>, ${stageQuads(headDim, shape)}>;
var<workgroup> weights: array<vec4<${E}>, ${tile * Q}>;
var<workgroup> parts: array<vec4f, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tx = lane & 15u;
  let ty = lane >> 4u;
  let token0 = id.x * ${queries}u;
  let kv = id.y / ${heads / kvHeads}u;
  let own = vec4u(state.position + token0 + ty * 4u) + vec4u(0u, 1u, 2u, 3u);
  for (var task = lane; task < ${(padded(headDim, dims) / 4) * Q}u; task += ${threads}u) {
    let d4 = task / ${Q}u; let q4 = task % ${Q}u;
    let base = ((token0 + q4 * 4u) * ${heads + 2 * kvHeads}u + id.y) * ${quads}u + d4;
    ${each(4, (i) => `var v${i} = vec4f(); if (d4 < ${quads}u && token0 + q4 * 4u + ${i}u < state.tokens) { v${i} = x[base + ${i * (heads + 2 * kvHeads) * quads}u] * ${1 / Math.sqrt(headDim)}; }`)}
    ${each(4, (i) => `q[(d4 * 4u + ${i}u) * ${Q}u + q4] = vec4<${E}>(vec4f(v0[${i}], v1[${i}], v2[${i}], v3[${i}]));`)}
  }
  var top = vec4f(-1e30);
  var total = vec4f();
  ${each(4 * columns, (i) => `var sum${i} = vec4f();`)}
  let end = min(state.position + min(token0 + ${queries}u, state.tokens), CONTEXT);
  ${window === undefined ? 'let begin = 0u;' : `let begin = ((max(state.position + token0 + 1u, ${window}u) - ${window}u) / ${tile}u) * ${tile}u;`}
  for (var k0 = begin; k0 < end; k0 += ${tile}u) {
    ${each(4, (i) => `var s${i} = vec4f();`)}
    for (var d0 = 0u; d0 < ${padded(headDim, dims)}u; d0 += ${dims}u) {
      workgroupBarrier();
      for (var task = lane; task < ${(tile / 4) * (dims / n)}u; task += ${threads}u) {
        let key4 = task % ${tile / 4}u; let row = task / ${tile / 4}u;
        let to = row * ${(n * tile) / 4}u + key4;
        if (d0 / ${n}u + row < ${headDim / n}u) {
          let at = (kv * ${headDim / n}u + d0 / ${n}u + row) * CONTEXT + k0 + key4 * 4u;
          ${each(4, keyRow)}
          ${each(4, (d) => `stage[to + ${(d * tile) / 4}u] = vec4<${E}>(low0[${d}], low1[${d}], low2[${d}], low3[${d}]);`)}
          ${inHalf ? each(4, (d) => `stage[to + ${((d + 4) * tile) / 4}u] = vec4<${E}>(high0[${d}], high1[${d}], high2[${d}], high3[${d}]);`) : ''}
        } else { for (var d = 0u; d < ${n}u; d++) { stage[to + d * ${tile / 4}u] = ${zero}; } }
      }
      workgroupBarrier();
      ${each(4, (i) => `var p${i} = ${zero};`)}
      for (var d = 0u; d < ${dims}u; d++) {
        let a = q[(d0 + d) * ${Q}u + ty];
        let b = stage[d * ${tile / 4}u + tx];
        ${each(4, (i) => `p${i} += a[${i}] * b;`)}
      }
      ${each(4, (i) => `s${i} += vec4f(p${i});`)}
    }
    let key = vec4u(k0 + tx * 4u) + vec4u(0u, 1u, 2u, 3u);
    ${each(4, (i) => `let seen${i} = (key <= vec4u(own[${i}]))${window === undefined ? '' : ` & (key + vec4u(${window}u) > vec4u(own[${i}]))`}; s${i} = select(vec4f(-1e30), s${i}, seen${i});`)}
    ${tileSoftmax(Q, columns, E)}
    for (var c0 = 0u; c0 < ${tile}u; c0 += ${positions}u) {
      workgroupBarrier();
      for (var task = lane; task < ${positions * quads}u; task += ${threads}u) {
        let v = values[(kv * CONTEXT + k0 + c0 + task / ${quads}u) * ${quads}u + task % ${quads}u];
        stage[task] = ${inHalf ? halves('v.x', 'v.y') : `vec4<${E}>(v)`};
      }
      workgroupBarrier();
      ${half ? each(4 * columns, (i) => `var part${i} = ${zero};`) : ''}
      for (var c = 0u; c < ${positions}u; c++) {
        let a = weights[(c0 + c) * ${Q}u + ty];
        ${each(columns, (j) => `{ let b = ${quads % 16 === 0 ? `stage[c * ${quads}u + tx + ${16 * j}u]` : `stage[c * ${quads}u + min(tx + ${16 * j}u, ${quads - 1}u)]`};
        ${each(4, (i) => `${half ? 'part' : 'sum'}${4 * j + i} += a[${i}] * b;`)} }`)}
      }
      ${half ? each(4 * columns, (i) => `sum${i} += vec4f(part${i});`) : ''}
    }
  }
  ${tileTotals}
  ${each(4, (i) => `if (token0 + ty * 4u + ${i}u < state.tokens) {
    let out = ((token0 + ty * 4u + ${i}u) * ${heads}u + id.y) * ${leftFloats(headDim)}u;
    ${each(columns, (j) => `if (tx + ${16 * j}u < ${quads}u) { for (var d = 0u; d < 4u; d++) { left[out + (tx + ${16 * j}u) * 4u + d] = sum${4 * j + i}[d]; } }`)}
    if (tx == 0u) { left[out + ${headDim}u] = top[${i}]; left[out + ${headDim + 1}u] = total[${i}]; }
  }`)}
}`;
};
