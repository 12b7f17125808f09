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

/** `count` fair coins, 0 or 1: sixty-four from one block. */
export function coinFlips(seed: number, stream: number, step: number, count: number): Uint8Array {
  const coins = new Uint8Array(count);
  for (let at = 0; at < count; at += 64) {
    const low = threefry(seed, stream, step, at >>> 6);
    const upper = high;
    for (let i = 0; i < 32 && at + i < count; i++) coins[at + i] = (low >>> i) & 1;
    for (let i = 32; i < 64 && at + i < count; i++) coins[at + i] = (upper >>> (i - 32)) & 1;
  }
  return coins;
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
  [3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987,
    67265.7709270087, 33430.57558358813, 2509.0809287301227],
  [1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597,
    39307.89580009271, 28729.085735721943, 5226.495278852854],
] as const;
const middle = [
  [1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
    0.2417807251774506, 0.022723844989269184, 0.0007745450142783414],
  [1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008,
    0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9],
] as const;
const tail = [
  [6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
    0.0012426609473880784, 0.000027115555687434876, 2.0103343992922881e-7],
  [1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
    0.000018463183175100548, 1.421511758316446e-7, 2.0442631033899397e-15],
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
