/**
 * Products of low-bit matrices and the steps of a decoder between them, as WASM SIMD with plain twins over the same
 * memory. Layouts and the order of operations are described in kernels/lowbit/index.ts; both give the same bits.
 */
import { fasterOf, type Build } from './builds.ts';
import { kernelsOver } from './instance.ts';
import { lowbitRelaxedWasm } from './lowbit-relaxed.wasm.ts';
import { lowbitWasm } from './lowbit.wasm.ts';

/** Columns that share a scale, and are summed in integers. */
export const groupSize = 32;
/** Rows that lie together. */
export const panelRows = 8;

/** Where a matrix product reads and writes; addresses in bytes, `stride` and counts in values. */
export interface ProductPlace {
  readonly weights: number;
  readonly groups: number;
  /** Tokens [tokens, groups · 32] that are multiplied, and results [tokens, stride], a multiple of four; rows past it are left out. */
  readonly tokens: number;
  readonly out: number;
  readonly stride: number;
  /** Panels [first, last). */
  readonly first: number;
  readonly last: number;
}

/** Rounded inputs: their address, and whether codes have 8 bits or 16, which stand for floats. */
export interface RoundedPlace { readonly at: number; readonly bits: 8 | 16 }

/** Bytes of a group of rounded inputs. */
export const inputBytes = 144;
/** Largest codes of inputs. Of 16 bits the high byte, rounded, is at most 127 too. */
export const inputTop = { 8: 127, 16: 32_639 } as const;

/** Largest value of a wide table: 32 times the largest code of inputs of 16 bits times it is no more than 31 bits. */
export const wideTop = 2047;

/** How codes and scales of a packed matrix are held (kernels/lowbit/packed.ts). */
export interface PackedForm {
  readonly bits: 2 | 3 | 4;
  /** What codes are less; four bits are indices of a table instead, whose 16 bytes lie at `table`, where it is wide 16 low and then 16 high ones. */
  readonly less: number;
  readonly table: number;
  readonly wide?: boolean;
  /** Scales are bytes times a float for 256 columns. */
  readonly fine: boolean;
  /** With scales of halves, and fine, alone. */
  readonly minima: boolean;
  /** Scales are those of 16 columns. */
  readonly halves: boolean;
}

