/**
 * A matrix times many tokens: a workgroup computes a tile of results, group of columns by group of columns, from weights
 * that it decodes into shared memory once for all tokens of the tile; each thread keeps a small tile in registers.
 */
import type { GpuAbilities } from './gpu.ts';
import { dot4, inputBindings, inputBytes } from './inputs.ts';
import { each, range } from './lines.ts';
import { byteVectors, codedGroup } from './matrix-codes.ts';
import { formOf, isLowBit, isTable, matrixBindings, matrixBuffers, scaledSum, scaledValue, sideType, type MatrixLayout } from './matrix-layout.ts';
import { integerSide, openTable, opensTable } from './matrix-table.ts';
import { trellisLevels } from './matrix-trellis.ts';
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
${openTable(layout, inputs === 'rounded')}
${inputs === 'rounded' ? roundedTile(product, shape, able, store) : floatTile(product, shape, store)}`;
}

/** Spreads `count` tasks over the threads. */
const tasks = (count: number, threads: number, body: string): string => `for (var task = lane; task < ${count}u; task += ${threads}u) { ${body} }`;

function roundedTile({ layout, rows, groups }: Product, shape: TileShape, able: GpuAbilities, store: (token: string, row: string, value: string) => string): string {
  if (!isLowBit(layout)) throw new RangeError(`${layout} weights take inputs that are not rounded`);
  const { tokens: TM, rows: TN, ownTokens: m, ownRows: n, stage } = shape;
  const [across, down] = [TN / n, TM / m];
  const threads = across * down;
  const planes = byteVectors(layout);
  const { halves = false, minima = false } = formOf(layout);
  /** The sum of the first 16 inputs goes with those that minima are multiplied with. */
  const firsts = halves && minima;
  const dots = (a: string, b: string): string => range(4).reduce((sum, i) => `dot4(${a}[${i}], ${b}[${i}], ${sum})`, '0');
  const half = (x: string, c: number): string => (planes === 4 ? `${dots(x, `c${c}`)} + 128 * ${dots(x, `c${c + 2}`)}` : dots(x, `c${c}`));
  const value = (i: number): string => scaledSum(layout, [half(`a${i}`, 0), half(`b${i}`, 1)], `t${i}.y`, `p${i}`);
  return `
