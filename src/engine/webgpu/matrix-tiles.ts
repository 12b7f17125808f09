/**
 * A matrix times many tokens: a workgroup computes a tile of results, group of columns by group of columns, from weights
 * that it decodes into shared memory once for all tokens of the tile; each thread keeps a small tile in registers.
 */
import type { GpuAbilities } from './gpu.ts';
import { dot4, inputBindings, inputBytes } from './inputs.ts';
import { each, range } from './lines.ts';
import { isLowBit, matrixBindings, matrixBuffers, type MatrixLayout } from './matrix-layout.ts';
import type { Product } from './matrix-vector.ts';

export interface TileShape {
  /** Tokens and rows of a workgroup. */
  readonly tokens: number;
  readonly rows: number;
  /** Tokens and rows of a thread: multiples of 4 where inputs are floats. */
  readonly ownTokens: number;
  readonly ownRows: number;
  /** Groups of columns that are staged at a time. */
  readonly stage: number;
}

export const tileThreads = ({ tokens, rows, ownTokens, ownRows }: TileShape): number => (tokens / ownTokens) * (rows / ownRows);

/** Bindings as of `matrixVector`. Workgroups: ⌈rows / tile rows⌉ by ⌈tokens / tile tokens⌉; buffers hold whole tiles of tokens. */
export function matrixTiles(product: Product, shape: TileShape, able: GpuAbilities): string {
  const { layout, rows, inputs, bias, stride, offset, add } = product;
  const xAt = matrixBuffers(layout);
  const outAt = xAt + inputBytes[inputs].length;
  const store = (token: string, row: string, value: string): string =>
    `if (${row} < ${rows}u) { let to = (${token}) * ${stride}u + ${offset}u + ${row}; results[to] = ${value}${bias ? ` + bias[${row}]` : ''}${add ? ' + results[to]' : ''}; }`;
  return `
${matrixBindings(layout, 0, 'u32')}
${inputBindings(inputs, xAt, 'read')}
@group(0) @binding(${outAt}) var<storage, read_write> results: array<f32>;
${bias ? `@group(0) @binding(${outAt + 1}) var<storage, read> bias: array<f32>;` : ''}
${inputs === 'rounded' ? roundedTile(product, shape, able, store) : floatTile(product, shape, store)}`;
}

/** Spreads `count` tasks over the threads. */
const tasks = (count: number, threads: number, body: string): string => `for (var task = lane; task < ${count}u; task += ${threads}u) { ${body} }`;

