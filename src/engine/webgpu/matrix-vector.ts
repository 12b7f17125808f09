/** A matrix times one or a few tokens: a workgroup sums a few rows, its threads walk the groups of 32 columns. */
import type { GpuAbilities } from './gpu.ts';
import { dot4, inputBindings, inputBytes, type InputKind } from './inputs.ts';
import { each, range } from './lines.ts';
import { groupValues, isLowBit, matrixBindings, matrixBuffers, type MatrixLayout } from './matrix-layout.ts';
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
  const minima = layout.endsWith('-minima');
  const load = (t: number): string => (rounded
    ? `let a${t} = x[(${t}u * ${groups}u + g) * 2u]; let b${t} = x[(${t}u * ${groups}u + g) * 2u + 1u]; let s${t} = xSides[${t}u * ${groups}u + g];`
    : `var v${t}: array<vec4f, 8>; ${each(8, (i) => `v${t}[${i}] = vec4f(x[(${t}u * ${groups}u + g) * 8u + ${i}u]);`)}
${minima ? `let q${t} = ${range(8).map((i) => `v${t}[${i}]`).join(' + ')}; let s${t} = q${t}.x + q${t}.y + q${t}.z + q${t}.w;` : ''}`);
  return `
${matrixBindings(layout, 0, 'vec4u')}
${inputBindings(inputs, xAt, 'read')}
@group(0) @binding(${outAt}) var<storage, read_write> results: array<f32>;
${bias ? `@group(0) @binding(${outAt + 1}) var<storage, read> bias: array<f32>;` : ''}
${rounded ? dot4(able) : groupValues(layout)}
${reduction({ kind: 'sum', threads, width: R * tokens, subgroups: able.subgroups })}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32${subgroupParameters(able.subgroups)}) {
  let first = (id.x + id.y * 32768u) * ${R}u;
  var sums: array<f32, ${R * tokens}>;
  for (var g = lane; g < ${groups}u; g += ${threads}u) {
    ${each(tokens, load)}
    ${each(R, (r) => `{
      let at = min(first + ${r}u, ${rows - 1}u) * ${groups}u + g;
      ${isLowBit(layout) ? 'let s = side(at);' : ''}
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

function integerSums(layout: MatrixLayout, tokens: number, r: number): string {
  const four = layout === 'four' || layout === 'four-minima';
  const dots = (words: readonly string[], x: string): string => words.reduce((sum, word, i) => `dot4(${word}, ${x}[${i}], ${sum})`, '0');
  const codes = four
    ? 'let c = w[at]; let low = c & vec4u(0x0f0f0f0fu); let high = (c >> vec4u(4u)) & vec4u(0x0f0f0f0fu);'
    : 'let low = w[at * 2u]; let high = w[at * 2u + 1u];';
  const words = (name: string): string[] => range(4).map((i) => `${name}[${i}]`);
  return `${codes}
${each(tokens, (t) => {
    const [a, b] = [dots(words('low'), `a${t}`), dots(words('high'), `b${t}`)];
    const value = {
      four: `f32(${a} + ${b} - 8 * i32(s${t}.y)) * s.x`,
      'four-minima': `f32(${a} + ${b}) * s.x - s${t}.y * s.y`,
      eight: `f32(${a} + ${b}) * s.x`,
      'eight-minima': `f32(${a} + ${b}) * s.x - s${t}.y * s.y`,
      'eight-halves': `f32(${a}) * s.x + f32(${b}) * s.y`,
    }[layout as Exclude<MatrixLayout, 'half' | 'float'>];
    return `sums[${r * tokens + t}] += (${value}) * s${t}.x;`;
  })}`;
}

function floatSums(layout: MatrixLayout, tokens: number, r: number): string {
  return `let c = values(at);
${each(tokens, (t) => {
    const dots = (from: number, to: number): string => range(to - from).map((i) => `dot(c[${from + i}], v${t}[${from + i}])`).join(' + ');
    const value = layout === 'eight-halves' ? `(${dots(0, 4)}) * s.x + (${dots(4, 8)}) * s.y`
      : `(${dots(0, 8)})${isLowBit(layout) ? ' * s.x' : ''}${layout.endsWith('-minima') ? ` - s${t} * s.y` : ''}`;
    return `sums[${r * tokens + t}] += ${value};`;
  })}`;
}
