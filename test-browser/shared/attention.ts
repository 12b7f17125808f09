/** Attention kernels on seeded heads, as hashes; runs in Node and in a page. */
import { attention, causal, type AttentionInputs } from '../../src/engine/kernels/attention.ts';
import { normal } from '../../src/numeric/random.ts';
import { digest } from './digest.ts';

export async function attentionHashes(): Promise<Record<string, string>> {
  const [rows, keys, width] = [70, 130, 20];
  const draws = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(3, stream, i));
  const inputs: AttentionInputs = { query: draws(4 * rows * width, 1), keys: draws(2 * keys * width, 2), values: draws(2 * keys * width, 3), heads: 4, kvHeads: 2, width };
  const visible = causal(rows, keys, 90);
  return {
    float32: await digest(attention(inputs, { visible })),
    '4 bits': await digest(attention(inputs, { visible, lowBit: { bits: 4 } })),
    '8 bits': await digest(attention(inputs, { visible, lowBit: { bits: 8, grouping: 'warp' } })),
  };
}
