/** Sorting by radix: linear time, stable, the same order everywhere. */

const bits = 11;
const buckets = 1 << bits;

/** Maps float32 bits to unsigned integers of the same order (−0 before 0). */
const ordered = (u: number): number => (u & 0x80000000 ? ~u : u | 0x80000000) >>> 0;

/** Indices that put `values` in ascending order; equal values keep their order. NaN is not supported. */
export function sortedOrder(values: Float32Array): Uint32Array {
  const n = values.length;
  const source = new Uint32Array(values.buffer, values.byteOffset, n);
  let keys = new Uint32Array(n);
  let order = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    keys[i] = ordered(source[i]);
    order[i] = i;
  }
  let nextKeys = new Uint32Array(n);
  let nextOrder = new Uint32Array(n);
  const starts = new Uint32Array(buckets);
  for (let shift = 0; shift < 32; shift += bits) {
    starts.fill(0);
    for (let i = 0; i < n; i++) starts[(keys[i] >>> shift) & (buckets - 1)]++;
    let sum = 0;
    for (let b = 0; b < buckets; b++) {
      const count = starts[b];
      starts[b] = sum;
      sum += count;
    }
    for (let i = 0; i < n; i++) {
      const at = starts[(keys[i] >>> shift) & (buckets - 1)]++;
      nextKeys[at] = keys[i];
      nextOrder[at] = order[i];
    }
    [keys, nextKeys] = [nextKeys, keys];
    [order, nextOrder] = [nextOrder, order];
  }
  return order;
}
