/** Rounding to integers, exact for every float64. Math.round is neither of these (it is half-up). */

/** 1.5·2^52: adding it to |x| < 2^51 leaves no fraction bits, so the addition itself rounds to nearest-even. */
const magic = 6755399441055744;

/** Nearest integer, ties to even. */
export function rne(x: number): number {
  if (x < 2251799813685248 && x > -2251799813685248) return x + magic - magic;
  // From 2^51 on only halves can remain; from 2^52 on every float64 is an integer.
  const floor = Math.floor(x);
  const rest = x - floor;
  if (!(rest > 0)) return x;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Nearest integer, ties away from zero (C's `round`). */
export function rhaz(x: number): number {
  const whole = Math.trunc(x);
  const rest = x - whole;
  if (rest >= 0.5) return whole + 1;
  return rest <= -0.5 ? whole - 1 : whole;
}

export type Rounding = 'rne' | 'rhaz';

/** The rounding function of that name. */
export const roundingOf = (rounding: Rounding): ((x: number) => number) => (rounding === 'rne' ? rne : rhaz);
