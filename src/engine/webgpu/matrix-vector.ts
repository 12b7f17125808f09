/** A matrix times one or a few tokens: a workgroup sums a few rows, its threads walk the groups of 32 columns. */
import type { GpuAbilities } from './gpu.ts';
import { dot4, inputBindings, inputBytes, type InputKind } from './inputs.ts';
import { each, range } from './lines.ts';
import { byteVectors, codedGroup, groupValues } from './matrix-codes.ts';
import { formOf, isLowBit, matrixBindings, matrixBuffers, scaledSum, type MatrixLayout } from './matrix-layout.ts';
import { integerSide, openTable, opensTable } from './matrix-table.ts';
import { reduction, subgroupArguments, subgroupParameters } from './workgroup-sum.ts';

export interface Product {
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly groups: number;
  /** Results [tokens, stride] begin at column `offset`. */
  readonly stride: number;
  readonly offset: number;
  readonly inputs: InputKind;
  /** A bias per row is added. */
  readonly bias: boolean;
  /** Results are added to what is there. */
  readonly add: boolean;
}

export interface VectorShape {
  /** Tokens, at most 8. */
  readonly tokens: number;
  /** Rows of a workgroup. */
  readonly rows: number;
  readonly threads: number;
}

/** Bindings: matrix, inputs, results, bias. Workgroups: ⌈rows / rows of one⌉. */
export function matrixVector({ layout, rows, groups, stride, offset, inputs, bias, add }: Product, shape: VectorShape, able: GpuAbilities): string {
  const { tokens, rows: R, threads } = shape;
  const rounded = inputs === 'rounded';
  if (rounded && !isLowBit(layout)) throw new RangeError(`${layout} weights take inputs that are not rounded`);
  const xAt = matrixBuffers(layout);
  const outAt = xAt + inputBytes[inputs].length;
  const { halves = false, minima = false } = formOf(layout);
  const load = (t: number): string => (rounded
    ? `let a${t} = x[(${t}u * ${groups}u + g) * 2u]; let b${t} = x[(${t}u * ${groups}u + g) * 2u + 1u]; let s${t} = xSides[${t}u * ${groups}u + g];${halves && minima ? ` let p${t} = f32(${dots(range(4).map(() => '0x01010101u'), `a${t}`)});` : ''}`
    : `var v${t}: array<vec4f, 8>; ${each(8, (i) => `v${t}[${i}] = vec4f(x[(${t}u * ${groups}u + g) * 8u + ${i}u]);`)}
${!minima ? '' : halves ? `let p${t} = ${total(t, 0, 4)}; let s${t} = p${t} + ${total(t, 4, 8)};` : `let s${t} = ${total(t, 0, 8)};`}`);
  return `
${matrixBindings(layout, 0, 'vec4u')}
${inputBindings(inputs, xAt, 'read')}
@group(0) @binding(${outAt}) var<storage, read_write> results: array<f32>;
${bias ? `@group(0) @binding(${outAt + 1}) var<storage, read> bias: array<f32>;` : ''}
${openTable(layout, rounded)}
${rounded ? `${dot4(able)}
${codedGroup(layout, 'vec4u', false)}` : groupValues(layout)}
${reduction({ kind: 'sum', threads, width: R * tokens, subgroups: able.subgroups })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${subgroupParameters(able.subgroups)}) {
  let first = (id.x + id.y * 32768u) * ${R}u;
  var sums: array<f32, ${R * tokens}>;
  ${opensTable(layout)}
  for (var g = lane; g < ${groups}u; g += ${threads}u) {
    ${each(tokens, load)}
    ${each(R, (r) => `{
      let at = min(first + ${r}u, ${rows - 1}u) * ${groups}u + g;
      ${isLowBit(layout) ? `let s = ${rounded ? integerSide(layout, 'at') : 'side(at)'};` : ''}
      ${rounded ? integerSums(layout, tokens, r) : floatSums(layout, tokens, r)}
    }`)}
  }
  sums = sumAll(lane, sums${subgroupArguments(able.subgroups)});
  ${each(R * tokens, (i) => {
    const [r, t] = [Math.floor(i / tokens), i % tokens];
    return `if (lane == ${i % threads}u && first + ${r}u < ${rows}u) { let to = ${t * stride + offset}u + first + ${r}u; results[to] = sums[${i}]${bias ? ` + bias[first + ${r}u]` : ''}${add ? ' + results[to]' : ''}; }`;
  })}
}`;
}

const dots = (words: readonly string[], x: string): string => words.reduce((sum, word, i) => `dot4(${word}, ${x}[${i}], ${sum})`, '0');
/** The sum of some of a token's values, four at a time. */
const total = (t: number, from: number, to: number): string => `dot(${range(to - from).map((i) => `v${t}[${from + i}]`).join(' + ')}, vec4f(1.0))`;

function integerSums(layout: MatrixLayout, tokens: number, r: number): string {
  const words = (name: number): string[] => range(4).map((i) => `c[${name}][${i}]`);
  return `let c = coded(at);
${each(tokens, (t) => {
    const sum = (half: 0 | 1, x: string): string => (byteVectors(layout) === 4 ? `${dots(words(half), x)} + 128 * ${dots(words(half + 2), x)}` : dots(words(half), x));
    const low = `${sum(0, `a${t}`)}${layout === 'four' ? ` - 8 * i32(s${t}.y)` : ''}`;
    return `sums[${r * tokens + t}] += (${scaledSum(layout, [low, sum(1, `b${t}`)], `s${t}.y`, `p${t}`)}) * s${t}.x;`;
  })}`;
}

function floatSums(layout: MatrixLayout, tokens: number, r: number): string {
  return `let c = values(at);
${each(tokens, (t) => {
    const dots = (from: number, to: number): string => range(to - from).map((i) => `dot(c[${from + i}], v${t}[${from + i}])`).join(' + ');
    return `sums[${r * tokens + t}] += ${isLowBit(layout) ? scaledSum(layout, [dots(0, 4), dots(4, 8)], `s${t}`, `p${t}`) : dots(0, 8)};`;
  })}`;
}
