/**
 * Bits per layer if any width could be had and every bit quartered the error: b = B + ½·(log₂(a/n) − its mean weighted by n),
 * layers that would fall below zero set to zero and the rest solved again (Q-Palette, arXiv:2509.20214, section 3). What a
 * choice of real formats can be held against.
 */
import { log } from '../numeric/elementary.ts';

export interface FilledLayer {
  /** Loss per relative squared error. */
  readonly slope: number;
  readonly weights: number;
}

/** Bits of each layer for `bits` bits per weight on average. */
export function fillBits(layers: readonly FilledLayer[], bits: number): number[] {
  const need = layers.map(({ slope, weights }) => log(slope / weights) / log(2) / 2);
  const all = layers.reduce((sum, { weights }) => sum + weights, 0);
  let open = layers.map((_, i) => i);
  for (;;) {
    const count = open.reduce((sum, i) => sum + layers[i].weights, 0);
    const mean = open.reduce((sum, i) => sum + layers[i].weights * need[i], 0) / count;
    const level = (bits * all) / count - mean;
    const kept = open.filter((i) => need[i] + level > 0);
    if (kept.length === open.length) return layers.map((_, i) => (open.includes(i) ? need[i] + level : 0));
    open = kept;
  }
}
