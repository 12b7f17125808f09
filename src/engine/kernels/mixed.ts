/**
 * Products of 4-bit weights with inputs of 4 and 8 bits by block, and of 8-bit weights with 8-bit inputs, as WASM SIMD
 * with plain twins over the same memory. Layouts and the order of operations are described in kernels/mixed/index.ts;
 * both give the same bits. Codes of inputs are read by the build that made them.
 */
import { fasterOf, type Build } from './builds.ts';
import { kernelsOver } from './instance.ts';
import { mixedRelaxedWasm } from './mixed-relaxed.wasm.ts';
import { mixedWasm } from './mixed.wasm.ts';

/** Columns that share a scale and a width. */
export const blockSize = 128;
/** Rows that lie together. */
const panelRows = 4;

/** Inputs of a product: tokens [tokens, blocks · 128], rounded. Addresses in bytes. */
export interface MixedInputs {
  readonly tokens: number;
  readonly blocks: number;
  /** A byte for each block: 0 is 4 bits, 1 is 8. */
  readonly wide: number;
  readonly codes: number;
  /** Bytes that the codes of a token take: 128 for each narrow block, 256 for each wide one. */
  readonly width: number;
  /** [tokens, blocks] in float32, and as integers. */
  readonly scales: number;
  readonly lifts: number;
}

/** A float branch beside the product: values [panel][rank][4 rows], and what they multiply, [tokens, rank]. */
export interface MixedBranch { readonly up: number; readonly down: number; readonly rank: number }

/** Results [tokens, stride], of panels [first, last). */
export interface MixedOutput { readonly out: number; readonly stride: number; readonly first: number; readonly last: number }

export interface MixedKernels {
  /** `order` [blocks · 128] names the column that comes to each place; 0 leaves columns where they are. */
  roundBlocks(x: number, order: number, to: MixedInputs): void;
  product(weights: number, scales: number, inputs: MixedInputs, output: MixedOutput, branch?: MixedBranch): void;
  /** Codes [tokens, cols] of 8 bits kept in 16, a scale for each token; `cols` is a multiple of 32. */
  roundTokens(x: number, tokens: number, cols: number, codes: number, scales: number): void;
  /** Scales for each row [rows] and each token. */
  product8(weights: number, scales: number, cols: number, codes: number, inScales: number, tokens: number, output: MixedOutput): void;
}

type Exports = Readonly<Record<'roundBlocks' | 'product' | 'roundTokens' | 'product8', (...args: number[]) => void>>;

/** Bytes of a token's codes. */
export const codeBytes = (wide: ArrayLike<number>): number => Array.from(wide).reduce((bytes, isWide) => bytes + (isWide === 0 ? blockSize : 2 * blockSize), 0);

/** Kernels over a memory, shared or not, in the fastest build that passes its test here, or in one that is asked for. */
export function mixedKernels(memory: WebAssembly.Memory, build: Build = fastestMixed()): MixedKernels {
  const run = kernelsOver<Exports>(build === 'relaxed SIMD' ? mixedRelaxedWasm() : mixedWasm(), memory);
  return {
    roundBlocks: (x, order, to) => run.roundBlocks(x, to.tokens, to.blocks, to.wide, order, to.codes, to.width, to.scales, to.lifts),
    product: (w, scales, x, { out, stride, first, last }, { up, down, rank } = { up: 0, down: 0, rank: 0 }) =>
      run.product(w, scales, x.blocks, x.wide, x.codes, x.width, x.scales, x.lifts, up, down, rank, x.tokens, out, stride, first, last),
    roundTokens: run.roundTokens,
    product8: (w, scales, cols, codes, inScales, tokens, { out, stride, first, last }) => run.product8(w, scales, cols, codes, inScales, tokens, out, stride, first, last),
  };
}

/** The build that is taken here. */
export const fastestMixed = (): Build => fasterOf(mixedRelaxedWasm, dotsAddUp);

/** Extreme and mixed codes against sums worked out here, with inputs of both widths. */
function dotsAddUp(): boolean {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const F = new Float32Array(memory.buffer);
  const [x, wide, codes, scales, lifts, weights, wScales, out] = [1024, 4096, 5120, 6144, 6400, 7168, 9216, 10_240];
  const [tokens, blocks] = [3, 1];
  const rows = Int8Array.from({ length: panelRows * blockSize }, (_, i) => (i % 3 === 0 ? -8 : i % 3 === 1 ? 7 : ((i * 5) & 15) - 8));
  new Uint8Array(memory.buffer).set(packNibbles(rows, panelRows, blockSize), weights);
  F.fill(1, wScales / 4, wScales / 4 + panelRows);
  const kernels = mixedKernels(memory, 'relaxed SIMD');
  return [7, 127].every((top, isWide) => {
    new Uint8Array(memory.buffer)[wide] = isWide;
    // The largest of a block is its largest code, so that inputs are their codes.
    for (let i = 0; i < tokens * blockSize; i++) F[x / 4 + i] = i % 2 === 0 ? (i % 4 === 0 ? top : -top) : ((i * 29) % (2 * top + 1)) - top;
    const inputs: MixedInputs = { tokens, blocks, wide, codes, width: blockSize * (1 + isWide), scales, lifts };
    kernels.roundBlocks(x, 0, inputs);
    kernels.product(weights, wScales, inputs, { out, stride: panelRows, first: 0, last: 1 });
    for (let i = 0; i < tokens * panelRows; i++) {
      let sum = 0;
      for (let c = 0; c < blockSize; c++) sum += rows[(i % panelRows) * blockSize + c] * F[x / 4 + Math.floor(i / panelRows) * blockSize + c];
      if (F[out / 4 + i] !== sum) return false;
    }
    return true;
  });
}

/** Codes −8 … 7 of a matrix [rows, cols] as the kernels read them, columns filled up to whole blocks and rows to whole panels with zeros. */
export function packNibbles(codes: Int8Array, rows: number, cols: number): Uint8Array<ArrayBuffer> {
  const blocks = Math.ceil(cols / blockSize);
  const words = new Uint16Array(Math.ceil(rows / panelRows) * blocks * blockSize).fill(0x0808);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const at = wordOf(blocks, r, c);
      const shift = 4 * ((c >> 3) & 3);
      const code = codes[r * cols + c];
      words[at] = (words[at] & ~(15 << shift)) | (((shift & 4) === 0 ? code + 8 : code & 15) << shift);
    }
  }
  return new Uint8Array(words.buffer);
}

/** Where the word of a column lies, in words. */
export const wordOf = (blocks: number, row: number, col: number): number =>
  ((row >> 2) * blocks + (col >> 7)) * blockSize + (row & 3) * 32 + ((col & 127) >> 5) * 8 + (col & 7);

/** Scales [rows, blocks] as the kernels read them. */
export function packScales(scales: ArrayLike<number>, rows: number, blocks: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(Math.ceil(rows / panelRows) * panelRows * blocks);
  for (let r = 0; r < rows; r++) for (let b = 0; b < blocks; b++) out[((r >> 2) * blocks + b) * panelRows + (r & 3)] = scales[r * blocks + b];
  return out;
}

/** Codes of 8 bits of a matrix [rows, cols], `cols` a multiple of 16, as `product8` reads them. */
export function packBytes(codes: Int8Array, rows: number, cols: number): Int8Array<ArrayBuffer> {
  const out = new Int8Array(Math.ceil(rows / panelRows) * panelRows * cols);
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) out[(r >> 2) * panelRows * cols + (c >> 4) * 64 + (r & 3) * 16 + (c & 15)] = codes[r * cols + c];
  return out;
}
