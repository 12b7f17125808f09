/**
 * Products of low-bit matrices and the steps of a decoder between them, as WASM SIMD with plain twins over the same
 * memory. Layouts and the order of operations are described in kernels/lowbit/index.ts; both give the same bits.
 */
import { lowbitRelaxedWasm } from './lowbit-relaxed.wasm.ts';
import { lowbitSharedRelaxedWasm } from './lowbit-shared-relaxed.wasm.ts';
import { lowbitSharedWasm } from './lowbit-shared.wasm.ts';
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

/** Addresses of rounded inputs: codes in 16 bits and the same in 8, a scale and the sum of the codes per group. */
export interface RoundedPlace { readonly codes: number; readonly bytes: number; readonly scales: number; readonly totals: number }

/** Addresses of float inputs spread for four-bit weights, 128 bytes a group, and of their sums per group. */
export interface SpreadPlace { readonly values: number; readonly totals: number }

export interface LowBitKernels {
  roundInputs(x: number, groups: number, to: RoundedPlace): void;
  product4(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  spreadInputs(x: number, groups: number, to: SpreadPlace): void;
  /** Four bits with inputs that are not rounded. */
  product4Float(place: ProductPlace, scales: number, mins: number, inputs: SpreadPlace): void;
  /** `mins` is 0 where there are none. */
  product8(place: ProductPlace, scales: number, mins: number, inputs: RoundedPlace): void;
  product8Halves(place: ProductPlace, scales: number, inputs: RoundedPlace): void;
  productFloat(place: ProductPlace, x: number): void;
  rmsNorm(x: number, weight: number, count: number, epsilon: number, out: number): void;
  addTo(x: number, y: number, count: number): void;
  rotate(x: number, heads: number, half: number, cos: number, sin: number): void;
  siluTimes(gate: number, up: number, count: number): void;
  /** `listed`: where the numbers of `more` positions lie that follow those in [from, to). */
  attend(query: number, keys: number, values: number, stride: number, from: number, to: number, width: number, scale: number, scores: number, out: number, listed?: number, more?: number): void;
}

type Exports = Readonly<Record<'roundInputs' | 'product4' | 'spreadInputs' | 'product4Float' | 'product8' | 'product8Halves' | 'productFloat' | 'rmsNorm' | 'addTo' | 'rotate' | 'siluTimes' | 'attend', (...args: number[]) => void>>;

/** Bytes at the beginning of the memory that belong to the kernels. */
export const reservedBytes = 1024;

export type LowBitBuild = 'plain SIMD' | 'relaxed SIMD';

/** Kernels over a memory, shared or not, in the fastest build that passes its test here, or in one that is asked for. */
export function lowBitKernels(memory: WebAssembly.Memory, build: LowBitBuild = fastestBuild()): LowBitKernels {
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const bytes = build === 'relaxed SIMD' ? (shared ? lowbitSharedRelaxedWasm() : lowbitRelaxedWasm()) : shared ? lowbitSharedWasm() : lowbitWasm();
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory, abort: () => { throw new Error('kernel aborted'); } } });
  const run = instance.exports as unknown as Exports;
  const { rmsNorm, addTo, rotate, siluTimes } = run;
  return {
    roundInputs: (x, groups, to) => run.roundInputs(x, groups, to.codes, to.bytes, to.scales, to.totals),
    product4: (p, scales, mins, x) => run.product4(p.weights, scales, mins, p.groups, x.codes, x.bytes, x.scales, x.totals, p.tokens, p.out, p.stride, p.first, p.last),
    spreadInputs: (x, groups, to) => run.spreadInputs(x, groups, to.values, to.totals),
    product4Float: (p, scales, mins, x) => run.product4Float(p.weights, scales, mins, p.groups, x.values, x.totals, p.tokens, p.out, p.stride, p.first, p.last),
    product8: (p, scales, mins, x) => run.product8(p.weights, scales, mins, p.groups, x.codes, x.scales, x.totals, p.tokens, p.out, p.stride, p.first, p.last),
    product8Halves: (p, scales, x) => run.product8Halves(p.weights, scales, p.groups, x.codes, x.scales, p.tokens, p.out, p.stride, p.first, p.last),
    productFloat: (p, x) => run.productFloat(p.weights, p.groups, x, p.tokens, p.out, p.stride, p.first, p.last),
    rmsNorm, addTo, rotate, siluTimes,
    attend: (query, keys, values, stride, from, to, width, scale, scores, out, listed = 0, more = 0) => run.attend(query, keys, values, stride, from, to, width, scale, scores, out, listed, more),
  };
}

let fastest: LowBitBuild | undefined;

/** Relaxed dot products where the engine compiles them and they add up: Node 20 gives wrong sums, some engines none. */
export function fastestBuild(): LowBitBuild {
  fastest ??= WebAssembly.validate(lowbitRelaxedWasm()) && dotsAddUp() ? 'relaxed SIMD' : 'plain SIMD';
  return fastest;
}

/** Four rows of extreme and of mixed codes against sums worked out here. */
function dotsAddUp(): boolean {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = lowBitKernels(memory, 'relaxed SIMD');
  const [weights, scales, mins, codes, bytes, out] = [1024, 2048, 3072, 4096, 5120, 8192];
  const [W, X, F] = [new Uint8Array(memory.buffer), new Int8Array(memory.buffer), new Float32Array(memory.buffer)];
  const groups = 4;
  for (let i = 0; i < groups * 64; i++) W[weights + i] = i % 3 === 0 ? 255 : (i * 37) & 255;
  for (let i = 0; i < groups * groupSize; i++) X[bytes + i] = i % 2 === 0 ? (i % 4 === 0 ? 127 : -127) : ((i * 29) % 255) - 127;
  F.fill(1, scales / 4, scales / 4 + groups * panelRows);
  F.fill(1, 6144 / 4, 6144 / 4 + groups);
  kernels.product4({ weights, groups, tokens: 1, out, stride: panelRows, first: 0, last: 1 }, scales, mins, { codes, bytes, scales: 6144, totals: 7168 });
  for (let row = 0; row < panelRows; row++) {
    let sum = 0;
    for (let c = 0; c < groups * groupSize; c++) {
      const byte = W[weights + Math.floor(c / groupSize) * 64 + row * 16 + (c % 16)];
      sum += (c % groupSize < 16 ? byte & 15 : byte >> 4) * X[bytes + c];
    }
    if (F[out / 4 + row] !== sum) return false;
  }
  return true;
}
