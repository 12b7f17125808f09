import { int, type Case } from '../check.ts';
import { float, string } from '../../../../src/graph/build.ts';

const matmul = (name: string, a: readonly number[], b: readonly number[]): Case => ({ rule: 'MatMul', name, inputs: { a, b }, build: (g) => g.op('MatMul', ['a', 'b']) });
const einsum = (equation: string, ...shapes: (readonly number[])[]): Case => ({
  rule: 'Einsum', name: equation, inputs: Object.fromEntries(shapes.map((shape, i) => [`x${i}`, shape])),
  build: (g) => g.op('Einsum', shapes.map((_, i) => `x${i}`), { equation: string(equation) }),
});

export const productCases: readonly Case[] = [
  matmul('matrices', [2, 3], [3, 4]),
  matmul('a stack and a weight', [2, 3, 4], [4, 2]),
  matmul('a weight and a stack', [3, 4], [2, 4, 2]),
  matmul('stacks that broadcast', [2, 1, 3, 2], [3, 2, 2]),
  matmul('vector and matrix', [3], [3, 2]), matmul('matrix and vector', [2, 3], [3]), matmul('vectors', [4], [4]), matmul('stack and vector', [2, 2, 3], [3]), matmul('vector and stack', [3], [2, 3, 2]),
  ...[0, 1].flatMap((transA) => [0, 1].flatMap((transB): Case[] => [
    {
      rule: 'Gemm', name: `transA ${transA}, transB ${transB}`, inputs: { a: transA === 1 ? [3, 2] : [2, 3], b: transB === 1 ? [4, 3] : [3, 4], c: [4] },
      build: (g) => g.op('Gemm', ['a', 'b', 'c'], { transA: int(transA), transB: int(transB), alpha: float(0.5), beta: float(-1.5) }),
    },
    {
      rule: 'com.microsoft:FusedMatMul', name: `transA ${transA}, transB ${transB}, stacks`, inputs: { a: transA === 1 ? [2, 3, 2] : [2, 2, 3], b: transB === 1 ? [2, 4, 3] : [2, 3, 4] },
      build: (g) => g.op('FusedMatMul', ['a', 'b'], { transA: int(transA), transB: int(transB), alpha: float(0.5) }, { domain: 'com.microsoft' }),
    },
    {
      rule: 'com.microsoft:FusedMatMul', name: `transA ${transA}, transB ${transB}, a stack and a weight`, inputs: { a: transA === 1 ? [2, 3, 2] : [2, 2, 3], b: transB === 1 ? [4, 3] : [3, 4] },
      build: (g) => g.op('FusedMatMul', ['a', 'b'], { transA: int(transA), transB: int(transB) }, { domain: 'com.microsoft' }),
    },
  ])),
  { rule: 'Gemm', name: 'no bias', inputs: { a: [2, 3], b: [3, 2] }, build: (g) => g.op('Gemm', ['a', 'b']) },
  { rule: 'Gemm', name: 'a column as bias', inputs: { a: [2, 3], b: [3, 2], c: [2, 1] }, build: (g) => g.op('Gemm', ['a', 'b', 'c']) },
  einsum('ij,jk->ik', [2, 3], [3, 2]), einsum('bhqd,bhkd->bhqk', [1, 2, 3, 2], [1, 2, 2, 2]), einsum('ij,jk', [2, 3], [3, 2]),
  einsum('ij->j', [2, 3]), einsum('ij,kj->i', [2, 3], [2, 3]), einsum('i,j->ij', [2], [3]), einsum('bi,ij,bj->b', [2, 2], [2, 3], [2, 3]),
];