function roundedTile({ layout, rows, groups }: Product, shape: TileShape, able: GpuAbilities, store: (token: string, row: string, value: string) => string): string {
  if (!isLowBit(layout)) throw new RangeError(`${layout} weights take inputs that are not rounded`);
  const { tokens: TM, rows: TN, ownTokens: m, ownRows: n, stage } = shape;
  const [across, down] = [TN / n, TM / m];
  const threads = across * down;
  const four = layout === 'four' || layout === 'four-minima';
  // Codes of `four` become signed here: 8 is taken from each byte without a borrow.
  const centred = (c: string): string => (layout === 'four' ? `(((${c}) | vec4u(0x80808080u)) - vec4u(0x08080808u)) ^ vec4u(0x80808080u)` : c);
  const word = (at: string): string => `vec4u(w[${at}], w[${at} + 1u], w[${at} + 2u], w[${at} + 3u])`;
  const dots = (a: string, b: string): string => range(4).reduce((sum, i) => `dot4(${a}[${i}], ${b}[${i}], ${sum})`, '0');
  const value = (i: number): string => {
    const [low, high] = [dots(`a${i}`, 'c'), dots(`b${i}`, 'd')];
    if (layout === 'eight-halves') return `f32(${low}) * s.x + f32(${high}) * s.y`;
    const sum = `f32(${low} + ${high}) * s.x`;
    return layout.endsWith('-minima') ? `${sum} - t${i}.y * s.y` : sum;
  };
  return `
${dot4(able)}
var<workgroup> xTile: array<vec4u, ${TM * 2 * stage}>;
var<workgroup> xScales: array<vec2f, ${TM * stage}>;
var<workgroup> wTile: array<vec4u, ${TN * 2 * stage}>;
var<workgroup> wScales: array<vec2f, ${TN * stage}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row0 = id.x * ${TN}u;
  let token0 = id.y * ${TM}u;
  let tx = lane % ${across}u;
  let ty = lane / ${across}u;
  ${each(m * n, (i) => `var sum${Math.floor(i / n)}_${i % n} = 0.0;`)}
  for (var g0 = 0u; g0 < ${groups}u; g0 += ${stage}u) {
    workgroupBarrier();
    ${tasks(TM * stage, threads, `let g = min(g0 + task % ${stage}u, ${groups - 1}u); let to = (task % ${stage}u) * ${TM}u + task / ${stage}u;
    let at = (token0 + task / ${stage}u) * ${groups}u + g; xTile[2u * to - task / ${stage}u] = x[at * 2u]; xTile[2u * to - task / ${stage}u + ${TM}u] = x[at * 2u + 1u]; xScales[to] = xSides[at];`)}
    ${tasks(TN * stage, threads, `let g = min(g0 + task % ${stage}u, ${groups - 1}u); let i = task / ${stage}u; let to = (task % ${stage}u) * ${TN}u + i; let put = 2u * to - i;
    let at = min(row0 + i, ${rows - 1}u) * ${groups}u + g; wScales[to] = side(at);
    ${four ? `let c = ${word('at * 4u')}; let low = c & vec4u(0x0f0f0f0fu); let high = (c >> vec4u(4u)) & vec4u(0x0f0f0f0fu); wTile[put] = ${centred('low')}; wTile[put + ${TN}u] = ${centred('high')};`
    : `wTile[put] = ${word('at * 8u')}; wTile[put + ${TN}u] = ${word('at * 8u + 4u')};`}`)}
    workgroupBarrier();
    for (var k = 0u; k < ${groups % stage === 0 ? `${stage}u` : `min(${stage}u, ${groups}u - g0)`}; k++) {
      ${each(m, (i) => `let a${i} = xTile[k * ${2 * TM}u + ty + ${i * down}u]; let b${i} = xTile[k * ${2 * TM}u + ty + ${i * down + TM}u]; let t${i} = xScales[k * ${TM}u + ty + ${i * down}u];`)}
      ${each(n, (j) => `{ let c = wTile[k * ${2 * TN}u + tx + ${j * across}u]; let d = wTile[k * ${2 * TN}u + tx + ${j * across + TN}u]; let s = wScales[k * ${TN}u + tx + ${j * across}u];
      ${each(m, (i) => `sum${i}_${j} += (${value(i)}) * t${i}.x;`)} }`)}
    }
  }
  ${each(n, (j) => `{ let row = row0 + tx + ${j * across}u;
    ${each(m, (i) => store(`token0 + ty + ${i * down}u`, 'row', `sum${i}_${j}`))} }`)}
}`;
}

/** Words of codes in a group, and what puts a word of four rows, which begin at `at0` to `at3`, into the tile as columns. */
function columns(layout: MatrixLayout, E: string, K: number): { readonly words: number; readonly code: string } {
  const put = (k: string, value: string): string => `wTile[(step * 32u + ${k}) * ${K}u + n4] = vec4<${E}>(${value});`;
  const scaled = (v: string): string => (layout.endsWith('-minima') ? `${v} * scales - minima` : layout === 'eight-halves' ? `${v} * select(scales, minima, word >= 4u)` : `${v} * scales`);
  const rows = range(4).map((r) => `w[at${r} + word]`);
  const four = `let c = vec4u(${rows.join(', ')});`;
  switch (layout) {
    case 'four': case 'four-minima': {
      const zero = layout === 'four' ? ' - 8.0' : '';
      return { words: 4, code: `${four} for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled(`(vec4f((c >> vec4u(8u * k)) & vec4u(15u))${zero})`))} ${put('word * 4u + k + 16u', scaled(`(vec4f((c >> vec4u(8u * k + 4u)) & vec4u(15u))${zero})`))} }` };
    }
    case 'eight': case 'eight-minima': case 'eight-halves':
      return { words: 8, code: `${four} for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled('vec4f(bitcast<vec4i>(c << vec4u(24u - 8u * k)) >> vec4u(24u))'))} }` };
    case 'half':
      return { words: 16, code: `${rows.map((row, r) => `let p${r} = unpack2x16float(${row});`).join(' ')} ${put('word * 2u', 'vec4f(p0.x, p1.x, p2.x, p3.x)')} ${put('word * 2u + 1u', 'vec4f(p0.y, p1.y, p2.y, p3.y)')}` };
    case 'float':
      return { words: 32, code: `${four} ${put('word', 'bitcast<vec4f>(c)')}` };
    default: return layout satisfies never;
  }
}

