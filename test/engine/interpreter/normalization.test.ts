import { test } from 'node:test';
import { float } from '../../../src/graph/build.ts';
import { random, same } from './against-ort.ts';

const channels = (low = -1, high = 1) => random([4], low, high);

test('BatchNormalization with running statistics, and with those of the batch', async () => {
  for (const shape of [[3, 4, 5, 2], [3, 4, 5], [6, 4]]) {
    const inputs = [random(shape), channels(), channels(), channels(), channels(0.5, 2)];
    await same('BatchNormalization', inputs);
    await same('BatchNormalization', inputs, { epsilon: float(0.1) });
  }
  await same('BatchNormalization', [random([3, 4, 5, 2]), channels(), channels(), channels(), channels(0.5, 2)],
    { training_mode: 1, momentum: float(0.8) }, { outputs: 3 });
});

test('LayerNormalization over the last axes, with its statistics', async () => {
  await same('LayerNormalization', [random([2, 3, 4]), channels(), channels()], {}, { outputs: 3 });
  await same('LayerNormalization', [random([2, 3, 4]), random([3, 4])], { axis: 1, epsilon: float(0.01) }, { outputs: 3 });
  await same('LayerNormalization', [random([2, 3, 4]), channels(), channels()], { axis: -1 });
});

test('GroupNormalization and InstanceNormalization', async () => {
  for (const num_groups of [1, 2, 4]) await same('GroupNormalization', [random([2, 4, 3, 5]), channels(), channels()], { num_groups });
  await same('GroupNormalization', [random([2, 4, 6]), channels(), channels()], { num_groups: 2, epsilon: float(0.1) });
  await same('InstanceNormalization', [random([2, 4, 3, 5]), channels(), channels()]);
  await same('InstanceNormalization', [random([2, 4, 7]), channels(), channels()], { epsilon: float(0.1) });
});

test('normalizations by the root mean square', async () => {
  await same('RMSNormalization', [random([2, 3, 4]), channels()], {}, { opset: 23 });
  await same('RMSNormalization', [random([2, 3, 4]), random([3, 4])], { axis: 1, epsilon: float(0.1) }, { opset: 23 });
  await same('SimplifiedLayerNormalization', [random([2, 3, 4]), channels()], { axis: -1, epsilon: float(1e-3) }, { outputs: 2 });
});

test('normalizations of a sum', async () => {
  const [x, skip] = [random([2, 3, 4]), random([2, 3, 4])];
  const outputs = ['y', '', '', 'sum'];
  await same('SkipSimplifiedLayerNormalization', [x, skip, channels(), channels()], { epsilon: float(1e-3) }, { domain: 'com.microsoft', outputs });
  await same('SkipLayerNormalization', [x, skip, channels(), channels(), channels()], { epsilon: float(1e-3) }, { domain: 'com.microsoft', outputs });
});

test('normalizations over channels and whole tensors', async () => {
  for (const size of [3, 5]) await same('LRN', [random([2, 6, 3, 3])], { size, alpha: float(0.3), beta: float(0.6), bias: float(2) });
  await same('LRN', [random([2, 6, 3, 3])], { size: 3 });
  await same('MeanVarianceNormalization', [random([2, 3, 4, 5])]);
});
