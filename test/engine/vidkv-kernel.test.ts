/** Attention over keys and values in 1.5 and 1.58 bits: the bits of the plain twin, and the sums of float64 over what the bytes decode to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockPositions, type BlockAttention } from '../../src/engine/kernels/kvcache.ts';
import { keyBytes, loudCount, tritsOf, valueBytes, vidAttention, vidScratch, wavesOf, type VidAttention } from '../../src/engine/kernels/vidkv.ts';
import { plainVidAttention } from '../../src/engine/kernels/vidkv-plain.ts';
import { normal } from '../../src/numeric/random.ts';
import { decodeKeys, decodeValues, encodeKeys, encodeValues, loudChannels } from '../../src/runtime/vidkv.ts';

const [blocks, floats, from] = [3, 7, 5];

for (const width of [64, 20, 36]) {
  const shape = { tokens: blockPositions, heads: 1, width };
  const drawn = (stream: number): Float32Array => Float32Array.from({ length: blockPositions * width }, (_, i) => normal(stream, 0, i) * (1 + (i % width) / 8) + normal(stream, 1, i % width));
  const oneBlock = keyBytes(width) + valueBytes(width);
  const query = Float32Array.from({ length: width }, (_, i) => normal(5, 0, i));
  const coded = Array.from({ length: blocks }, (_, b) => {
    const [keys, values] = [drawn(10 + b), drawn(20 + b)];
    return { keys: encodeKeys(keys, shape, { loud: loudChannels(keys, shape, 1.5), others: 'signs of the spectrum' }), values: encodeValues(values, shape, { format: 'ternary', along: 'tokens' }) };
  });
  const rows = [drawn(30), drawn(31)];

  function attended(make: (memory: WebAssembly.Memory) => VidAttention): Float32Array {
    const memory = new WebAssembly.Memory({ initial: 4 });
    const [F, B] = [new Float32Array(memory.buffer), new Uint8Array(memory.buffer)];
    const place = { query: 1024, keys: 4096, values: 16_384, waves: 32_768, trits: 40_960, scores: 45_056, scratch: 49_152, block: 65_536, listed: 2048, out: 3072 };
    F.set(query, place.query / 4);
    F.set(rows[0], place.keys / 4);
    F.set(rows[1], place.values / 4);
    F.set(wavesOf(width), place.waves / 4);
    B.set(new Uint8Array(tritsOf().buffer), place.trits);
    coded.forEach(({ keys, values }, b) => {
      B.set(keys, place.block + b * oneBlock);
      B.set(values, place.block + b * oneBlock + keyBytes(width));
    });
    new Uint32Array(memory.buffer, place.listed, 2).set([floats + 3, floats + 1]);
    // What lies behind the scratch stays as it is.
    B.fill(7, place.scratch + vidScratch(width), place.block);
    const a: BlockAttention = { ...place, width, scale: 0.21, blockStride: oneBlock, blocks, from, stride: 4 * width, first: 0, last: floats, more: 2 };
    make(memory)(a, { waves: place.waves, trits: place.trits });
    assert.ok(B.subarray(place.scratch + vidScratch(width), place.block).every((byte) => byte === 7));
    return F.slice(place.out / 4, place.out / 4 + width);
  }

  test(`heads of ${width}: the bits of the plain twin, and the sums of float64`, () => {
    const found = attended(vidAttention);
    assert.deepEqual(found, attended(plainVidAttention));
    const decoded = coded.map(({ keys, values }) => [decodeKeys(keys, shape, { loudCount: loudCount(width), others: 'signs of the spectrum' }), decodeValues(values, shape, { format: 'ternary', along: 'tokens' })]);
    const at = (part: 0 | 1, position: number): Float32Array => {
      const [all, row] = position < blocks * blockPositions ? [decoded[Math.floor(position / blockPositions)][part], position % blockPositions] : [rows[part], position - blocks * blockPositions];
      return all.subarray(row * width, (row + 1) * width);
    };
    const seen = [...Array.from({ length: blocks * blockPositions + floats - from }, (_, p) => p + from), ...[3, 1].map((row) => blocks * blockPositions + floats + row)];
    const weights = seen.map((p) => Math.exp(0.21 * at(0, p).reduce((sum, k, c) => sum + k * query[c], 0)));
    const norm = weights.reduce((a, b) => a + b, 0);
    const expected = Array.from({ length: width }, (_, c) => seen.reduce((sum, p, i) => sum + weights[i] * at(1, p)[c], 0) / norm);
    const size = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / width);
    expected.forEach((value, c) => assert.ok(Math.abs(found[c] - value) < 1e-4 * size, `${found[c]} for ${value}`));
  });
}

test('bits of a value: 2.28 and 2.10 with marks and numbers in half precision, of heads of 64', () => {
  const values = blockPositions * 64;
  assert.equal((8 * keyBytes(64)) / values, (64 + 16 * (2 * 32 + 32) + 32 * 32 + 64 * 32) / values);
  assert.equal(((8 * keyBytes(64)) / values).toFixed(2), '2.28');
  assert.equal(((8 * valueBytes(64)) / values).toFixed(2), '2.10');
});