function floatTile({ layout, rows, groups, inputs }: Product, shape: TileShape, store: (token: string, row: string, value: string) => string): string {
  const { tokens: TM, rows: TN, ownTokens: m, ownRows: n, stage } = shape;
  const [across, down] = [TN / n, TM / m];
  const threads = across * down;
  const E = inputs === 'half' ? 'f16' : 'f32';
  const { words, code } = columns(layout, E, TN / 4);
  const sums = (type: string, name: string): string => each(m * (n / 4), (i) => `var ${name}${Math.floor(i / (n / 4))}_${i % (n / 4)} = vec4<${type}>();`);
  const part = E === 'f16' ? 'part' : 'sum';
  return `
var<workgroup> xTile: array<vec4<${E}>, ${8 * TM * stage}>;
var<workgroup> wTile: array<vec4<${E}>, ${8 * TN * stage}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row0 = id.x * ${TN}u;
  let token0 = id.y * ${TM}u;
  let tx = lane % ${across}u;
  let ty = lane / ${across}u;
  ${sums('f32', 'sum')}
  for (var g0 = 0u; g0 < ${groups}u; g0 += ${stage}u) {
    workgroupBarrier();
    ${tasks((TM / 4) * 8 * stage, threads, `
      let m4 = task % ${TM / 4}u; let k4 = task / ${TM / 4}u;
      let base = ((token0 + m4 * 4u) * ${groups}u + min(g0 + k4 / 8u, ${groups - 1}u)) * 8u + k4 % 8u;
      let v0 = x[base]; let v1 = x[base + ${groups * 8}u]; let v2 = x[base + ${groups * 16}u]; let v3 = x[base + ${groups * 24}u];
      let to = k4 * ${TM}u + m4;
      ${each(4, (k) => `xTile[to + ${(k * TM) / 4}u] = vec4<${E}>(v0[${k}], v1[${k}], v2[${k}], v3[${k}]);`)}`)}
    ${tasks((TN / 4) * words * stage, threads, `
      let word = task % ${words}u; let step = (task / ${words}u) % ${stage}u; let n4 = task / ${words * stage}u; let g = min(g0 + step, ${groups - 1}u);
      ${each(4, (r) => `let g${r} = min(row0 + n4 * 4u + ${r}u, ${rows - 1}u) * ${groups}u + g; let at${r} = g${r} * ${words}u;`)}
      ${isLowBit(layout) ? `${each(4, (r) => `let s${r} = side(g${r});`)} let scales = vec4f(s0.x, s1.x, s2.x, s3.x); let minima = vec4f(s0.y, s1.y, s2.y, s3.y);` : ''}
      ${code}`)}
    workgroupBarrier();
    for (var step = 0u; step < ${groups % stage === 0 ? `${stage}u` : `min(${stage}u, ${groups}u - g0)`}; step++) {
      ${E === 'f16' ? sums('f16', 'part') : ''}
      for (var k = step * 32u; k < step * 32u + 32u; k++) {
        ${each(m / 4, (i) => `let a${i} = xTile[k * ${TM / 4}u + ty + ${i * down}u];`)}
        ${each(n / 4, (j) => `let b${j} = wTile[k * ${TN / 4}u + tx + ${j * across}u];`)}
        ${each(m * (n / 4), (i) => { const [t, j] = [Math.floor(i / (n / 4)), i % (n / 4)]; return `${part}${t}_${j} += a${t >> 2}[${t & 3}] * b${j};`; })}
      }
      ${E === 'f16' ? each(m * (n / 4), (i) => { const at = `${Math.floor(i / (n / 4))}_${i % (n / 4)}`; return `sum${at} += vec4f(part${at});`; }) : ''}
    }
  }
  ${each(n, (c) => `{ let row = row0 + (tx + ${(c >> 2) * across}u) * 4u + ${c & 3}u;
    ${each(m, (t) => store(`token0 + (ty + ${(t >> 2) * down}u) * 4u + ${t & 3}u`, 'row', `sum${t}_${c >> 2}[${c & 3}]`))} }`)}
}`;
}
