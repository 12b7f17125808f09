/**
 * Real factors as m / 2^e, so that integers are rescaled by a multiplication, an addition and a shift
 * (HAWQ-V3, arXiv:2011.10680, section 3.1).
 */
import { defineErrors } from '../errors.ts';

export interface Dyadic {
  /** 0, or from 2^30 to 2^31 − 1. */
  readonly multiplier: number;
  /** 0 to 62. */
  readonly shift: number;
}

const errors = defineErrors('dyadic', {
  factor: ({ factor }: { factor: number }) => `the factor ${factor} has no dyadic form; factors lie from 0 to 2^30`,
});

/** The nearest m / 2^e with m of 31 bits. Factors below 2^−32 are 0: no 32-bit integer times one of them rounds to anything else. */
export function dyadic(factor: number): Dyadic {
  if (!(factor >= 0 && factor < 2 ** 30)) throw errors.factor({ factor });
  if (factor < 2 ** -32) return { multiplier: 0, shift: 0 };
  // factor = f · 2^x with f in [1/2, 1).
  let x = Math.floor(Math.log2(factor)) + 1;
  if (factor >= 2 ** x) x++;
  else if (factor < 2 ** (x - 1)) x--;
  const multiplier = Math.floor(factor * 2 ** (31 - x) + 0.5);
  return multiplier === 2 ** 31 ? { multiplier: 2 ** 30, shift: 30 - x } : { multiplier, shift: 31 - x };
}

/** What a dyadic number is worth. */
export const dyadicValue = ({ multiplier, shift }: Dyadic): number => multiplier / 2 ** shift;

/**
 * 32-bit integers times m / 2^e, rounded to nearest, halves upward: ⌊(a·m + 2^(e−1)) / 2^e⌋. The product has up to 62 bits;
 * its halves are kept apart so that every step is exact in doubles.
 */
export function rescaler({ multiplier, shift }: Dyadic): (integer: number) => number {
  const high = Math.floor(multiplier / 65536);
  const low = multiplier - high * 65536;
  const unit = 2 ** (16 - shift);
  if (shift > 16) {
    const half = 2 ** (shift - 17);
    return (integer) => Math.floor((integer * high + Math.floor((integer * low) / 65536) + half) * unit);
  }
  const half = shift > 0 ? 2 ** (shift - 1) : 0;
  const step = 2 ** -shift;
  return (integer) => {
    const rest = integer * low + half;
    const carry = Math.floor(rest / 65536);
    return (integer * high + carry) * unit + Math.floor((rest - carry * 65536) * step);
  };
}
