/** Shared inputs and golden values of the format tests. */
import { readFileSync } from 'node:fs';

export const golden = JSON.parse(readFileSync(new URL('../vectors/formats.json', import.meta.url), 'utf8'));

/** V(0..n−1): float32((((31·i² + 17·i + 11) mod 257) − 128)·(1 + ⌊i/32⌋)/400). */
export const V = (n: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => ((((31 * i * i + 17 * i + 11) % 257) - 128) * (1 + Math.floor(i / 32))) / 400);

export const hex = (bytes: ArrayLike<number>): string => Array.from(bytes, (b) => (b & 0xff).toString(16).padStart(2, '0')).join('');

export const fromHex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Adjacent pairs into bytes, the first in the low nibble. */
export const pairsLowFirst = (codes: ArrayLike<number>): Uint8Array =>
  Uint8Array.from({ length: codes.length / 2 }, (_, i) => (codes[2 * i] & 15) | ((codes[2 * i + 1] & 15) << 4));

/** A heavy-tailed matrix from a fixed integer recurrence. */
export function heavyTailed(n: number, seed = 1): Float32Array {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296 - 0.5;
  };
  return Float32Array.from({ length: n }, () => {
    const u = next() + next() + next();
    return u * (1 + 6 * u * u * u * u);
  });
}
