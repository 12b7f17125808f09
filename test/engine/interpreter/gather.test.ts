import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../../src/engine/interpreter/interpret.ts';
import { GraphBuilder } from '../../../src/graph/build.ts';
import { i64, random, randomIntegers, same, value } from './against-ort.ts';

const shape = [3, 4, 5];

test('Gather along any axis, negative indices included', async () => {
  await same('Gather', [random(shape), value('i64', [2, 2], [0, -1, 2, 1])]);
  await same('Gather', [random(shape), value('i32', [3], [4, 0, -2])], { axis: -1 });
  await same('Gather', [random(shape), value('i64', [], [1])], { axis: 1 });
  await same('GatherElements', [random(shape), randomIntegers('i64', [3, 2, 5], -4, 3)], { axis: 1 });
  await same('GatherElements', [random([4, 3]), randomIntegers('i64', [2, 3], -4, 3)]);
});

test('GatherND of elements, slices and batches', async () => {
  await same('GatherND', [random(shape), value('i64', [2, 3], [0, 1, 2, -1, 3, 4])]);
  await same('GatherND', [random(shape), value('i64', [2, 1, 2], [0, 1, 2, -2])]);
  await same('GatherND', [random(shape), value('i64', [3, 2, 1], [0, 1, 2, 3, 1, 0])], { batch_dims: 1 });
});

test('scattering, with repeated indices where results are joined', async () => {
  const places = value('i64', [2, 3], [0, 2, 1, 3, 0, 2]);
  await same('ScatterElements', [random([4, 3]), places, random([2, 3])]);
  await same('ScatterElements', [random([2, 4]), places, random([2, 3])], { axis: 1 });
  const repeated = value('i64', [3, 3], [0, 0, 0, 1, -1, 1, 0, 0, 1]);
  for (const reduction of ['add', 'mul', 'max', 'min']) await same('ScatterElements', [random([4, 3]), repeated, random([3, 3])], { reduction });
  await same('ScatterND', [random(shape), value('i64', [2, 2], [0, 1, 2, -1]), random([2, 5])]);
  for (const reduction of ['add', 'mul', 'max', 'min']) await same('ScatterND', [random([4, 2]), value('i64', [4, 1], [1, 3, 1, 1]), random([4, 2])], { reduction });
});

test('NonZero and Compress', async () => {
  await same('NonZero', [randomIntegers('i32', [3, 4], 0, 1)]);
  await same('NonZero', [value('f32', [2, 2], [0, 0, 0, 0])]);
  await same('Compress', [random([3, 4]), value('bool', [3], [1, 0, 1])], { axis: 0 });
  await same('Compress', [random([3, 4]), value('bool', [6], [0, 1, 1, 0, 0, 1])]);
});

test('an index beyond its axis is an error that says so', async () => {
  const g = new GraphBuilder('beyond');
  g.output(g.op('Gather', [g.input('x', 'f32', [3]), g.input('i', 'i64', [1])], {}, { name: 'rows' }), 'y');
  await assert.rejects(interpret(g.graph(), { x: random([3]), i: i64(3) }), /node rows: index 3 of an axis of 3/);
});
