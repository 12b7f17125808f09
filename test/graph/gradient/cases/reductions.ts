import { int, type Case } from '../check.ts';

const names = ['ReduceSum', 'ReduceMean', 'ReduceSumSquare', 'ReduceL2', 'ReduceL1', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceProd', 'ReduceMax', 'ReduceMin'];
const rangeOf = (rule: string): readonly [number, number] => (rule === 'ReduceLogSum' ? [0.2, 2] : [-1, 1]);

export const reductionCases: readonly Case[] = [
  ...names.flatMap((rule): Case[] => {
    const x = { shape: [2, 3, 2], from: rangeOf(rule) };
    return [
      { rule, name: 'middle axis, kept', inputs: { x }, build: (g) => g.op(rule, ['x', g.ints([1])]) },
      { rule, name: 'two axes, dropped', inputs: { x }, build: (g) => g.op(rule, ['x', g.ints([0, -1])], { keepdims: int(0) }) },
      { rule, name: 'everything', inputs: { x }, build: (g) => g.op(rule, ['x'], { keepdims: int(0) }) },
    ];
  }),
  { rule: 'ReduceProd', name: 'one zero in a row, two in another', noSecond: 'taken as if zeros stayed zeros', inputs: { x: { shape: [3, 3], values: [2, 0, -3, 0, 4, 0, 1, 2, 3] } }, build: (g) => g.op('ReduceProd', ['x', g.ints([1])]) },
  { rule: 'ReduceSum', name: 'no axes and nothing to do', inputs: { x: [2, 3] }, build: (g) => g.op('ReduceSum', ['x', g.ints([])], { noop_with_empty_axes: int(1) }) },
  ...['Softmax', 'LogSoftmax'].flatMap((rule): Case[] => [
    { rule, name: 'last axis', inputs: { x: [2, 3, 4] }, build: (g) => g.op(rule, ['x']) },
    { rule, name: 'middle axis', inputs: { x: [2, 3, 4] }, build: (g) => g.op(rule, ['x'], { axis: int(1) }) },
  ]),
  ...[0, 1].flatMap((reverse) => [0, 1].map((exclusive): Case => ({
    rule: 'CumSum', name: `reverse ${reverse}, exclusive ${exclusive}`, inputs: { x: [2, 4] },
    build: (g) => g.op('CumSum', ['x', g.ints(1)], { reverse: int(reverse), exclusive: int(exclusive) }),
  }))),
];