${dot4(able)}
${codedGroup(layout, 'u32', true)}
var<workgroup> xTile: array<vec4u, ${TM * 2 * stage}>;
var<workgroup> xScales: array<vec2f, ${TM * stage}>;
${firsts ? `var<workgroup> xFirsts: array<f32, ${TM * stage}>;` : ''}
var<workgroup> wTile: array<vec4u, ${TN * planes * stage}>;
var<workgroup> wScales: array<${sideType(layout)}, ${TN * stage}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  ${opensTable(layout)}
  let row0 = id.x * ${TN}u;
  let token0 = id.y * ${TM}u;
  let tx = lane % ${across}u;
  let ty = lane / ${across}u;
  ${each(m * n, (i) => `var sum${Math.floor(i / n)}_${i % n} = 0.0;`)}
  for (var g0 = 0u; g0 < ${groups}u; g0 += ${stage}u) {
    workgroupBarrier();
    ${tasks(TM * stage, threads, `let g = min(g0 + task % ${stage}u, ${groups - 1}u); let to = (task % ${stage}u) * ${TM}u + task / ${stage}u;
    let at = (token0 + task / ${stage}u) * ${groups}u + g; xTile[2u * to - task / ${stage}u] = x[at * 2u]; xTile[2u * to - task / ${stage}u + ${TM}u] = x[at * 2u + 1u]; xScales[to] = xSides[at];
    ${firsts ? `let a = x[at * 2u]; xFirsts[to] = f32(${range(4).reduce((sum, i) => `dot4(0x01010101u, a[${i}], ${sum})`, '0')});` : ''}`)}
    ${tasks(TN * stage, threads, `let g = min(g0 + task % ${stage}u, ${groups - 1}u); let i = task / ${stage}u; let to = (task % ${stage}u) * ${TN}u + i; let put = ${planes}u * to - ${planes - 1}u * i;
    let at = min(row0 + i, ${rows - 1}u) * ${groups}u + g; wScales[to] = ${integerSide(layout, 'at')}; let c = coded(at);
    ${each(planes, (plane) => `wTile[put + ${plane * TN}u] = c[${plane}];`)}`)}
    workgroupBarrier();
    for (var k = 0u; k < ${groups % stage === 0 ? `${stage}u` : `min(${stage}u, ${groups}u - g0)`}; k++) {
      ${each(m, (i) => `let a${i} = xTile[k * ${2 * TM}u + ty + ${i * down}u]; let b${i} = xTile[k * ${2 * TM}u + ty + ${i * down + TM}u]; let t${i} = xScales[k * ${TM}u + ty + ${i * down}u];${firsts ? ` let p${i} = xFirsts[k * ${TM}u + ty + ${i * down}u];` : ''}`)}
      ${each(n, (j) => `{ ${each(planes, (plane) => `let c${plane} = wTile[k * ${planes * TN}u + tx + ${j * across + plane * TN}u];`)} let s = wScales[k * ${TN}u + tx + ${j * across}u];
      ${each(m, (i) => `sum${i}_${j} += (${value(i)}) * t${i}.x;`)} }`)}
    }
  }
  ${each(n, (j) => `{ let row = row0 + tx + ${j * across}u;
    ${each(m, (i) => store(`token0 + ty + ${i * down}u`, 'row', `sum${i}_${j}`))} }`)}
}`;
}

/**
 * What puts a part of four rows' groups, which lie at `at0` to `at3` and have sides `s0` to `s3`, into the tile as
 * columns; a group has `parts` of them, numbered by `word`, and takes `words`.
 */
function columns(layout: MatrixLayout, E: string, K: number): { readonly words: number; readonly parts: number; readonly code: string } {
  const { bits, less = 0, table } = formOf(layout);
  const put = (k: string, value: string): string => `wTile[(step * 32u + ${k}) * ${K}u + n4] = vec4<${E}>(${value});`;
  /** Values of four rows, which are less what codes are less, times scales. */
  const scaled = (v: string, second: string): string =>
    scaledValue(layout, less === 0 ? v : `(${v} - ${less}.0)`, second, (part) => `vec4f(${range(4).map((r) => `s${r}.${part}`).join(', ')})`);
  const rows = range(4).map((r) => `w[at${r} + word]`);
  const four = `let c = vec4u(${rows.join(', ')});`;
  switch (bits) {
    case 0:
      return { words: 0, parts: 8, code: `for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled(`vec4f(${range(4).map((r) => `level(g${r}, word * 4u + k)`).join(', ')})`, 'false'))} }` };
    case 2: case 3: {
      const at = (place: string, shift: string): string => `vec4u(${range(4).map((r) => `w[at${r} + ${place}]`).join(', ')}) >> vec4u(${shift})`;
      const code = `((c >> vec4u(8u * k)) & vec4u(3u))${bits === 2 ? '' : ' | (((d >> vec4u(8u * k)) & vec4u(1u)) << vec4u(2u))'}`;
      return { words: bits, parts: 8, code: `let c = ${at('(word >> 2u)', '2u * (word & 3u)')}; ${bits === 2 ? '' : `let d = ${at('2u', 'word')};`} for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled(`vec4f(${code})`, 'word >= 4u'))} }` };
    }
    case 4: {
      const nibble = (shift: string): string => {
        const code = `(c >> vec4u(${shift})) & vec4u(15u)`;
        return table === undefined ? `vec4f(${code})` : `looked(${code})`;
      };
      return { words: 4, parts: 4, code: `${four} for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled(nibble('8u * k'), 'false'))} ${put('word * 4u + k + 16u', scaled(nibble('8u * k + 4u'), 'true'))} }` };
    }
    case 8:
      return { words: 8, parts: 8, code: `${four} for (var k = 0u; k < 4u; k++) { ${put('word * 4u + k', scaled('vec4f(bitcast<vec4i>(c << vec4u(24u - 8u * k)) >> vec4u(24u))', 'word >= 4u'))} }` };
    case 16:
      return { words: 16, parts: 16, code: `${rows.map((row, r) => `let p${r} = unpack2x16float(${row});`).join(' ')} ${put('word * 2u', 'vec4f(p0.x, p1.x, p2.x, p3.x)')} ${put('word * 2u + 1u', 'vec4f(p0.y, p1.y, p2.y, p3.y)')}` };
    case 32:
      return { words: 32, parts: 32, code: `${four} ${put('word', 'bitcast<vec4f>(c)')}` };
    default: return bits satisfies never;
  }
}

function floatTile({ layout, rows, groups, inputs }: Product, shape: TileShape, store: (token: string, row: string, value: string) => string): string {
  const { tokens: TM, rows: TN, ownTokens: m, ownRows: n, stage } = shape;
  const [across, down] = [TN / n, TM / m];
  const threads = across * down;
  const E = inputs === 'half' ? 'f16' : 'f32';
  const { words, parts, code } = columns(layout, E, TN / 4);
  const sums = (type: string, name: string): string => each(m * (n / 4), (i) => `var ${name}${Math.floor(i / (n / 4))}_${i % (n / 4)} = vec4<${type}>();`);
  const part = E === 'f16' ? 'part' : 'sum';
  return `
${isTable(layout) ? 'fn looked(c: vec4u) -> vec4f { return vec4f(levels[c.x], levels[c.y], levels[c.z], levels[c.w]); }' : layout === 'trellis' ? trellisLevels : ''}
var<workgroup> xTile: array<vec4<${E}>, ${8 * TM * stage}>;
var<workgroup> wTile: array<vec4<${E}>, ${8 * TN * stage}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  ${opensTable(layout)}
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
    ${tasks((TN / 4) * parts * stage, threads, `
      let word = task % ${parts}u; let step = (task / ${parts}u) % ${stage}u; let n4 = task / ${parts * stage}u; let g = min(g0 + step, ${groups - 1}u);
      ${each(4, (r) => `let g${r} = min(row0 + n4 * 4u + ${r}u, ${rows - 1}u) * ${groups}u + g; let at${r} = g${r} * ${words}u;`)}
      ${isLowBit(layout) ? each(4, (r) => `let s${r} = side(g${r});`) : ''}
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
