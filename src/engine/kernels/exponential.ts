/** The plain twins of kernels/lowbit/vector.ts: the same bits. */
import { rne } from '../../numeric/rounding.ts';

const f = Math.fround;

/** Coefficients of e^r after the highest power, highest first. */
const polynomial = [0.0013981999, 0.008333452, 0.041665795, 0.16666666, 0.5].map(f);

/** e^x in float32 for x up to a little above 0; 0 below −87. */
export function exponential(x: number): number {
  if (!(x >= -87)) return 0;
  const n = rne(f(x * f(1.4426950408889634)));
  const r = f(f(x - f(n * f(0.693359375))) - f(n * f(-0.00021219444)));
  let p = f(0.00019875691);
  for (const coefficient of polynomial) p = f(f(p * r) + coefficient);
  return f(f(f(f(p * f(r * r)) + r) + 1) * 2 ** n);
}

/** x / (1 + e^−x). */
export function silu(x: number): number {
  const e = exponential(-Math.abs(x));
  return f(x * f((x < 0 ? e : 1) / f(1 + e)));
}

/** Σ of four lanes as the kernels add them. */
export const lanes = (v: readonly number[]): number => f(f(v[0] + v[2]) + f(v[1] + v[3]));
