/** Attention kernels give the bits of their plain twins, in every shape that breaks others, and lie near float64. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attention, causal, groupings, type AttentionInputs, type AttentionOptions, type Visible } from '../../src/engine/kernels/attention.ts';
import { plainAttention } from '../../src/engine/kernels/attention-plain.ts';
import { normal } from '../../src/numeric/random.ts';

const draws = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(7, stream, i));
const inputsOf = (heads: number, kvHeads: number, rows: number, keys: number, width: number): AttentionInputs =>
  ({ query: draws(heads * rows * width, 1), keys: draws(kvHeads * keys * width, 2), values: draws(kvHeads * keys * width, 3), heads, kvHeads, width });

/** In float64; rows that see nothing give zeros. */
function exact({ query, keys, values, heads, kvHeads, width }: AttentionInputs, visible?: Visible): Float64Array {
  const [rows, count] = [query.length / (heads * width), keys.length / (kvHeads * width)];
  const out = new Float64Array(query.length);
  for (let h = 0; h < heads; h++) {
    const kv = Math.floor((h * kvHeads) / heads) * count;
    for (let r = 0; r < rows; r++) {
      const to = visible === undefined ? count : Math.max(0, Math.min(count, visible.shown + r * visible.step));
      const from = Math.max(0, to - (visible?.window ?? Infinity));
      const q = (h * rows + r) * width;
      const weights = Array.from({ length: to - from }, (_, c) => Math.exp(Array.from({ length: width }, (_, i) => query[q + i] * keys[(kv + from + c) * width + i]).reduce((a, b) => a + b, 0) / Math.sqrt(width)));
      const norm = weights.reduce((a, b) => a + b, 0);
      weights.forEach((weight, c) => { for (let i = 0; i < width; i++) out[q + i] += (weight / norm) * values[(kv + from + c) * width + i]; });
    }
  }
  return out;
}

const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let [both, one, other] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) { both += a[i] * b[i]; one += a[i] ** 2; other += b[i] ** 2; }
  return both / Math.sqrt(one * other);
};

const shapes: Readonly<Record<string, AttentionInputs>> = {
  'one query and one key': inputsOf(1, 1, 1, 1, 12),
  'fewer than a tile, two heads on one': inputsOf(2, 1, 5, 7, 8),
  'four heads on two, lengths that divide nothing': inputsOf(4, 2, 70, 130, 32),
  'more queries than keys': inputsOf(1, 1, 150, 41, 20),
};
const masks = ({ query, keys, heads, kvHeads, width }: AttentionInputs): Readonly<Record<string, Visible | undefined>> => {
  const [rows, count] = [query.length / (heads * width), keys.length / (kvHeads * width)];
  return { 'all keys': undefined, causal: causal(rows, count), 'causal within a window': causal(rows, count, 9), 'first rows masked': { shown: -2, step: 1 } };
};
const kinds: Readonly<Record<string, AttentionOptions['lowBit']>> = { float32: undefined, ...Object.fromEntries(([4, 8] as const).flatMap((bits) => groupings.map((grouping) => [`${bits} bits by ${grouping}`, { bits, grouping }]))) };

for (const [shape, inputs] of Object.entries(shapes)) {
  test(`${shape}: the bits of the plain twin, whatever is masked`, () => {
    for (const [mask, visible] of Object.entries(masks(inputs))) {
      for (const [kind, lowBit] of Object.entries(kinds)) {
        const options: AttentionOptions = { ...(visible === undefined ? {} : { visible }), ...(lowBit === undefined ? {} : { lowBit }) };
        const found = attention(inputs, options);
        assert.ok(found.every(Number.isFinite), `${mask}, ${kind}`);
        assert.deepEqual(found, plainAttention(inputs, options), `${mask}, ${kind}`);
      }
    }
  });

  test(`${shape}: float32 within 2e-6 of float64, 8 bits beyond a cosine of 0.9995, 4 bits beyond 0.95`, () => {
    for (const [mask, visible] of Object.entries(masks(inputs))) {
      const wanted = exact(inputs, visible);
      const shown = visible === undefined ? {} : { visible };
      attention(inputs, shown).forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 2e-6, `${mask} at ${i}`));
      if (wanted.every((value) => value === 0)) continue;
      assert.ok(cosine(attention(inputs, { ...shown, lowBit: { bits: 8 } }), wanted) > 0.9995, mask);
      assert.ok(cosine(attention(inputs, { ...shown, lowBit: { bits: 4 } }), wanted) > 0.95, mask);
    }
  });
}

test('rows that see no key give zeros', () => {
  const inputs = shapes['fewer than a tile, two heads on one'];
  for (const lowBit of [undefined, { bits: 4 as const }]) {
    assert.ok(attention(inputs, { visible: { shown: 0, step: 0 }, ...(lowBit === undefined ? {} : { lowBit }) }).every((value) => value === 0));
    const some = attention(inputs, { visible: { shown: -1, step: 1 }, ...(lowBit === undefined ? {} : { lowBit }) });
    assert.ok(some.subarray(0, 16).every((value) => value === 0) && some.subarray(16, 40).every((value) => value !== 0));
  }
});

test('a constant vector of values comes back, and one beside constant keys gives the mean', () => {
  const width = 8;
  const inputs: AttentionInputs = { query: draws(3 * width, 1), keys: new Float32Array(5 * width).fill(3), values: Float32Array.from({ length: 5 * width }, (_, i) => (i % width === 0 ? i / width : 2)), heads: 1, kvHeads: 1, width };
  for (const bits of [4, 8] as const) {
    const found = attention(inputs, { lowBit: { bits } });
    for (let r = 0; r < 3; r++) {
      assert.ok(Math.abs(found[r * width] - 2) < 1e-3);
      assert.deepEqual(found.subarray(r * width + 1, (r + 1) * width), new Float32Array(width - 1).fill(2));
    }
  }
});

test('smoothing saves what channels of one sign cost codes', () => {
  const [count, width] = [128, 64];
  const bias = draws(width, 9).map((value) => value * 4);
  const biased = (stream: number): Float32Array => draws(count * width, stream).map((value, i) => value + bias[i % width]);
  const inputs: AttentionInputs = { query: biased(1), keys: biased(2), values: biased(3), heads: 1, kvHeads: 1, width };
  const wanted = exact(inputs);
  const by = (queries: boolean, keys: boolean): number => cosine(attention(inputs, { lowBit: { bits: 4, grouping: 'tile', smooth: { queries, keys, values: true } } }).map((v, i) => v - bias[i % width]), wanted.map((v, i) => v - bias[i % width]));
  assert.ok(by(true, true) > by(false, true) + 0.05 && by(true, true) > by(false, false) + 0.1);
});
