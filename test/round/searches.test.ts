import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFormat } from '../../src/formats/registry.ts';
import { gram } from '../../src/numeric/matrix.ts';
import { awq, channelScales } from '../../src/round/awq.ts';
import { outputError } from '../../src/round/gptq.ts';
import { hqq, normError } from '../../src/round/hqq.ts';
import { nearest } from '../../src/round/nearest.ts';
import { importance, scaleSearch } from '../../src/round/scale-search.ts';

const wave = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 12.9898 + i * i * 0.37));
const rows = 16, cols = 64;
/** Mostly small values with a few outliers, as trained weights have. */
const heavy = { values: wave(rows * cols, 2).map((v, i) => v * v * v * (i % 29 === 0 ? 4 : 1)), rows, cols, name: 'w' };

for (const spelling of ['int4/g32', 'int3/g32', 'int2/g32', 'uint4/g32']) {
  test(`scale search of ${spelling} has no more squared error than nearest`, () => {
    const format = parseFormat(spelling);
    assert.ok(scaleSearch(heavy, format).squaredError <= nearest(heavy, format).squaredError);
  });
}

test('importance lowers the weighted error below that of nearest', () => {
  const meanSquare = Float32Array.from({ length: cols }, (_, i) => (i % 8 === 0 ? 50 : 1));
  const format = parseFormat('int3/g32');
  const weighted = (decoded: Float32Array): number => decoded.reduce((sum, v, i) => sum + meanSquare[i % cols] * (v - heavy.values[i]) ** 2, 0);
  const ours = weighted(format.decode(importance(heavy, format, { meanSquare })));
  assert.ok(ours < weighted(format.decode(nearest(heavy, format))));
  assert.throws(() => importance(heavy, format), { code: 'round.needs' });
});

for (const spelling of ['uint2/g32', 'uint3/g32', 'uint4/g64']) {
  test(`HQQ of ${spelling} has less error in its norm than nearest, and the same bytes twice`, () => {
    const format = parseFormat(spelling);
    const plain = normError(heavy.values, format.decode(nearest(heavy, format)));
    for (const zeroPoint of ['integer', 'float'] as const) {
      const solved = hqq(heavy, format, undefined, { zeroPoint });
      const ours = normError(heavy.values, format.decode(solved));
      assert.ok(ours < plain, `${zeroPoint}: ${ours} against ${plain}`);
      assert.deepEqual(hqq(heavy, format, undefined, { zeroPoint }), solved);
    }
  });
}

test('HQQ refuses a format without zero points', () => {
  assert.throws(() => hqq(heavy, parseFormat('int4/g32')), { code: 'round.format' });
});

test('AWQ scales are ones without activations, and reciprocal at the ends', () => {
  assert.deepEqual([...channelScales(Float32Array.of(1, 9, 4), 0)], [1, 1, 1]);
  // √ of (1, 16, 4) is (1, 4, 2), and √(4·1) is 2.
  assert.deepEqual([...channelScales(Float32Array.of(1, 16, 4), 0.5)], [0.5, 2, 1]);
});

test('AWQ is never worse than nearest on the output error it measures, and better with outlier channels', () => {
  const samples = 100;
  const x = wave(samples * cols, 7).map((v, i) => v * (i % cols === 5 ? 40 : i % 3 === 0 ? 3 : 1));
  const hessian = gram(x, samples, cols);
  const meanAbsolute = new Float32Array(cols);
  x.forEach((v, i) => { meanAbsolute[i % cols] += Math.abs(v) / samples; });
  for (const spelling of ['int4/g32', 'int3/g32', 'int2/g32']) {
    const format = parseFormat(spelling);
    const result = awq([heavy], format, { hessian, meanAbsolute });
    assert.ok(result.error < result.nearestError, `${spelling}: ${result.error} against ${result.nearestError}`);
    // Measured again from the outside: decode, undo the scales, compare outputs.
    const decoded = format.decode(result.quantized[0]).map((v, i) => v / result.channelScales[i % cols]);
    const again = outputError(heavy, decoded, { hessian });
    assert.ok(Math.abs(again - result.error) < 1e-6 * again);
  }
});
