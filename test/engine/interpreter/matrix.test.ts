import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../../src/engine/interpreter/interpret.ts';
import { float, GraphBuilder } from '../../../src/graph/build.ts';
import { random, randomIntegers, same } from './against-ort.ts';

test('MatMul of vectors, matrices and broadcast stacks of them', async () => {
  const pairs: [number[], number[]][] = [
    [[3, 4], [4, 5]], [[4], [4, 5]], [[3, 4], [4]], [[4], [4]], [[2, 3, 4], [4, 5]], [[2, 1, 3, 4], [5, 4, 2]], [[3, 4], [2, 4, 5]], [[2, 3, 4], [4]], [[4], [2, 4, 3]],
  ];
  for (const [a, b] of pairs) await same('MatMul', [random(a), random(b)]);
  await same('MatMul', [randomIntegers('i32', [3, 4], -9, 9), randomIntegers('i32', [4, 2], -9, 9)]);
});

test('Gemm with both transposes, factors and a broadcast addend', async () => {
  await same('Gemm', [random([3, 4]), random([4, 5])]);
  await same('Gemm', [random([4, 3]), random([5, 4]), random([5])], { transA: 1, transB: 1, alpha: float(0.5), beta: float(2) });
  await same('Gemm', [random([3, 4]), random([5, 4]), random([3, 1])], { transB: 1 });
});

test('FusedMatMul transposes and scales', async () => {
  for (const transA of [0, 1]) {
    for (const transB of [0, 1]) {
      await same('FusedMatMul', [random(transA ? [2, 4, 3] : [2, 3, 4]), random(transB ? [5, 4] : [4, 5])], { transA, transB, alpha: float(0.25) }, { domain: 'com.microsoft' });
    }
  }
  await same('FusedMatMul', [random([3, 2, 4]), random([2, 4, 5])], { transBatchA: 1 }, { domain: 'com.microsoft' });
});

test('Einsum: products, sums, diagonals of the equation, ellipses', async () => {
  await same('Einsum', [random([3, 4]), random([4, 5])], { equation: 'ij,jk->ik' });
  await same('Einsum', [random([3, 4]), random([4, 5])], { equation: 'ij,jk' });
  await same('Einsum', [random([2, 3, 4, 5]), random([2, 6, 4, 5])], { equation: 'bihd,bjhd->bhij' });
  await same('Einsum', [random([2, 3, 4]), random([4, 5])], { equation: '...ij,jk->...ik' });
  await same('Einsum', [random([2, 3, 4]), random([2, 4, 5])], { equation: '...ij,...jk' });
  await same('Einsum', [random([3, 4])], { equation: 'ij->j' });
  await same('Einsum', [random([3, 4])], { equation: 'ij->' });
  await same('Einsum', [random([4, 4])], { equation: 'ii->i' });
  await same('Einsum', [random([3]), random([4])], { equation: 'i,j->ij' });
});

test('inner dimensions that differ are an error', async () => {
  const g = new GraphBuilder('inner');
  g.output(g.op('MatMul', [g.input('a', 'f32', [2, 3]), g.input('b', 'f32', [4, 2])]), 'y');
  await assert.rejects(interpret(g.graph(), { a: random([2, 3]), b: random([4, 2]) }), /do not broadcast/);
});
