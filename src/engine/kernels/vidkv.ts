/**
 * Attention over blocks of keys and values in 1.5 and 1.58 bits (VidKV) as WASM SIMD, with a plain twin over the same
 * memory. What bytes of a block hold and the order of operations are described in kernels/vidkv/index.ts; both give the
 * same bits.
 */
import { fromHalfSpectrum } from '../../numeric/half-spectrum.ts';
import { kernelsOver } from './instance.ts';
import { blockPositions, type BlockAttention } from './kvcache.ts';
import { vidkvWasm } from './vidkv.wasm.ts';

/** Channels of a head that take 2 bits, and the others. */
export const loudCount = (width: number): number => width >> 1;
export const quietCount = (width: number): number => width - loudCount(width);

/** Bytes of the keys, and of the values, of a block of one head. */
export const keyBytes = (width: number): number => Math.ceil(width / 8) + 12 * loudCount(width) + 6 * quietCount(width);
export const valueBytes = (width: number): number => 2 * width + Math.ceil((blockPositions * width) / 5);

/** Floats of a row of waves. */
export const waveStride = (width: number): number => Math.ceil(quietCount(width) / 4) * 4;

/** Bytes that attention of a head passes through. */
export const vidScratch = (width: number): number => 4 * width + Math.max(8 * waveStride(width), 72 + blockPositions * width);

/** Where attention finds what does not depend on the text: `waves` [quiet][waveStride] and `trits` [256][8]. */
export interface VidTables { readonly waves: number; readonly trits: number }

/** What each number of a half spectrum adds to each quiet channel. */
export function wavesOf(width: number): Float32Array {
  const [quiet, stride] = [quietCount(width), waveStride(width)];
  const waves = new Float32Array(quiet * stride);
  for (let i = 0; i < quiet; i++) fromHalfSpectrum(Float64Array.from({ length: quiet }, (_, k) => Number(k === i))).forEach((value, t) => { waves[t * stride + i] = value; });
  return waves;
}

/** The five digits of each byte, less 1. */
export const tritsOf = (): Int8Array => Int8Array.from({ length: 2048 }, (_, at) => ((at & 7) < 5 ? (Math.floor((at >> 3) / 3 ** (at & 7)) % 3) - 1 : 0));

export type VidAttention = (a: BlockAttention, tables: VidTables) => void;

export function vidAttention(memory: WebAssembly.Memory): VidAttention {
  const run = kernelsOver<{ attend(...args: number[]): void }>(vidkvWasm(), memory);
  return (a, { waves, trits }) => run.attend(a.query, a.width, a.scale, waves, trits, a.block, a.blockStride, keyBytes(a.width), a.blocks, a.from, a.keys, a.values, a.stride, a.first, a.last, a.listed, a.more, a.scores, a.scratch, a.out);
}