export interface LowBitKernels {
  roundInputs(x: number, groups: number, to: RoundedPlace): void;
  /** Codes less 8 where `mins` is 0. */
  product4(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  /** `mins` is 0 where there are none. */
  product8(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  product8Halves(place: ProductPlace, scales: number, inputs: RoundedPlace): void;
  productPacked(place: ProductPlace, form: PackedForm, sides: number, inputs: RoundedPlace): void;
  /** `form` is the address of eight words (trellis-tiles.ts), `scales` that of one float for each row. */
  productTrellis(place: ProductPlace, form: number, scales: number, inputs: RoundedPlace): void;
  productFloat(place: ProductPlace, x: number): void;
  rmsNorm(x: number, weight: number, count: number, epsilon: number, out: number): void;
  addTo(x: number, y: number, count: number): void;
  rotate(x: number, heads: number, half: number, cos: number, sin: number): void;
  siluTimes(gate: number, up: number, count: number): void;
  /** `listed`: where the numbers of `more` positions lie that follow those in [from, to). */
  attend(query: number, keys: number, values: number, stride: number, from: number, to: number, width: number, scale: number, scores: number, out: number, listed?: number, more?: number): void;
  /** Four tokens that follow each other, row r over positions [from, to + r), with the bits of each alone; `scores` holds four times to + 8 − from values. */
  attendRows(query: number, queryStride: number, keys: number, values: number, stride: number, from: number, to: number, width: number, scale: number, scores: number, out: number, outStride: number): void;
}

type Exports = Readonly<Record<'roundInputs' | 'product4' | 'product8' | 'product8Halves' | 'productPacked' | 'productTrellis' | 'productFloat' | 'rmsNorm' | 'addTo' | 'rotate' | 'siluTimes' | 'attend' | 'attendRows', (...args: number[]) => void>>;

/** Most threads that share a memory. */
export const mostMembers = 15;
/** Bytes in which a thread unpacks codes and scales. */
const scratchBytes = 5248;
/** Bytes at the beginning of the memory that belong to the kernels. */
export const reservedBytes = 131_072;

export type LowBitBuild = Build;

/** Kernels over a memory, shared or not, in the fastest build that passes its test here, or in one that is asked for; `member` numbers threads. */
export function lowBitKernels(memory: WebAssembly.Memory, build: LowBitBuild = fastestBuild(), member = 0): LowBitKernels {
  const run = kernelsOver<Exports>(build === 'relaxed SIMD' ? lowbitRelaxedWasm() : lowbitWasm(), memory);
  const { rmsNorm, addTo, rotate, siluTimes, attendRows } = run;
  const scratch = 1024 + member * scratchBytes;
  return {
    roundInputs: (x, groups, { at, bits }) => run.roundInputs(x, groups, at, inputTop[bits]),
    product4: (p, scales, mins, x) => run.product4(p.weights, scales, mins, p.groups, x.at, x.bits === 8 ? 1 : 0, p.tokens, p.out, p.stride, p.first, p.last, scratch),
    product8: (p, scales, mins, x) => run.product8(p.weights, scales, mins, p.groups, x.at, p.tokens, p.out, p.stride, p.first, p.last, scratch),
    product8Halves: (p, scales, x) => run.product8Halves(p.weights, scales, p.groups, x.at, p.tokens, p.out, p.stride, p.first, p.last, scratch),
    productPacked: (p, { bits, less, table, wide = false, fine, minima, halves }, sides, x) =>
      run.productPacked(bits, less, table, Number(wide), Number(fine), Number(minima), Number(halves), p.weights, sides, p.groups, x.at, x.bits === 8 ? 1 : 0, p.tokens, p.out, p.stride, p.first, p.last, scratch),
    productTrellis: (p, form, scales, x) => run.productTrellis(form, p.weights, scales, p.groups, x.at, p.tokens, p.out, p.stride, p.first, p.last, scratch),
    productFloat: (p, x) => run.productFloat(p.weights, p.groups, x, p.tokens, p.out, p.stride, p.first, p.last),
    rmsNorm, addTo, rotate, siluTimes, attendRows,
    attend: (query, keys, values, stride, from, to, width, scale, scores, out, listed = 0, more = 0) => run.attend(query, keys, values, stride, from, to, width, scale, scores, out, listed, more),
  };
}

/** The build that is taken here. */
export const fastestBuild = (): LowBitBuild => fasterOf(lowbitRelaxedWasm, dotsAddUp);

/** Rows of extreme and of mixed codes, and of values of a table that need the most bits, against sums worked out here, with inputs of both widths. */
function dotsAddUp(): boolean {
  const memory = new WebAssembly.Memory({ initial: 3 });
  const kernels = lowBitKernels(memory, 'relaxed SIMD');
  const [W, F] = [new Uint8Array(memory.buffer), new Float32Array(memory.buffer)];
  const groups = 2;
  const [x, weights, scales, mins, out, at, table] = [0, 1024, 2048, 3072, 4096, 5120, 6144].map((offset) => reservedBytes + offset);
  const levels = Array.from({ length: 16 }, (_, code) => 273 * code - 2048);
  for (let i = 0; i < groups * 128; i++) W[weights + i] = i % 3 === 0 ? 255 : (i * 37) & 255;
  F.fill(1, scales / 4, scales / 4 + groups * panelRows);
  levels.forEach((level, code) => {
    W[table + code] = level;
    W[table + 16 + code] = level >> 8;
  });
  const form = { bits: 4, less: 0, table, wide: true, fine: false, minima: false, halves: false } as const;
  const place = { weights, groups, tokens: 1, out, stride: panelRows, first: 0, last: 1 };
  return ([8, 16] as const).every((bits) => {
    const top = inputTop[bits];
    const inputs = { at, bits };
    // The largest of a group is its largest code, so that inputs are their codes.
    for (let i = 0; i < groups * groupSize; i++) F[x / 4 + i] = i % 2 === 0 ? (i % 4 === 0 ? top : -top) : ((i * 2929) % (2 * top + 1)) - top;
    kernels.roundInputs(x, groups, inputs);
    /** Rows are sums of `value` of their codes times inputs, exact in a group. */
    const isSum = (value: (code: number) => number): boolean => Array.from({ length: panelRows }, (_, row) => row).every((row) => {
      const sums = Array.from({ length: groups }, (_, g) => {
        let sum = 0;
        for (let c = 0; c < groupSize; c++) sum += value(nibbleAt(W, weights + g * 128, row, c)) * F[x / 4 + g * groupSize + c];
        return Math.fround(sum);
      });
      return F[out / 4 + row] === sums.reduce((all, sum) => Math.fround(all + sum));
    });
    kernels.product4(place, scales, mins, inputs);
    if (!isSum((code) => code)) return false;
    kernels.productPacked(place, form, scales, inputs);
    return isSum((code) => levels[code]);
  });
}

/** Where the code of a row and column of a group in four bits is: its byte, and the bits below it there. */
export function nibblePlace(row: number, column: number): { readonly byte: number; readonly shift: number } {
  const pair = (column >> 1) & 3;
  return { byte: (column >> 3) * 32 + row * 4 + (column & 1) * 2 + (pair >> 1), shift: 4 * (pair & 1) };
}

/** The same of the two bits of a group in two or three, and of the third bit behind them. */
export const twoBitPlace = (row: number, column: number): { readonly byte: number; readonly shift: number } =>
  ({ byte: (column >> 4) * 32 + row * 4 + fewByte(column), shift: 2 * fewStep(column) });
export const thirdBitPlace = (row: number, column: number): { readonly byte: number; readonly shift: number } =>
  ({ byte: 64 + row * 4 + fewByte(column), shift: 4 * (column >> 4) + fewStep(column) });
const fewByte = (column: number): number => (column & 1) * 2 + ((column >> 2) & 1);
const fewStep = (column: number): number => ((column >> 3) & 1) * 2 + ((column >> 1) & 1);

/** Where the code of a row and column of a group in eight bits is. */
export const bytePlace = (row: number, column: number): number => (column >> 1) * 16 + row * 2 + (column & 1);

function nibbleAt(bytes: Uint8Array, group: number, row: number, column: number): number {
  const { byte, shift } = nibblePlace(row, column);
  return (bytes[group + byte] >> shift) & 15;
}
