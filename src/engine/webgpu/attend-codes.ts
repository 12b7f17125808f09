/**
 * Attention whose products of queries and keys are those of 8-bit codes (SageAttention2), each row with a scale of its own,
 * the mean of the keys taken out before; values and their weights in float32: the twin of kernels/attention for this choice.
 * Queries [heads, rows, width], keys and values [kvHeads, count, width], as there.
 */
import type { Visible } from '../kernels/attention.ts';
import type { GpuAbilities } from './gpu.ts';
import { dot4 } from './inputs.ts';
import { each, range } from './lines.ts';
import { tileSoftmax, tileTotals } from './tile-softmax.ts';

export interface CodedAttention {
  readonly heads: number; readonly kvHeads: number; readonly width: number;
  readonly rows: number; readonly count: number;
  readonly scale: number; readonly visible: Visible;
}

/** Keys of a tile, words of codes that are staged at a time, and positions of values. */
const [tile, stagedWords, positions] = [64, 16, 8];

/** Bytes of shared memory for as many queries of a workgroup, a multiple of four with 16 threads to each four. */
export const codedAttentionBytes = (width: number, queries: number): number => width * queries + stageQuads(width) * 16 + 4 * tile * queries + 64 * queries;
const stageQuads = (width: number): number => Math.max((stagedWords * tile) / 4, (positions * width) / 4);

/** Means of the channels of keys. Bindings: keys, means [kvHeads, width]. Workgroups: ⌈kvHeads · width / 64⌉. */
export const keyMeans = ({ kvHeads, width, count }: Pick<CodedAttention, 'kvHeads' | 'width' | 'count'>): string => `
@group(0) @binding(0) var<storage, read> keys: array<f32>;
@group(0) @binding(1) var<storage, read_write> means: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${kvHeads * width}u) { return; }
  let start = (id.x / ${width}u) * ${count * width}u + id.x % ${width}u;
  var sum = 0.0;
  for (var r = 0u; r < ${count}u; r++) { sum += keys[start + r * ${width}u]; }
  means[id.x] = sum / ${count}.0;
}`;

/** Rows of `heads` heads as codes, four in a word, and their scales. Bindings: rows, codes, scales, and means where `smooth`. Workgroups: ⌈heads · rows / 64⌉. */
export const encodeHeads = ({ heads, rows, width, smooth }: { readonly heads: number; readonly rows: number; readonly width: number; readonly smooth: boolean }): string => `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
${smooth ? '@group(0) @binding(3) var<storage, read> means: array<f32>;' : ''}
fn value(row: u32, c: u32) -> f32 { return x[row * ${width}u + c]${smooth ? ` - means[(row / ${rows}u) * ${width}u + c]` : ''}; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${heads * rows}u) { return; }
  var top = 0.0;
  for (var c = 0u; c < ${width}u; c++) { top = max(top, abs(value(id.x, c))); }
  let scale = top / 127.0 + 1e-7;
  scales[id.x] = scale;
  for (var c = 0u; c < ${width}u; c += 4u) {
    var word = 0u;
    for (var k = 0u; k < 4u; k++) {
      let y = value(id.x, c + k) / scale;
      word |= (u32(i32(y + select(0.5, -0.5, y < 0.0))) & 255u) << (8u * k);
    }
    codes[(id.x * ${width}u + c) / 4u] = word;
  }
}`;

