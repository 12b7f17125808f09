/**
 * Hadamard matrices scaled to length one, all of them symmetric and so their own inverse: Sylvester's of powers of two,
 * Paley's of 12, 20, 28 and more (1933), and products of these.
 */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('hadamard', {
  order: (f: { order: number }) => `no Hadamard matrix of order ${f.order} is built here: products of powers of two and of p + 1 or 2(p + 1), p prime`,
  length: (f: { length: number; order: number }) => `${f.length} values do not divide into runs of ${f.order}`,
});

const isPowerOfTwo = (order: number): boolean => Number.isInteger(order) && order >= 1 && Number.isInteger(Math.log2(order));

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return Number.isInteger(n) && n > 1;
}

/** Paley factors have no fast transform; larger ones would cost what a dense matrix does. */
const largestPaley = 256;

/** Orders of the factors whose product is the matrix: one power of two, then Paley's; undefined where there is no such product. */
export function hadamardFactors(order: number): readonly number[] | undefined {
  if (isPowerOfTwo(order)) return [order];
  if (!Number.isInteger(order) || order % 4 !== 0) return undefined;
  for (let part = 12; part <= Math.min(order, largestPaley); part += 4) {
    if (order % part !== 0 || isPowerOfTwo(part) || !isPaley(part)) continue;
    const rest = hadamardFactors(order / part);
    if (rest !== undefined) return [...rest, part].filter((factor) => factor > 1);
  }
  return undefined;
}

const isPaley = (order: number): boolean =>
  (order % 4 === 0 && isPrime(order - 1)) || (order % 4 === 0 && isPrime(order / 2 - 1) && (order / 2 - 1) % 4 === 1);

/** Whether each residue modulo a prime is a square, 1, is none, −1, or is zero, 0. */
function quadraticCharacter(p: number): Int8Array {
  const character = new Int8Array(p).fill(-1);
  character[0] = 0;
  for (let i = 1; i < p; i++) character[(i * i) % p] = 1;
  return character;
}

/** Paley's matrix with entries ±1. Rows of the first kind are reordered and negated so that it is symmetric. */
function paley(order: number): Int8Array {
  const h = new Int8Array(order * order);
  if (isPrime(order - 1)) {
    const p = order - 1;
    const character = quadraticCharacter(p);
    for (let i = 0; i < order; i++) {
      for (let j = 0; j < order; j++) {
        const sum = (i + j - 2) % p;
        h[i * order + j] = i === 0 || j === 0 ? 1 : sum === 0 ? -1 : -character[sum];
      }
    }
    return h;
  }
  const half = order / 2;
  const character = quadraticCharacter(half - 1);
  for (let i = 0; i < half; i++) {
    for (let j = 0; j < half; j++) {
      const c = i === j ? 0 : i === 0 || j === 0 ? 1 : character[Math.abs(i - j)];
      const [a, b, d] = i === j ? [1, -1, -1] : [c, c, -c];
      h[2 * i * order + 2 * j] = a;
      h[2 * i * order + 2 * j + 1] = b;
      h[(2 * i + 1) * order + 2 * j] = b;
      h[(2 * i + 1) * order + 2 * j + 1] = d;
    }
  }
  return h;
}

function sylvester(order: number): Int8Array {
  return Int8Array.from({ length: order * order }, (_, i) => (ones(Math.floor(i / order) & (i % order)) % 2 === 0 ? 1 : -1));
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest > 0; rest &= rest - 1) count++;
  return count;
}

function factorsOf(order: number): readonly number[] {
  const factors = hadamardFactors(order);
  if (factors === undefined) throw errors.order({ order });
  return factors;
}

const signs = (order: number): Int8Array => (isPowerOfTwo(order) ? sylvester(order) : paley(order));

/** The matrix [order, order], row-major; entries ±1/√order. */
export function hadamardMatrix(order: number): Float32Array {
  let [size, product] = [1, Int8Array.of(1)];
  for (const factor of factorsOf(order)) {
    const [right, next] = [signs(factor), new Int8Array((size * factor) ** 2)];
    const width = size * factor;
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        next[i * width + j] = product[Math.floor(i / factor) * size + Math.floor(j / factor)] * right[(i % factor) * factor + (j % factor)];
      }
    }
    [size, product] = [width, next];
  }
  const entry = 1 / Math.sqrt(order);
  return Float32Array.from(product, (sign) => sign * entry);
}

/** The largest power of two that divides a width, at most `most`. */
export function hadamardOrder(width: number, most = 128): number {
  let order = 1;
  while (2 * order <= most && width % (2 * order) === 0) order *= 2;
  return order;
}

/** The largest divisor of a width that has a matrix here. */
export function largestHadamardOrder(width: number): number {
  for (let parts = 1; parts <= width; parts++) if (width % parts === 0 && hadamardFactors(width / parts) !== undefined) return width / parts;
  return 1;
}

/** Every run of `order` values multiplied by the matrix, factor by factor in float64, rounded once. */
export function hadamardTransform(values: ArrayLike<number>, order: number): Float32Array {
  const factors = factorsOf(order);
  if (values.length % order !== 0) throw errors.length({ length: values.length, order });
  const out = new Float32Array(values.length);
  const run = new Float64Array(order);
  const dense = factors.map((factor) => (isPowerOfTwo(factor) ? new Int8Array() : paley(factor)));
  const scale = 1 / Math.sqrt(order);
  for (let begin = 0; begin < values.length; begin += order) {
    for (let i = 0; i < order; i++) run[i] = values[begin + i];
    let step = order;
    factors.forEach((factor, at) => {
      step /= factor;
      if (isPowerOfTwo(factor)) butterflies(run, factor, step);
      else multiply(run, dense[at], factor, step);
    });
    for (let i = 0; i < order; i++) out[begin + i] = run[i] * scale;
  }
  return out;
}

/** A power of two over values that lie `step` apart. */
function butterflies(out: Float64Array, factor: number, step: number): void {
  for (let half = step; half < factor * step; half *= 2) {
    for (let start = 0; start < out.length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const [a, b] = [out[i], out[i + half]];
        out[i] = a + b;
        out[i + half] = a - b;
      }
    }
  }
}

/** Any matrix over values that lie `step` apart. */
function multiply(out: Float64Array, h: Int8Array, factor: number, step: number): void {
  const run = new Float64Array(factor);
  for (let block = 0; block < out.length; block += factor * step) {
    for (let at = block; at < block + step; at++) {
      for (let i = 0; i < factor; i++) run[i] = out[at + i * step];
      for (let i = 0; i < factor; i++) {
        let sum = 0;
        for (let j = 0; j < factor; j++) sum += h[i * factor + j] * run[j];
        out[at + i * step] = sum;
      }
    }
  }
}
