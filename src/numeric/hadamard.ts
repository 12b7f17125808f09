/** Walsh–Hadamard matrices of Sylvester's construction, scaled so that they are symmetric and their own inverse. */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('hadamard', {
  order: (f: { order: number }) => `a Hadamard matrix of order ${f.order}: powers of two only`,
  length: (f: { length: number; order: number }) => `${f.length} values do not divide into runs of ${f.order}`,
});

const isPowerOfTwo = (order: number): boolean => Number.isInteger(order) && order >= 1 && Number.isInteger(Math.log2(order));

/** The matrix [order, order], row-major; entries ±1/√order. */
export function hadamardMatrix(order: number): Float32Array {
  if (!isPowerOfTwo(order)) throw errors.order({ order });
  const entry = 1 / Math.sqrt(order);
  return Float32Array.from({ length: order * order }, (_, i) => (ones(Math.floor(i / order) & (i % order)) % 2 === 0 ? entry : -entry));
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest > 0; rest &= rest - 1) count++;
  return count;
}

/** The largest power of two that divides a width, at most `most`. */
export function hadamardOrder(width: number, most = 128): number {
  let order = 1;
  while (2 * order <= most && width % (2 * order) === 0) order *= 2;
  return order;
}

/** Every run of `order` values multiplied by the matrix: butterflies in float64, rounded once. */
export function hadamardTransform(values: ArrayLike<number>, order: number): Float32Array {
  if (!isPowerOfTwo(order)) throw errors.order({ order });
  if (values.length % order !== 0) throw errors.length({ length: values.length, order });
  const out = Float64Array.from(values);
  for (let half = 1; half < order; half *= 2) {
    for (let start = 0; start < out.length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const [a, b] = [out[i], out[i + half]];
        out[i] = a + b;
        out[i + half] = a - b;
      }
    }
  }
  const scale = 1 / Math.sqrt(order);
  return Float32Array.from(out, (value) => value * scale);
}
