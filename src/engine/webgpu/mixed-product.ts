/**
 * Products of 4-bit weights with inputs that take 4 or 8 bits by block of 128 columns (COMET), and a float branch of low
 * rank beside them: the twin of kernels/mixed. Inputs of both widths are bytes; sums of a block are integers.
 *   weights   [rows][blocks] 64 bytes: for 32 columns, byte i with column i in its low and column i + 16 in its high half, 8 added
 *   inputs    [tokens][blocks] 128 bytes, and their scale and 8 times their sum
 */
import type { GpuAbilities } from './gpu.ts';
import { dot4 } from './inputs.ts';
import { each, range } from './lines.ts';
import { reduction, subgroupArguments, subgroupParameters } from './workgroup-sum.ts';

/** Columns that share a scale and a width. */
const block = 128;

export interface MixedProduct { readonly rows: number; readonly blocks: number; readonly tokens: number; readonly rank: number }
/** Rows and tokens of a workgroup, and its threads, which walk the blocks. */
export interface MixedShape { readonly rows: number; readonly tokens: number; readonly threads: number }

/** Codes −8 … 7 of a matrix [rows, cols] as `mixedProduct` reads them; columns are filled up to whole blocks with zeros. */
export function packMixedRows(codes: Int8Array, rows: number, cols: number): Uint8Array<ArrayBuffer> {
  const blocks = Math.ceil(cols / block);
  const bytes = new Uint8Array((rows * blocks * block) / 2).fill(0x88);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const at = ((r * blocks * block + c - (c % 32)) / 2) + (c & 15);
      const shift = c & 16 ? 4 : 0;
      bytes[at] = (bytes[at] & ~(15 << shift)) | ((codes[r * cols + c] + 8) << shift);
    }
  }
  return bytes;
}

/** Bindings: floats [tokens, blocks · 128], a word for each block that is not 0 where it takes 8 bits, the column that comes to each place, codes, sides. Workgroups: ⌈tokens · blocks / 64⌉. */
export const roundBlocks = (tokens: number, blocks: number): string => `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> wide: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> made: array<u32>;
@group(0) @binding(4) var<storage, read_write> madeSides: array<vec2f>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${tokens * blocks}u) { return; }
  let b = id.x % ${blocks}u;
  let start = (id.x / ${blocks}u) * ${blocks * block}u;
  var amax = 0.0;
  for (var i = 0u; i < ${block}u; i++) { amax = max(amax, abs(x[start + order[b * ${block}u + i]])); }
  let most = select(7.0, 127.0, wide[b] != 0u);
  let scale = select(1.0, max(amax / most, 1.1754944e-38), amax > 0.0);
  var sum = 0;
  for (var i = 0u; i < ${block}u; i += 4u) {
    var word = 0u;
    for (var k = 0u; k < 4u; k++) {
      let code = i32(clamp(round(x[start + order[b * ${block}u + i + k]] / scale), -most, most));
      sum += code;
      word |= (u32(code) & 255u) << (8u * k);
    }
    made[(id.x * ${block}u + i) / 4u] = word;
  }
  madeSides[id.x] = vec2f(scale, f32(8 * sum));
}`;

/** Bindings: weights, scales [rows, blocks], codes and sides of inputs, results [tokens, rows], with a branch [rows, rank] and [tokens, rank]. Workgroups: ⌈rows / rows of one⌉ by ⌈tokens / tokens of one⌉. */
export function mixedProduct({ rows, blocks, tokens, rank }: MixedProduct, { rows: R, tokens: T, threads }: MixedShape, able: GpuAbilities): string {
  const dots = (r: number, t: number): string => range(4).map((i) => `sum${r}x${t} = dot4(high${r}[${i}], b${t}[${i}], dot4(low${r}[${i}], a${t}[${i}], sum${r}x${t}));`).join(' ');
  const branch = rank === 0 ? '' : `
@group(0) @binding(5) var<storage, read> up: array<f32>;
@group(0) @binding(6) var<storage, read> down: array<f32>;
fn beside(row: u32, token: u32) -> f32 {
  var sum = 0.0;
  for (var r = 0u; r < ${rank}u; r++) { sum += up[row * ${rank}u + r] * down[token * ${rank}u + r]; }
  return sum;
}`;
  return `
@group(0) @binding(0) var<storage, read> w: array<vec4u>;
@group(0) @binding(1) var<storage, read> wScales: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4u>;
@group(0) @binding(3) var<storage, read> xSides: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> results: array<f32>;${branch}
${dot4(able)}
${reduction({ kind: 'sum', threads, width: R * T, subgroups: able.subgroups })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${subgroupParameters(able.subgroups)}) {
  ${each(R, (r) => `let row${r} = min(id.x * ${R}u + ${r}u, ${rows - 1}u);`)}
  ${each(T, (t) => `let token${t} = min(id.y * ${T}u + ${t}u, ${tokens - 1}u);`)}
  var sums: array<f32, ${R * T}>;
  for (var b = lane; b < ${blocks}u; b += ${threads}u) {
    ${each(R, (r) => each(T, (t) => `var sum${r}x${t} = 0;`))}
    for (var g = 0u; g < 4u; g++) {
      ${each(T, (t) => `let at${t} = ((token${t} * ${blocks}u + b) * 4u + g) * 2u; let a${t} = x[at${t}]; let b${t} = x[at${t} + 1u];`)}
      ${each(R, (r) => `let codes${r} = w[(row${r} * ${blocks}u + b) * 4u + g]; let low${r} = codes${r} & vec4u(0x0f0f0f0fu); let high${r} = (codes${r} >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
      ${each(T, (t) => dots(r, t))}`)}
    }
    ${each(T, (t) => `let side${t} = xSides[token${t} * ${blocks}u + b];`)}
    ${each(R, (r) => `let scale${r} = wScales[row${r} * ${blocks}u + b];
    ${each(T, (t) => `sums[${r * T + t}] += f32(sum${r}x${t} - i32(side${t}.y)) * scale${r} * side${t}.x;`)}`)}
  }
  sums = sumAll(lane, sums${subgroupArguments(able.subgroups)});
  ${each(R * T, (i) => {
    const [r, t] = [Math.floor(i / T), i % T];
    return `if (lane == ${i % threads}u && id.x * ${R}u + ${r}u < ${rows}u && id.y * ${T}u + ${t}u < ${tokens}u) { results[token${t} * ${rows}u + row${r}] = ${rank === 0 ? '' : `beside(row${r}, token${t}) + `}sums[${i}]; }`;
  })}
}`;
}
