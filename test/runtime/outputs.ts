/** What tests of decoders look at: a text that is written, to its end, and how far logits are from others. */
import type { Generated } from '../../src/runtime/generate.ts';

export async function all(writing: AsyncGenerator<string, Generated>): Promise<Generated> {
  for (;;) {
    const next = await writing.next();
    if (next.done === true) return next.value;
  }
}

/** Root mean square of a difference over that of the reference. */
export function distance(found: Float32Array, expected: Float32Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}
