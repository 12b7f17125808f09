import { test } from 'node:test';
import { onnxTypes } from '../../../src/graph/data-types.ts';
import { int, tensor } from '../../../src/graph/build.ts';
import { numberTensor } from '../../../src/graph/values.ts';
import { f32, i64, random, randomIntegers, same, scalar, value } from './against-ort.ts';

const shape = [2, 3, 4];

test('Reshape copies dimensions and fills in the open one', async () => {
  await same('Reshape', [random(shape), i64(4, -1)]);
  await same('Reshape', [random(shape), i64(0, 0, 2, -1)]);
  await same('Reshape', [value('f32', [0, 3], []), i64(3, 0)], { allowzero: 1 });
  await same('Flatten', [random([2, 3, 4, 5])]);
  for (const axis of [0, 2, 3, -1]) await same('Flatten', [random(shape)], { axis });
  await same('Squeeze', [random([1, 3, 1, 2])]);
  await same('Squeeze', [random([1, 3, 1, 2]), i64(-2)]);
  await same('Unsqueeze', [random(shape), i64(0, -1)]);
  await same('Unsqueeze', [random(shape), i64(2)]);
});

test('Transpose, Concat and Split', async () => {
  await same('Transpose', [random(shape)]);
  await same('Transpose', [random([2, 3, 4, 5])], { perm: [2, 0, 3, 1] });
  await same('Concat', [random([2, 1, 3]), random([2, 4, 3]), random([2, 2, 3])], { axis: 1 });
  await same('Concat', [random([2, 3]), random([1, 3])], { axis: -2 });
  await same('Split', [random([2, 7]), i64(1, 4, 2)], { axis: 1 }, { outputs: 3 });
  await same('Split', [random([7, 2])], { axis: 0, num_outputs: 3 }, { outputs: 3 });
});

test('Slice in both directions and beyond the ends', async () => {
  const x = random([5, 6]);
  await same('Slice', [x, i64(1, 2), i64(4, 5)]);
  await same('Slice', [x, i64(1), i64(1000), i64(-1)]);
  await same('Slice', [x, i64(-2), i64(2 ** 31 - 1), i64(0)]);
  await same('Slice', [x, i64(0, -1), i64(5, -1000), i64(0, 1), i64(2, -1)]);
  await same('Slice', [x, i64(4), i64(0), i64(1), i64(-2)]);
  await same('Slice', [x, i64(3), i64(1), i64(1)]);
  await same('Slice', [x, i64(10), i64(-9), i64(0), i64(-3)]);
});

test('Expand and Tile', async () => {
  await same('Expand', [random([3, 1]), i64(2, 1, 4)]);
  await same('Expand', [random([3, 4]), i64(1)]);
  await same('Tile', [random([2, 3]), i64(2, 3)]);
  await same('Tile', [random(shape), i64(1, 2, 1)]);
});

test('Pad in every mode, cutting where negative', async () => {
  for (const mode of ['constant', 'edge', 'reflect', 'wrap']) {
    await same('Pad', [random([3, 4]), i64(1, 2, 2, 1)], { mode });
    await same('Pad', [random(shape), i64(1, 2), undefined, i64(-1)], { mode });
  }
  await same('Pad', [random([3, 4]), i64(0, -1, 2, 1), scalar('f32', 7.5)]);
});

test('blocks of space and depth, triangles, reversed sequences', async () => {
  for (const mode of ['DCR', 'CRD']) await same('DepthToSpace', [random([2, 8, 2, 3])], { blocksize: 2, mode });
  await same('SpaceToDepth', [random([2, 2, 4, 6])], { blocksize: 2 });
  for (const upper of [0, 1]) for (const k of [-1, 0, 2]) await same('Trilu', [random([2, 4, 5]), scalar('i64', k)], { upper });
  await same('ReverseSequence', [random([4, 3]), i64(2, 4, 1)]);
  await same('ReverseSequence', [random([3, 4]), i64(2, 4, 1)], { batch_axis: 0, time_axis: 1 });
});

test('values made from shapes and attributes', async () => {
  await same('Shape', [random(shape)]);
  await same('Shape', [random(shape)], { start: 1, end: -1 });
  await same('Size', [random(shape)]);
  await same('Range', [scalar('f32', 1), scalar('f32', 2.25), scalar('f32', 0.5)]);
  await same('Range', [scalar('i64', 10), scalar('i64', 1), scalar('i64', -3)]);
  await same('ConstantOfShape', [i64(2, 3)]);
  await same('ConstantOfShape', [i64(2)], { value: tensor(numberTensor('fill', 'i64', [1], [7])) });
  await same('Constant', [], { value: tensor(numberTensor('given', 'f32', [2, 2], [1, 2, 3, 4])) });
  await same('Constant', [], { value_floats: { kind: 'floats', value: [1.5, 2] } });
  await same('Constant', [], { value_ints: [4, 5] });
  await same('Constant', [], { value_int: 3 });
  await same('EyeLike', [random([3, 4])], { k: 1 });
  await same('EyeLike', [randomIntegers('i32', [3, 3], 0, 1)], { k: int(-1), dtype: onnxTypes.f32 });
  await same('OneHot', [i64(0, 2, -1, 5), scalar('i64', 4), f32(0, 1)]);
  await same('OneHot', [randomIntegers('i64', [2, 3], 0, 3), scalar('i64', 4), f32(-1, 2)], { axis: 1 });
});
