/**
 * Random numbers as a pure function of (seed, stream, index): Threefry-2x32 with 20 rounds
 * (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). No state, so any element can be made
 * anywhere, in any order, on any number of threads.
 */
import { log } from './elementary.ts';

const rotations = [13, 15, 26, 6, 17, 29, 16, 24];
let high = 0;

/** One block: two 32-bit words, the first returned and the second left in `high`. */
function threefry(key0: number, key1: number, counter0: number, counter1: number): number {
  const keys = [key0, key1, key0 ^ key1 ^ 0x1bd11bda];
  let x = (counter0 + key0) | 0;
  let y = (counter1 + key1) | 0;
  for (let round = 0; round < 20; round++) {
    x = (x + y) | 0;
    const r = rotations[round & 7];
    y = ((y << r) | (y >>> (32 - r))) ^ x;
    if ((round & 3) === 3) {
      const step = (round + 1) >>> 2;
      x = (x + keys[step % 3]) | 0;
      y = (y + keys[(step + 1) % 3] + step) | 0;
    }
  }
  high = y >>> 0;
  return x >>> 0;
}

/** Two independent 32-bit words for a key (two words) and a counter (two words). */
export function randomBits(key: readonly [number, number], counter: readonly [number, number]): [number, number] {
  const low = threefry(key[0], key[1], counter[0], counter[1]);
  return [low, high];
}

/** Uniform in [0, 1), 53 bits; `seed` and `stream` are 32-bit integers, `index` a safe integer. */
export function uniform(seed: number, stream: number, index: number): number {
  const low = threefry(seed, stream, index >>> 0, Math.floor(index / 4294967296));
  return ((low >>> 5) * 67108864 + (high >>> 6)) / 9007199254740992;
}

/** Standard normal, by the inverse distribution function of one uniform. */
export function normal(seed: number, stream: number, index: number): number {
  return inverseNormal(uniform(seed, stream, index) + 5.551115123125783e-17);
}

/** Integer in [0, bound), without bias beyond 2^-53. */
export function randomInteger(seed: number, stream: number, index: number, bound: number): number {
  return Math.floor(uniform(seed, stream, index) * bound);
}

/** A permutation of 0..n−1 (Fisher–Yates). */
export function permutation(seed: number, stream: number, n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = randomInteger(seed, stream, i, i + 1);
    const held = order[i];
    order[i] = order[j];
    order[j] = held;
  }
  return order;
}

const central = [
  [3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457,
    67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
  [1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867,
    39307.89580009271061, 28729.085735721942674, 5226.495278852854561],
] as const;
const middle = [
  [1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258,
    0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4],
  [1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459,
    0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9],
] as const;
const tail = [
  [6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123, 0.026532189526576123093,
    0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
  [1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4,
    1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15],
] as const;

function ratio([above, below]: readonly [readonly number[], readonly number[]], x: number): number {
  let p = 0;
  let q = 0;
  for (let i = 7; i >= 0; i--) {
    p = p * x + above[i];
    q = q * x + below[i];
  }
  return p / q;
}

/** Quantile of the standard normal at p in (0, 1); relative error about 1e-16 (Wichura, algorithm AS 241, 1988). */
export function inverseNormal(p: number): number {
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(central, 0.180625 - q * q);
  const r = Math.sqrt(-log(q < 0 ? p : 1 - p));
  const x = r <= 5 ? ratio(middle, r - 1.6) : ratio(tail, r - 5);
  return q < 0 ? -x : x;
}
