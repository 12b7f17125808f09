/** The standard normal distribution: density and distribution function with the same bits on every machine. */
import { exp } from './elementary.ts';

const rootTwoPi = 2.5066282746310002;

export const normalDensity = (x: number): number => exp(-0.5 * x * x) / rootTwoPi;

/** P(X ≤ x), absolute error below 1e-15: ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …). */
export function normalCdf(x: number): number {
  if (Math.abs(x) > 9) return x > 0 ? 1 : 0;
  let term = x;
  let sum = x;
  for (let k = 3; sum + term !== sum; k += 2) {
    term *= (x * x) / k;
    sum += term;
  }
  return 0.5 + normalDensity(x) * sum;
}
