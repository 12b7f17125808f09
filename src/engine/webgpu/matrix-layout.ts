/**
 * Matrices [rows, cols] as the WebGPU kernels read them: row by row, in groups of 32 columns, the last padded with zeros.
 *   two            8 bytes a group: byte b of word k holds columns 16k + b, + 4, + 8 and + 12, the first in its lowest bits
 *   three          the same, and 4 bytes more with the third bits: bit q of byte b belongs to column 4q + b
 *   four           16 bytes: byte i with column i in its low and column i + 16 in its high half
 *   table, wide    the codes of `four`, which stand for 16 levels; as integers these take 8 bits, or 12 (matrix-table.ts)
 *   eight          32 signed bytes
 *   trellis        states of a sequence, which stand for levels (matrix-trellis.ts)
 *   half, float    the values themselves
 * Value = scale · (code − less), or scale · level, less a minimum where there is one.
 */
import { trellisSide } from './matrix-trellis.ts';

interface Form {
  /** None where tiles of a matrix have their own. */
  readonly bits: 0 | 2 | 3 | 4 | 8 | 16 | 32;
  readonly less?: number;
  /** Bytes that a level takes as an integer, where codes stand for levels. */
  readonly table?: 1 | 2;
  /** How scales and minima are held. `fine`: 5 words for 256 columns, factors of both as halves and a byte for 16 columns: 8 bits of a scale, or 4 of it and 4 of a minimum. */
  readonly sides?: 'half' | 'float' | 'fine' | 'row';
  /** Scales, and minima, are those of 16 columns. */
  readonly halves?: boolean;
  readonly minima?: boolean;
}

const forms = {
  two: { bits: 2, sides: 'half', minima: true },
  'two-minima': { bits: 2, sides: 'float', minima: true },
  'two-fine': { bits: 2, sides: 'fine', halves: true, minima: true },
  three: { bits: 3, sides: 'half', minima: true },
  'three-minima': { bits: 3, sides: 'float', minima: true },
  'three-fine': { bits: 3, less: 4, sides: 'fine', halves: true },
  four: { bits: 4, less: 8, sides: 'half' },
  'four-minima': { bits: 4, sides: 'float', minima: true },
  table: { bits: 4, table: 1, sides: 'half' },
  'table-float': { bits: 4, table: 1, sides: 'float' },
  'table-halves': { bits: 4, table: 1, sides: 'half', halves: true },
  'table-float-halves': { bits: 4, table: 1, sides: 'float', halves: true },
  wide: { bits: 4, table: 2, sides: 'half' },
  'wide-float': { bits: 4, table: 2, sides: 'float' },
  'wide-halves': { bits: 4, table: 2, sides: 'half', halves: true },
  'wide-float-halves': { bits: 4, table: 2, sides: 'float', halves: true },
  trellis: { bits: 0, table: 2, sides: 'row' },
  eight: { bits: 8, sides: 'half' },
  'eight-minima': { bits: 8, sides: 'float', minima: true },
  'eight-halves': { bits: 8, sides: 'float', halves: true },
  half: { bits: 16 },
  float: { bits: 32 },
} satisfies Record<string, Form>;

export type MatrixLayout = keyof typeof forms;

export const formOf = (layout: MatrixLayout): Form => forms[layout];
/** Codes are indices of a table of 16 levels. */
export const isTable = (layout: MatrixLayout): boolean => formOf(layout).table !== undefined && formOf(layout).bits === 4;
export const isLowBit = (layout: MatrixLayout): boolean => formOf(layout).bits <= 8;

/** Numbers that go with a group. */
export const sideCount = ({ halves = false, minima = false }: Form): number => (halves ? 2 : 1) * (minima ? 2 : 1);

/** Bytes of a group of all but trellises: codes or values, and what goes with them. */
export function layoutBytes(layout: MatrixLayout): { readonly codes: number; readonly sides: number } {
  const form = formOf(layout);
  return { codes: 4 * form.bits, sides: form.sides === undefined ? 0 : form.sides === 'fine' ? 20 / 8 : sideCount(form) * (form.sides === 'half' ? 2 : 4) };
}

