/** What the decoder of state-space models asks of their mixers. */
import type { LowBitKernels } from '../engine/kernels/lowbit.ts';
import type { SsmKernels } from '../engine/kernels/ssm.ts';
import { exp, log } from '../numeric/elementary.ts';
import type { Arena } from './arena.ts';
import type { ArenaWeights } from './arena-weights.ts';
import type { PackedMatrix } from './packed-matrix.ts';

/** Tokens whose products are computed together. */
export const chunk = 32;

export interface MixerContext {
  readonly arena: Arena;
  readonly kernels: LowBitKernels;
  readonly scans: SsmKernels;
  readonly weights: ArenaWeights;
  /** A matrix times tokens; those and results lie in rows of whole groups of 32 values. */
  product(matrix: PackedMatrix, x: number, tokens: number, out: number): void;
}

/** Of one layer: its state is part of it. */
export interface Mixer {
  /** From the rows of the input projection to what the output projection multiplies. */
  mix(projected: number, tokens: number, inner: number): void;
  /** Forgets the text. */
  clear(): void;
}

export interface Mixers {
  /** Rows of the input projection. */
  readonly rows: number;
  /** Floats of the state of a layer. */
  readonly stateFloats: number;
  layer(index: number): Promise<Mixer>;
}

/** [channels, 1, kernel] → [kernel][channels], as the kernel of the convolution reads it. */
export const byPosition = (conv: Float32Array, channels: number, kernel: number): Float32Array => conv.map((_, at) => conv[(at % channels) * kernel + Math.floor(at / channels)]);

/** log(1 + e^x), the step size that a projection gives. */
export const softplus = (x: number): number => Math.fround(x > 0 ? x + log(1 + exp(-x)) : log(1 + exp(x)));

/** −e^x, the rate of decay that A_log gives. */
export const rateOf = (logarithm: number): number => -Math.fround(exp(logarithm));
