/**
 * Products with weights of two bits that only add, as WASM SIMD with plain twins over the same memory: ternary weights,
 * and complex ones in {±1, ±i}. Layouts and the order of operations are described in kernels/lookup/index.ts; both give
 * the same bits.
 */
import { fasterOf, type Build } from './builds.ts';
import { kernelsOver } from './instance.ts';
import { lookupRelaxedWasm } from './lookup-relaxed.wasm.ts';
import { lookupWasm } from './lookup.wasm.ts';

/** Columns whose sums are integers. */
export const blockSize = 128;
/** Rows that lie together. */
export const panelRows = 16;

/** Digits of weights that add and that subtract an input; the others leave it out. */
export interface Signs { readonly plus: number; readonly minus: number }

/** Digits of ternary weights: 0, 1 and −1 are 0, 1 and 2. */
export const ternary: Signs = { plus: 1, minus: 2 };
/** Digits of i^n are n. What weights on the real axis add of a part of the inputs, and what those on the imaginary one do. */
export const real: Signs = { plus: 0, minus: 2 };
export const imaginary: Signs = { plus: 1, minus: 3 };

/** Bytes of a token's tables. */
export const tableBytes = (blocks: number): number => 2048 * blocks;

/** Tables of tokens [tokens, blocks · 128], and their scales [tokens, blocks]. */
export interface LookupInputs { readonly tokens: number; readonly blocks: number; readonly tables: number; readonly scales: number }

/** Results [tokens, stride] of panels [first, last) of `panels`. */
export interface LookupOutput { readonly out: number; readonly stride: number; readonly first: number; readonly last: number; readonly panels: number }

export interface LookupKernels {
  /** Rounds to 8 bits, with a scale for each block, or one for each token where `whole` is set. */
  tables(x: number, signs: Signs, whole: boolean, to: LookupInputs): void;
  /** `scales` of the weights lie [block][panel][row]. */
  product(weights: number, scales: number, inputs: LookupInputs, output: LookupOutput): void;
}

type Exports = Readonly<Record<'tables' | 'product', (...args: number[]) => void>>;

/** Kernels over a memory, shared or not, in the fastest build that passes its test here, or in one that is asked for. */
export function lookupKernels(memory: WebAssembly.Memory, build: Build = fastestLookup()): LookupKernels {
  const run = kernelsOver<Exports>(build === 'relaxed SIMD' ? lookupRelaxedWasm() : lookupWasm(), memory);
  return {
    tables: (x, { plus, minus }, whole, to) => run.tables(x, to.tokens, to.blocks, whole ? 1 : 0, plus, minus, to.tables, to.scales),
    product: (w, scales, x, { out, stride, first, last, panels }) => run.product(w, scales, x.blocks, panels, x.tables, x.scales, x.tokens, out, stride, first, last),
  };
}

/** The build that is taken here. */
export const fastestLookup = (): Build => fasterOf(lookupRelaxedWasm, sumsAddUp);

/** All indices of tables of extreme and mixed codes against sums worked out here. */
function sumsAddUp(): boolean {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const F = new Float32Array(memory.buffer);
  const [x, tables, scales, weights, wScales, out] = [1024, 2048, 4096, 5120, 6144, 7168];
  const digits = Uint8Array.from({ length: panelRows * blockSize }, (_, i) => (i * 7 + (i >> 5)) & 3);
  new Uint8Array(memory.buffer).set(packDigits(digits, panelRows, blockSize), weights);
  F.fill(1, wScales / 4, wScales / 4 + panelRows);
  // The largest is its largest code, so that inputs are their codes.
  for (let i = 0; i < blockSize; i++) F[x / 4 + i] = i % 2 === 0 ? 127 : ((i * 29) % 255) - 127;
  const kernels = lookupKernels(memory, 'relaxed SIMD');
  const inputs: LookupInputs = { tokens: 1, blocks: 1, tables, scales };
  kernels.tables(x, ternary, false, inputs);
  kernels.product(weights, wScales, inputs, { out, stride: panelRows, first: 0, last: 1, panels: 1 });
  return Array.from({ length: panelRows }, (_, row) => row).every((row) => {
    let sum = 0;
    for (let c = 0; c < blockSize; c++) sum += [0, 1, -1, 0][digits[row * blockSize + c]] * F[x / 4 + c];
    return F[out / 4 + row] === sum;
  });
}

/** Byte and shift of the digit of a weight, of `panels` in all. */
export function digitPlace(panels: number, row: number, col: number): { readonly at: number; readonly shift: number } {
  const lane = row & 15;
  return {
    at: ((col >> 7) * panels + (row >> 4)) * 512 + ((col & 127) >> 2) * 16 + (lane < 8 ? 2 * lane : 2 * lane - 15),
    shift: 2 * (col & 3),
  };
}

/** Digits 0 to 3 of a matrix [rows, cols] as the kernels read them; rows and columns are filled up with `fill`, which should add nothing. */
export function packDigits(digits: Uint8Array, rows: number, cols: number, fill = 0): Uint8Array<ArrayBuffer> {
  const [panels, blocks] = [Math.ceil(rows / panelRows), Math.ceil(cols / blockSize)];
  const bytes = new Uint8Array(panels * blocks * 512).fill(fill * 0x55);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const { at, shift } = digitPlace(panels, r, c);
      bytes[at] = (bytes[at] & ~(3 << shift)) | (digits[r * cols + c] << shift);
    }
  }
  return bytes;
}

/** Scales of a matrix as the kernels read them, from that of each row and block. */
export function packRowScales(rows: number, cols: number, scaleOf: (row: number, block: number) => number): Float32Array<ArrayBuffer> {
  const [panels, blocks] = [Math.ceil(rows / panelRows), Math.ceil(cols / blockSize)];
  return Float32Array.from({ length: blocks * panels * panelRows }, (_, i) => {
    const row = i % (panels * panelRows);
    return row < rows ? scaleOf(row, Math.floor(i / (panels * panelRows))) : 0;
  });
}
