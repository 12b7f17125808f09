import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { unlikeTraining } from '../../src/jobs/first-normalization.ts';
import { normal } from '../../src/numeric/random.ts';

/** A convolution that doubles each of three channels, and the statistics of inputs with mean 0.5 and deviation 0.25 after it. */
function network() {
  const g = new GraphBuilder('network', 21);
  const conv = g.op('Conv', [g.input('x', 'f32', [4, 3, 8, 8]), g.weight(floatTensor('w', [3, 3, 1, 1], Float32Array.of(2, 0, 0, 0, 2, 0, 0, 0, 2)))]);
  const [scale, bias, mean, variance] = [[1, 1, 1], [0, 0, 0], [1, 1, 1], [0.25, 0.25, 0.25]].map((values, i) => g.floats(values, `p${i}`));
  const normalized = g.op('BatchNormalization', [conv, scale, bias, mean, variance], {}, { name: 'bn1' });
  g.output(g.op('Relu', [normalized]), undefined, 'f32', [4, 3, 8, 8]);
  return g.graph();
}
const inputs = (of: (x: number) => number) => ({ x: f32([4, 3, 8, 8], Float32Array.from({ length: 768 }, (_, i) => of(0.5 + 0.25 * normal(2, 0, i)))) });

test('inputs as in training pass; those of another scale or offset are told by spread and mean', async () => {
  const said = (of: (x: number) => number) => unlikeTraining(network(), ortNode, inputs(of));
  assert.equal(await said((x) => x), undefined);
  assert.equal(await said((x) => 2 * x - 1), undefined, 'a range of -1 to 1 instead of 0 to 1 is not far enough to tell');
  assert.match((await said((x) => 255 * x))!, /at the first batch normalization, bn1, a typical channel has 2[456]\d times the spread/);
  assert.match((await said((x) => x / 255))!, /1\/2[456]\d of the spread and its mean 2\.0 deviations off; check --input/);
  assert.match((await said((x) => x + 10))!, /its mean (39|40|41) deviations off/);
});

test('a network without batch normalization tells nothing', async () => {
  const g = new GraphBuilder('plain', 21);
  g.output(g.op('Relu', [g.input('x', 'f32', [4, 3, 8, 8])]), undefined, 'f32', [4, 3, 8, 8]);
  assert.equal(await unlikeTraining(g.graph(), ortNode, inputs((x) => 255 * x)), undefined);
});
