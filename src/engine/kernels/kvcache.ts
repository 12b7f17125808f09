/**
 * Blocks of keys and values in 4 or 8 bits, and attention over them, as WASM SIMD with plain twins over the same memory.
 * The layout and the order of operations are described in kernels/kvcache/index.ts; both give the same bits.
 */
import { kernelsOver } from './instance.ts';
import { kvcacheWasm } from './kvcache.wasm.ts';

/** Positions of a block. */
export const blockPositions = 32;
/** Sums of a head's products with 16 bits fit into 32 up to here. */
export const widestHead = 256;

export type BlockBits = 4 | 8;

const padded = (width: number): number => Math.ceil(width / 32) * 32;

/** Bytes of a block of one head of `width` channels: codes, and scales and minima as halves. */
export const blockBytes = (width: number, bits: BlockBits): number => 2 * blockPositions * padded(width) * (bits / 8) + 4 * padded(width) + 4 * blockPositions;

/** Bytes that attention of a head passes through. */
export const attentionScratch = (width: number): number => 6 * (padded(width) + blockPositions) + 4 * padded(width);

/** Where one query head attends; addresses and strides in bytes. */
export interface BlockAttention {
  readonly query: number;
  readonly width: number;
  readonly scale: number;
  /** The head's first block, how far they lie apart, how many, and the position in the first one to begin with. */
  readonly block: number;
  readonly blockStride: number;
  readonly blocks: number;
  readonly from: number;
  /** The head's float rows [first, last) that follow, and after them the `more` ones whose numbers are listed. */
  readonly keys: number;
  readonly values: number;
  readonly stride: number;
  readonly first: number;
  readonly last: number;
  readonly listed: number;
  readonly more: number;
  /** Room for a float per position, filled up to a multiple of four, and for `attentionScratch`. */
  readonly scores: number;
  readonly scratch: number;
  readonly out: number;
}

export interface KvCacheKernels {
  /** Rounds the rows of `blockPositions` positions, `stride` bytes apart, into a block of one head. */
  encode(bits: BlockBits, keys: number, values: number, stride: number, width: number, block: number): void;
  attend(bits: BlockBits, a: BlockAttention): void;
}

type Exports = Readonly<Record<'encode4' | 'encode8' | 'attend4' | 'attend8', (...args: number[]) => void>>;

export function kvCacheKernels(memory: WebAssembly.Memory): KvCacheKernels {
  const run = kernelsOver<Exports>(kvcacheWasm(), memory);
  return {
    encode: (bits, ...rest) => (bits === 4 ? run.encode4 : run.encode8)(...rest),
    attend: (bits, a) => (bits === 4 ? run.attend4 : run.attend8)(a.query, a.width, a.scale, a.block, a.blockStride, a.blocks, a.from, a.keys, a.values, a.stride, a.first, a.last, a.listed, a.more, a.scores, a.scratch, a.out),
  };
}
