import { test } from 'node:test';
import { i64, random, same, value } from './against-ort.ts';

test('Conv in one to three dimensions, with strides, dilations, pads and groups', async () => {
  await same('Conv', [random([2, 3, 9]), random([4, 3, 3]), random([4])]);
  await same('Conv', [random([2, 3, 9]), random([4, 3, 3])], { strides: [2], pads: [1, 2], dilations: [2] });
  await same('Conv', [random([1, 3, 6, 7]), random([5, 3, 3, 2]), random([5])], { strides: [2, 1], pads: [1, 0, 1, 1] });
  await same('Conv', [random([2, 4, 6, 6]), random([6, 2, 3, 3])], { group: 2, dilations: [2, 1] });
  await same('Conv', [random([2, 4, 5, 5]), random([4, 1, 3, 3]), random([4])], { group: 4, pads: [1, 1, 1, 1] });
  await same('Conv', [random([1, 2, 4, 5, 3]), random([3, 2, 2, 3, 1])], { strides: [1, 2, 1], pads: [1, 0, 0, 0, 1, 0] });
  for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) await same('Conv', [random([1, 2, 7, 6]), random([3, 2, 4, 3])], { auto_pad, strides: [2, 2] });
});

test('ConvTranspose in one to three dimensions, with every way to give its size', async () => {
  await same('ConvTranspose', [random([2, 3, 5]), random([3, 4, 3]), random([4])], { strides: [2] });
  await same('ConvTranspose', [random([1, 3, 4, 5]), random([3, 2, 3, 3])], { strides: [2, 3], pads: [1, 0, 1, 2], output_padding: [1, 0] });
  await same('ConvTranspose', [random([2, 4, 3, 3]), random([4, 3, 2, 3]), random([6])], { group: 2, dilations: [2, 1] });
  await same('ConvTranspose', [random([1, 2, 3, 2, 3]), random([2, 2, 2, 2, 2])], { strides: [1, 2, 1] });
  await same('ConvTranspose', [random([1, 2, 3, 3]), random([2, 3, 3, 3])], { strides: [3, 2], output_shape: [10, 8] });
  for (const auto_pad of ['SAME_UPPER', 'SAME_LOWER']) await same('ConvTranspose', [random([1, 2, 3, 4]), random([2, 2, 3, 4])], { auto_pad, strides: [2, 2] });
});

test('columns of patches add up to images', async () => {
  await same('Col2Im', [random([1, 6, 4]), i64(3, 4), i64(2, 1)], { strides: [1, 2] });
  await same('Col2Im', [random([2, 12, 16]), i64(5, 5), i64(2, 2)], { pads: [1, 0, 0, 1], dilations: [2, 2] });
});

test('MaxPool, its places and its inverse', async () => {
  await same('MaxPool', [random([2, 3, 7])], { kernel_shape: [3] }, { outputs: 2 });
  await same('MaxPool', [random([2, 3, 6, 7])], { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 1] }, { outputs: 2 });
  await same('MaxPool', [random([1, 2, 7, 7])], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }, { outputs: 2 });
  // The last window would begin beyond the input, so there is none.
  await same('MaxPool', [random([1, 2, 3])], { kernel_shape: [2], strides: [3], ceil_mode: 1 });
  await same('MaxPool', [random([1, 2, 7, 8])], { kernel_shape: [2, 3], dilations: [2, 2] }, { outputs: 2 });
  await same('MaxPool', [random([1, 2, 4, 4])], { kernel_shape: [2, 2], strides: [2, 2], storage_order: 1 }, { outputs: 2 });
  await same('MaxPool', [random([1, 1, 4, 4, 4])], { kernel_shape: [2, 2, 2] });
  await same('MaxPool', [random([1, 1, 5, 5])], { kernel_shape: [3, 3], auto_pad: 'SAME_UPPER', strides: [2, 2] });
  await same('MaxUnpool', [random([1, 1, 2, 2]), value('i64', [1, 1, 2, 2], [0, 3, 9, 14])], { kernel_shape: [2, 2], strides: [2, 2] });
  await same('MaxUnpool', [random([1, 1, 2, 2]), value('i64', [1, 1, 2, 2], [0, 2, 7, 12])], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 0, 0, 1] });
});

test('AveragePool counts padding only where told', async () => {
  for (const count_include_pad of [0, 1]) {
    await same('AveragePool', [random([2, 3, 6, 7])], { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 1, 1], count_include_pad });
    await same('AveragePool', [random([1, 2, 7])], { kernel_shape: [4], strides: [2], pads: [1, 1], ceil_mode: 1, count_include_pad });
    await same('AveragePool', [random([1, 2, 8, 8])], { kernel_shape: [3, 3], dilations: [2, 2], pads: [1, 1, 1, 1], count_include_pad });
    await same('AveragePool', [random([1, 2, 5, 5])], { kernel_shape: [3, 3], auto_pad: 'SAME_LOWER', strides: [2, 2], count_include_pad });
  }
  await same('AveragePool', [random([1, 1, 3, 4, 5])], { kernel_shape: [2, 2, 2] });
  for (const p of [1, 2, 3]) await same('LpPool', [random([1, 2, 5, 5])], { kernel_shape: [2, 2], p });
});

test('pools over the whole space', async () => {
  for (const op of ['GlobalAveragePool', 'GlobalMaxPool']) for (const shape of [[2, 3, 4], [2, 3, 4, 5], [1, 2, 3, 2, 2]]) await same(op, [random(shape)]);
  await same('GlobalLpPool', [random([2, 3, 4, 5])], { p: 3 });
});
