/**
 * Products of low-bit matrices and the steps of a decoder between them, as WASM SIMD with plain twins over the same
 * memory. Layouts and the order of operations are described in kernels/lowbit/index.ts; both give the same bits.
 */
import { lowbitWasm } from './lowbit.wasm.ts';

/** Columns that share a scale, and are summed in integers. */
export const groupSize = 32;
/** Rows that lie together. */
export const panelRows = 4;

/** Where a matrix product reads and writes; addresses in bytes, `stride` and counts in values. */
export interface ProductPlace {
  readonly weights: number;
  readonly groups: number;
  /** Tokens [tokens, groups · 32] that are multiplied, and results [tokens, stride]. */
  readonly tokens: number;
  readonly out: number;
  readonly stride: number;
  /** Panels [first, last). */
  readonly first: number;
  readonly last: number;
}

/** Addresses of rounded inputs: codes in 16 bits, a scale and the sum of the codes per group. */
export interface RoundedPlace { readonly codes: number; readonly scales: number; readonly totals: number }

export interface LowBitKernels {
  roundInputs(x: number, groups: number, to: RoundedPlace): void;
  product4(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  /** `mins` is 0 where there are none. */
  product8(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  product8Halves(place: ProductPlace, scales: number, inputs: RoundedPlace): void;
  productFloat(place: ProductPlace, x: number): void;
  rmsNorm(x: number, weight: number, count: number, epsilon: number, out: number): void;
  addTo(x: number, y: number, count: number): void;
  rotate(x: number, heads: number, half: number, cos: number, sin: number): void;
  siluTimes(gate: number, up: number, count: number): void;
  attend(query: number, keys: number, values: number, stride: number, from: number, to: number, width: number, scale: number, scores: number, out: number): void;
}

type Exports = Readonly<Record<'roundInputs' | 'product4' | 'product8' | 'product8Halves' | 'productFloat' | 'rmsNorm' | 'addTo' | 'rotate' | 'siluTimes' | 'attend', (...args: number[]) => void>>;

/** Bytes at the beginning of the memory that belong to the kernels. */
export const reservedBytes = 1024;

export function lowBitKernels(memory: WebAssembly.Memory): LowBitKernels {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(lowbitWasm()), { env: { memory, abort: () => { throw new Error('kernel aborted'); } } });
  const run = instance.exports as unknown as Exports;
  const { rmsNorm, addTo, rotate, siluTimes, attend } = run;
  return {
    roundInputs: (x, groups, { codes, scales, totals }) => run.roundInputs(x, groups, codes, scales, totals),
    product4: (p, scales, mins, x) => run.product4(p.weights, scales, mins, p.groups, x.codes, x.scales, x.totals, p.tokens, p.out, p.stride, p.first, p.last),
    product8: (p, scales, mins, x) => run.product8(p.weights, scales, mins, p.groups, x.codes, x.scales, x.totals, p.tokens, p.out, p.stride, p.first, p.last),
    product8Halves: (p, scales, x) => run.product8Halves(p.weights, scales, p.groups, x.codes, x.scales, p.tokens, p.out, p.stride, p.first, p.last),
    productFloat: (p, x) => run.productFloat(p.weights, p.groups, x, p.tokens, p.out, p.stride, p.first, p.last),
    rmsNorm, addTo, rotate, siluTimes, attend,
  };
}
