/**
 * Rotary positions: how fast each pair of head dimensions turns. Long-context variants stretch the slow pairs;
 * YaRN (Peng et al. 2023) also scales cosine and sine.
 */
import { log, pow } from '../numeric/elementary.ts';

export type Rope =
  | { readonly kind: 'default'; readonly theta: number }
  /** All positions divided by `factor`. */
  | { readonly kind: 'linear'; readonly theta: number; readonly factor: number }
  /** Pairs whose wavelength exceeds the original context are slowed by `factor`, with a ramp below it. */
  | { readonly kind: 'llama3'; readonly theta: number; readonly factor: number; readonly lowFreqFactor: number; readonly highFreqFactor: number; readonly originalPositions: number }
  /** A ramp between pairs that turn `betaFast` and `betaSlow` times within the original context. */
  | {
    readonly kind: 'yarn'; readonly theta: number; readonly factor: number; readonly originalPositions: number;
    readonly betaFast: number; readonly betaSlow: number; readonly truncate: boolean;
    /** What cosine and sine are multiplied with. */
    readonly attentionFactor: number;
  };

/** Radians per position of each pair: [headDim / 2]. */
export function inverseFrequencies(rope: Rope, headDim: number): Float64Array {
  const pairs = headDim / 2;
  const plain = Float64Array.from({ length: pairs }, (_, i) => pow(rope.theta, (-2 * i) / headDim));
  switch (rope.kind) {
    case 'default': return plain;
    case 'linear': return plain.map((frequency) => frequency / rope.factor);
    case 'llama3': {
      const { factor, lowFreqFactor: low, highFreqFactor: high, originalPositions } = rope;
      return plain.map((frequency) => {
        const turns = (originalPositions * frequency) / (2 * Math.PI);
        if (turns < low) return frequency / factor;
        if (turns > high) return frequency;
        const ramp = (turns - low) / (high - low);
        return (1 - ramp) * (frequency / factor) + ramp * frequency;
      });
    }
    case 'yarn': {
      const { theta, factor, originalPositions, betaFast, betaSlow, truncate } = rope;
      // The pair that turns this many times within the original context.
      const pairOf = (turns: number): number => (headDim * log(originalPositions / (turns * 2 * Math.PI))) / (2 * log(theta));
      const low = Math.max(0, truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast));
      const high = Math.min(headDim - 1, truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow));
      const width = high === low ? 0.001 : high - low;
      return plain.map((frequency, i) => {
        const stretched = Math.min(1, Math.max(0, (i - low) / width));
        return (frequency / factor) * stretched + frequency * (1 - stretched);
      });
    }
    default: return rope satisfies never;
  }
}

/** YaRN's default scale of cosine and sine. */
export const yarnAttentionFactor = (factor: number, mscale = 1): number => (factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1);
