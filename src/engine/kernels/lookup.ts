/**
 * Products with weights of two bits that only add, as WASM SIMD with plain twins over the same memory: ternary weights,
 * and complex ones in {±1, ±i}. Layouts and the order of operations are described in kernels/lookup/index.ts; both give
 * the same bits.
 */
import { kernelsOver } from './instance.ts';
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

export function lookupKernels(memory: WebAssembly.Memory): LookupKernels {
  const run = kernelsOver<Exports>(lookupWasm(), memory);
  return {
    tables: (x, { plus, minus }, whole, to) => run.tables(x, to.tokens, to.blocks, whole ? 1 : 0, plus, minus, to.tables, to.scales),
    product: (w, scales, x, { out, stride, first, last, panels }) => run.product(w, scales, x.blocks, panels, x.tables, x.scales, x.tokens, out, stride, first, last),
  };
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
