/** Caches of keys and values in one to two bits: the worked examples, bytes counted by hand, and films that look alike from token to token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packCodes, signs, ternary, twoBits, unpackCodes, type GroupFormat } from '../../src/formats/cache-groups.ts';
import { fromHalfSpectrum, halfSpectrum } from '../../src/numeric/half-spectrum.ts';
import { normal } from '../../src/numeric/random.ts';
import { relatedTokens } from '../../src/reproductions/data/related-tokens.ts';
import { decodeKeys, decodeValues, encodeKeys, encodeValues, loudChannels, matchingTokens, protectedCount } from '../../src/runtime/vidkv.ts';

const exact = (x: number): number => x;
const meanSquare = (x: readonly number[], format: GroupFormat): number => {
  const decoded = format.decode(format.encode(x, exact));
  return x.reduce((sum, v, i) => sum + (v - decoded[i]) ** 2, 0) / x.length;
};

test('the group [1, −2, 3, −4] in one bit, three levels and two bits', () => {
  const x = [1, -2, 3, -4];
  assert.deepEqual([...signs.decode(signs.encode(x))], [2.5, -2.5, 2.5, -2.5]);
  assert.equal(meanSquare(x, signs), 1.25);
  assert.deepEqual(ternary.encode(x), { codes: Uint8Array.of(1, 0, 2, 0), numbers: [2.5] });
  assert.equal(meanSquare(x, ternary), 0.9375);
  const coded = twoBits.encode(x, exact);
  assert.deepEqual([...coded.codes], [2, 1, 3, 0]);
  [0.666667, -1.666667, 3, -4].forEach((value, i) => assert.ok(Math.abs(twoBits.decode(coded)[i] - value) < 1e-6));
});

test('zero has a sign; a constant group in two bits is its minimum; groups around zero come back around zero', () => {
  assert.deepEqual([...signs.decode(signs.encode([0, -1]))], [0.5, -0.5]);
  assert.deepEqual([...twoBits.decode(twoBits.encode([0.75, 0.75, 0.75]))], [0.75, 0.75, 0.75]);
  const mean = (format: GroupFormat): number => format.decode(format.encode(Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? 1 : -1) * (1 + (i >> 1))))).reduce((a, b) => a + b) / 32;
  for (const format of [signs, ternary]) assert.equal(mean(format), 0);
});

test('codes as digits of bytes: eight bits, four pairs, five trits; 243 = 3⁵ fits a byte', () => {
  assert.deepEqual(packCodes(Uint8Array.of(2, 2, 2, 2, 2, 1, 2), 3), Uint8Array.of(242, 7));
  assert.deepEqual(packCodes(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1, 1), 2), Uint8Array.of(129, 1));
  assert.deepEqual(packCodes(Uint8Array.of(3, 0, 1, 2), 4), Uint8Array.of(3 + 16 + 128));
  for (const base of [2, 3, 4] as const) {
    const codes = Uint8Array.from({ length: 97 }, (_, i) => (i * i + (i >> 2)) % base);
    assert.deepEqual(unpackCodes(packCodes(codes, base), base, 97), codes);
  }
});

test('the half spectrum of [1, 2, 3, 4] is 10, −2, 2, −2; any length comes back', () => {
  [10, -2, 2, -2].forEach((value, i) => assert.ok(Math.abs(halfSpectrum([1, 2, 3, 4])[i] - value) < 1e-12));
  for (const n of [1, 2, 3, 31, 32, 45, 64]) {
    const x = Array.from({ length: n }, (_, i) => normal(1, n, i));
    const spectrum = halfSpectrum(x);
    assert.equal(spectrum.length, n);
    // Against the defining sums.
    for (let f = 0; 2 * f <= n; f++) {
      const [re, im] = [Math.cos, Math.sin].map((wave) => x.reduce((sum, v, t) => sum + v * wave((2 * Math.PI * f * t) / n), 0));
      assert.ok(Math.abs(spectrum[f === 0 ? 0 : 2 * f - 1] - re) < 1e-10);
      if (f > 0 && 2 * f < n) assert.ok(Math.abs(spectrum[2 * f] + im) < 1e-10);
    }
    fromHalfSpectrum(spectrum).forEach((value, i) => assert.ok(Math.abs(value - x[i]) < 1e-12));
  }
});

test('128 channels at 1.5 bits: 64 take two; of 196 tokens a fifth protected is 32; never fewer than a group', () => {
  const shape = { tokens: 64, heads: 2, width: 128 };
  const x = Float32Array.from({ length: 64 * 2 * 128 }, (_, i) => normal(1, 0, i) * (i % 128 % 3 === 0 ? 5 : 1));
  const loud = loudChannels(x, shape, 1.5);
  assert.equal(loud.length, 64);
  for (let c = 0; c < 128; c += 3) assert.ok(loud.includes(c));
  assert.equal(protectedCount(196, 0.2), 32);
  assert.equal(protectedCount(512, 0.2), 96);
  assert.deepEqual(loudChannels(x, shape, 1), []);
});

test('protected are the tokens whose embeddings point along the text', () => {
  const visual = Array.from({ length: 100 }, (_, t) => Float32Array.of(t % 3 === 0 ? 1 : 0, normal(1, 0, t) / 100));
  assert.deepEqual(matchingTokens(visual, [Float32Array.of(2, 0), Float32Array.of(0, 0)], 0.2), Array.from({ length: 34 }, (_, i) => 3 * i).filter((t) => matchingTokens(visual, [Float32Array.of(2, 0)], 0.2).includes(t)));
  assert.equal(matchingTokens(visual, [Float32Array.of(2, 0)], 0.2).length, 32);
});

const distance = (x: Float32Array, y: Float32Array): number => Math.sqrt(x.reduce((sum, v, i) => sum + (v - y[i]) ** 2, 0) / x.reduce((sum, v) => sum + v * v, 0));

test('bytes of keys: 3 bits a value at 2 bits, 1.5 at 1, so 2.25 at 1.5; of values 2.1 for trits, 3 for two bits', () => {
  const shape = { tokens: 512, heads: 2, width: 64 };
  const values = 512 * 128;
  const x = relatedTokens(shape, 0.9, 1);
  const all = Array.from({ length: 64 }, (_, c) => c);
  assert.equal(encodeKeys(x, shape, { loud: all, others: 'signs' }).length, (3 * values) / 8);
  assert.equal(encodeKeys(x, shape, { loud: [], others: 'signs of the spectrum' }).length, (1.5 * values) / 8);
  assert.equal(encodeKeys(x, shape, { loud: all.slice(0, 32), others: 'signs of the spectrum' }).length, (2.25 * values) / 8 + 64 / 8);
  assert.equal(encodeValues(x, shape, { format: 'ternary', along: 'tokens' }).length, Math.ceil(values / 5) + (0.5 * values) / 8);
  assert.equal(encodeValues(x, shape, { format: '2 bits', along: 'channels' }).length, (3 * values) / 8);
  const kept = Array.from({ length: 96 }, (_, i) => 5 * i);
  const rest = 416 * 128;
  assert.equal(encodeValues(x, shape, { format: 'ternary', along: 'tokens', protected: kept }).length, 512 / 8 + Math.ceil(rest / 5) + (0.5 * rest) / 8 + (3 * 96 * 128) / 8);
});

test('what comes back: every way of coding, with tokens that fill no group untouched, and fewer tokens than a group', () => {
  for (const tokens of [70, 20]) {
    const shape = { tokens, heads: 2, width: 45 };
    const x = relatedTokens(shape, 0.9, 1);
    const last = tokens - (tokens % 32);
    for (const others of ['signs of the spectrum', 'signs', 'minimum or maximum'] as const) {
      for (const bits of [1, 1.5, 2]) {
        const loud = loudChannels(x, shape, bits);
        const decoded = decodeKeys(encodeKeys(x, shape, { loud, others }), shape, { loudCount: loud.length, others });
        assert.deepEqual(decoded.subarray(last * 90), x.subarray(last * 90));
        assert.ok(distance(x, decoded) < (others === 'minimum or maximum' ? 0.65 : 0.5), `${others}, ${bits} bits: ${distance(x, decoded)}`);
      }
    }
    for (const along of ['tokens', 'channels'] as const) {
      const decoded = decodeValues(encodeValues(x, shape, { format: 'ternary', along }), shape, { format: 'ternary', along });
      assert.ok(distance(x, decoded) < (along === 'tokens' ? 0.45 : 0.6));
    }
  }
  const shape = { tokens: 64, heads: 1, width: 32 };
  const x = relatedTokens(shape, 0.5, 1);
  const kept = Array.from({ length: 32 }, (_, i) => 2 * i);
  const decoded = decodeValues(encodeValues(x, shape, { format: 'ternary', along: 'tokens', protected: kept }), shape, { format: 'ternary', along: 'tokens', hasProtected: true });
  const of = (values: Float32Array, parity: number): Float32Array => values.filter((_, i) => Math.floor(i / 32) % 2 === parity);
  const [two, rest] = [0, 1].map((parity) => distance(of(x, parity), of(decoded, parity)));
  assert.ok(two < 0.75 * rest, `${two} against ${rest}`);
});

test('three levels per channel gain by tokens that look alike: 0.454, 0.443, 0.379, 0.261; per token they stay near 0.50', () => {
  const shape = { tokens: 512, heads: 1, width: 64 };
  for (const [correlation, expected] of [[0, 0.454], [0.5, 0.443], [0.9, 0.379], [0.98, 0.261]]) {
    const draws = Array.from({ length: 3 }, (_, draw) => relatedTokens(shape, correlation, 10 + draw));
    const [channel, token] = (['tokens', 'channels'] as const).map((along) => draws.reduce((sum, x) => sum + distance(x, decodeValues(encodeValues(x, shape, { format: 'ternary', along }), shape, { format: 'ternary', along })) / draws.length, 0));
    assert.ok(Math.abs(channel - expected) < 0.02, `${channel} for ${expected}`);
    assert.ok(Math.abs(token - 0.5) < 0.02, `${token}`);
  }
});
