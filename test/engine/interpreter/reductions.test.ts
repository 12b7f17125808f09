import { test } from 'node:test';
import { f32, i64, random, randomIntegers, same, scalar, value } from './against-ort.ts';

const shape = [3, 4, 5];
const reductions = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'];

test('reductions over any axes, kept or not', async () => {
  for (const op of reductions) {
    await same(op, [random(shape), i64(1)]);
    await same(op, [random(shape), i64(-1, 0)], { keepdims: 0 });
    await same(op, [random(shape)], { keepdims: 0 });
  }
  await same('ReduceLogSum', [random(shape, 0.1, 2), i64(0, 2)]);
  await same('ReduceLogSumExp', [f32(1000, 1001, 1002)], { keepdims: 0 });
  await same('ReduceSum', [randomIntegers('i32', shape, -9, 9), i64(2)]);
});

test('without axes and told so, reductions leave the shape', async () => {
  for (const op of ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceProd']) await same(op, [random(shape)], { noop_with_empty_axes: 1 });
  await same('ReduceSum', [random(shape), value('i64', [0], [])], { noop_with_empty_axes: 1 });
});

test('softmax and its relatives along an axis', async () => {
  for (const op of ['Softmax', 'LogSoftmax', 'Hardmax']) {
    await same(op, [random(shape)]);
    await same(op, [random(shape)], { axis: 1 });
    await same(op, [random(shape)], { axis: -3 });
  }
  await same('Softmax', [f32(1e4, 1e4 + 1, -1e4)]);
  await same('Softmax', [f32(0, -Infinity, 1)]);
  for (const p of [1, 2]) for (const axis of [0, -1]) await same('LpNormalization', [random(shape)], { p, axis });
});

test('ArgMax and ArgMin, first or last of equals', async () => {
  const ties = value('f32', [2, 5], [1, 3, 3, 0, 0, 2, 2, 2, 2, 2]);
  for (const op of ['ArgMax', 'ArgMin']) {
    await same(op, [random(shape)], { axis: 1 });
    await same(op, [random(shape)], { axis: -1, keepdims: 0 });
    for (const select_last_index of [0, 1]) await same(op, [ties], { axis: 1, select_last_index });
  }
});

test('cumulative sums, exclusive and reversed', async () => {
  for (const exclusive of [0, 1]) for (const reverse of [0, 1]) await same('CumSum', [random(shape), scalar('i32', 1)], { exclusive, reverse });
  await same('CumSum', [randomIntegers('i64', [6], -5, 5), scalar('i64', -1)]);
});

test('TopK, largest and smallest, with places', async () => {
  await same('TopK', [random(shape), i64(3)], {}, { outputs: 2 });
  await same('TopK', [random(shape), i64(2)], { axis: 1, largest: 0 }, { outputs: 2 });
  await same('TopK', [value('f32', [6], [1, 2, 2, 1, 2, 0]), i64(4)], {}, { outputs: 2 });
});