/** What `side` gives: scale and minimum, or two scales, or two scales and two minima. */
export const sideType = (layout: MatrixLayout): 'vec2f' | 'vec4f' => (sideCount(formOf(layout)) === 4 ? 'vec4f' : 'vec2f');

const sideBody: Readonly<Record<string, readonly [element: string, body: string]>> = {
  'half 1': ['u32', 'let two = unpack2x16float(wSides[at >> 1u]); return vec2f(select(two.x, two.y, (at & 1u) == 1u), 0.0);'],
  'half 2': ['u32', 'return unpack2x16float(wSides[at]);'],
  'float 1': ['f32', 'return vec2f(wSides[at], 0.0);'],
  'float 2': ['vec2f', 'return wSides[at];'],
  'row 1': ['u32', trellisSide],
  'fine 2': ['u32', 'let c = fine(at); return unpack2x16float(wSides[(at >> 3u) * 5u]).x * vec2f(bitcast<vec2i>(vec2u(c << 24u, c << 16u)) >> vec2u(24u));'],
  'fine 4': ['u32', 'let c = fine(at); return unpack2x16float(wSides[(at >> 3u) * 5u]).xxyy * vec4f(vec4u(c, c >> 8u, c >> 4u, c >> 12u) & vec4u(15u));'],
};

/** Bindings of a matrix from `first` on, words of codes of `type` (below four bits single ones), and `fn side(group)`. */
export function matrixBindings(layout: MatrixLayout, first: number, type: 'vec4u' | 'u32'): string {
  const form = formOf(layout);
  const bound = (at: number, name: string, element: string): string => `@group(0) @binding(${first + at}) var<storage, read> ${name}: array<${element}>;`;
  const codes = bound(0, 'w', form.bits < 4 ? 'u32' : type);
  if (form.sides === undefined) return codes;
  const [element, body] = sideBody[`${form.sides} ${sideCount(form)}`];
  return `${codes}
${bound(1, 'wSides', element)}
${form.table === undefined ? '' : bound(2, 'wTable', 'u32')}
${form.sides === 'fine' ? 'fn fine(at: u32) -> u32 { return wSides[(at >> 3u) * 5u + 1u + ((at & 7u) >> 1u)] >> (16u * (at & 1u)); }' : ''}
fn side(at: u32) -> ${sideType(layout)} { ${body} }`;
}

/** How many bindings a matrix takes. */
export const matrixBuffers = (layout: MatrixLayout): number => (formOf(layout).table !== undefined ? 3 : isLowBit(layout) ? 2 : 1);

/**
 * The sum of a group from those of its codes times the inputs of its first and second 16 columns, its side `s`, and the sum
 * of all its inputs and of the first 16.
 */
export function scaledSum(layout: MatrixLayout, [low, high]: readonly [string, string], all: string, first: string): string {
  const { halves, minima } = formOf(layout);
  const scaled = halves ? `f32(${low}) * s.x + f32(${high}) * s.y` : `f32(${low} + ${high}) * s.x`;
  return !minima ? scaled : halves ? `${scaled} - ${first} * s.z - (${all} - ${first}) * s.w` : `${scaled} - ${all} * s.y`;
}

/** A value times the scale and less the minimum of its half of a group, where `second`, an expression or a constant, says which; `side` names numbers of a side. */
export function scaledValue(layout: MatrixLayout, value: string, second: string, side = (part: string): string => `s.${part}`): string {
  const { sides, halves, minima } = formOf(layout);
  if (sides === undefined) return value;
  const one = (a: string, b: string): string => (second === 'false' ? side(a) : second === 'true' ? side(b) : `select(${side(a)}, ${side(b)}, ${second})`);
  return `${value} * ${halves ? one('x', 'y') : side('x')}${!minima ? '' : ` - ${halves ? one('z', 'w') : side('y')}`}`;
}