/** Bindings: codes and scales of queries, codes and scales of keys, values, results. Workgroups: ⌈rows / queries⌉ by heads. */
export function attendCodes({ heads, kvHeads, width, rows, count, scale, visible: { shown, step, window } }: CodedAttention, queries: number, able: GpuAbilities): string {
  const threads = 4 * queries;
  const Q = queries / 4;
  const words = width / 4;
  const columns = Math.ceil(words / 16);
  const zero = (name: string, type: string): string => each(4, (i) => `var ${name}${i} = ${type}();`);
  return `
@group(0) @binding(0) var<storage, read> q: array<u32>;
@group(0) @binding(1) var<storage, read> qScales: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<u32>;
@group(0) @binding(3) var<storage, read> kScales: array<f32>;
@group(0) @binding(4) var<storage, read> values: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> results: array<vec4f>;
var<workgroup> own: array<vec4u, ${words * Q}>;
var<workgroup> stage: array<vec4u, ${stageQuads(width)}>;
var<workgroup> weights: array<vec4f, ${tile * Q}>;
var<workgroup> parts: array<vec4f, ${threads}>;
${dot4(able)}
fn seenBy(row: u32) -> i32 { return clamp(${shown} + i32(row) * ${step}, 0, ${count}); }
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tx = lane & 15u;
  let ty = lane >> 4u;
  let begun = id.x * ${queries}u;
  let kv = id.y / ${heads / kvHeads}u;
  for (var task = lane; task < ${words * Q}u; task += ${threads}u) {
    let first = begun + (task % ${Q}u) * 4u;
    ${each(4, (i) => `let word${i} = q[(id.y * ${rows}u + min(first + ${i}u, ${rows - 1}u)) * ${words}u + task / ${Q}u];`)}
    own[task] = vec4u(word0, word1, word2, word3);
  }
  ${each(4, (i) => `let row${i} = begun + ty * 4u + ${i}u; let to${i} = seenBy(row${i}); let by${i} = qScales[id.y * ${rows}u + min(row${i}, ${rows - 1}u)] * ${scale};`)}
  var top = vec4f(-1e30);
  var total = vec4f();
  ${each(4 * columns, (i) => `var sum${i} = vec4f();`)}
  let last = seenBy(min(begun + ${queries - 1}u, ${rows - 1}u));
  ${window === undefined ? 'let begin = 0;' : `let begin = (max(seenBy(begun) - ${window}, 0) / ${tile}) * ${tile};`}
  for (var k0 = begin; k0 < last; k0 += ${tile}) {
    ${zero('dots', 'vec4i')}
    for (var w0 = 0u; w0 < ${words}u; w0 += ${stagedWords}u) {
      workgroupBarrier();
      for (var task = lane; task < ${(stagedWords * tile) / 4}u; task += ${threads}u) {
        let word = w0 + task / ${tile / 4}u;
        var four = vec4u();
        if (word < ${words}u) {
          ${each(4, (j) => `four[${j}] = k[(kv * ${count}u + min(u32(k0) + (task % ${tile / 4}u) * 4u + ${j}u, ${count - 1}u)) * ${words}u + word];`)}
        }
        stage[task] = four;
      }
      workgroupBarrier();
      for (var w = 0u; w < min(${stagedWords}u, ${words}u - w0); w++) {
        let a = own[(w0 + w) * ${Q}u + ty];
        let b = stage[w * ${tile / 4}u + tx];
        ${each(4, (i) => `dots${i} = vec4i(${range(4).map((j) => `dot4(a[${i}], b[${j}], dots${i}[${j}])`).join(', ')});`)}
      }
    }
    let key = vec4i(k0 + i32(tx) * 4) + vec4i(0, 1, 2, 3);
    let place = kv * ${count}u;
    let keyScales = vec4f(${range(4).map((j) => `kScales[place + min(u32(key[${j}]), ${count - 1}u)]`).join(', ')});
    ${each(4, (i) => `let seen${i} = (key < vec4i(to${i}))${window === undefined ? '' : ` & (key >= vec4i(to${i} - ${window}))`};
    let s${i} = select(vec4f(-1e30), vec4f(dots${i}) * (by${i} * keyScales), seen${i});`)}
    ${tileSoftmax(Q, columns, 'f32')}
    for (var c0 = 0u; c0 < ${tile}u; c0 += ${positions}u) {
      workgroupBarrier();
      for (var task = lane; task < ${positions * words}u; task += ${threads}u) {
        stage[task] = bitcast<vec4u>(values[(kv * ${count}u + min(u32(k0) + c0 + task / ${words}u, ${count - 1}u)) * ${words}u + task % ${words}u]);
      }
      workgroupBarrier();
      for (var c = 0u; c < ${positions}u; c++) {
        let a = weights[(c0 + c) * ${Q}u + ty];
        ${each(columns, (j) => `{ let b = bitcast<vec4f>(stage[c * ${words}u + min(tx + ${16 * j}u, ${words - 1}u)]);
        ${each(4, (i) => `sum${4 * j + i} += a[${i}] * b;`)} }`)}
      }
    }
  }
  ${tileTotals}
  ${each(4, (i) => `if (row${i} < ${rows}u) {
    let by = select(0.0, 1.0 / total[${i}], total[${i}] > 0.0);
    ${each(columns, (j) => `if (tx + ${16 * j}u < ${words}u) { results[(id.y * ${rows}u + row${i}) * ${words}u + tx + ${16 * j}u] = sum${4 * j + i} * by; }`)}
  }`)}
}`;
}
