import { int, type Case, type Input } from '../check.ts';
import { string } from '../../../../src/graph/build.ts';

const indices = (shape: readonly number[], values: readonly number[]): Input => ({ shape, values, type: 'i64' });

export const indexingCases: readonly Case[] = [
  { rule: 'Gather', name: 'rows, some twice, some from the end', inputs: { x: [4, 3], i: indices([5], [1, 3, 1, -4, 1]) }, build: (g) => g.op('Gather', ['x', 'i']) },
  { rule: 'Gather', name: 'middle axis, a matrix of indices', inputs: { x: [2, 4, 3], i: indices([2, 2], [0, 2, 2, -1]) }, build: (g) => g.op('Gather', ['x', 'i'], { axis: int(1) }) },
  { rule: 'Gather', name: 'one index', inputs: { x: [3, 2] }, build: (g) => g.op('Gather', ['x', g.ints(1)], { axis: int(-1) }) },
  { rule: 'GatherND', name: 'rows, one twice', inputs: { x: [3, 2, 2], i: indices([3, 1], [2, 0, -1]) }, build: (g) => g.op('GatherND', ['x', 'i']) },
  { rule: 'GatherND', name: 'elements', inputs: { x: [3, 4], i: indices([2, 2, 2], [0, 1, 2, 3, 0, 1, -1, -4]) }, build: (g) => g.op('GatherND', ['x', 'i']) },
  { rule: 'GatherND', name: 'batches', inputs: { x: [2, 3, 2], i: indices([2, 2, 1], [2, 2, 0, 1]) }, build: (g) => g.op('GatherND', ['x', 'i'], { batch_dims: int(1) }) },
  { rule: 'GatherElements', name: 'repeated', inputs: { x: [3, 4], i: indices([2, 4], [0, 1, 2, 0, 0, 1, -1, 1]) }, build: (g) => g.op('GatherElements', ['x', 'i']) },
  { rule: 'GatherElements', name: 'last axis', inputs: { x: [2, 3], i: indices([2, 2], [2, 2, 0, 1]) }, build: (g) => g.op('GatherElements', ['x', 'i'], { axis: int(1) }) },
  { rule: 'ScatterElements', name: 'replaces', inputs: { x: [3, 3], i: indices([2, 3], [0, 2, 1, 1, 0, 2]), u: [2, 3] }, build: (g) => g.op('ScatterElements', ['x', 'i', 'u']) },
  { rule: 'ScatterElements', name: 'adds, repeated', inputs: { x: [2, 4], i: indices([2, 3], [1, 1, 3, 0, 0, 0]), u: [2, 3] }, build: (g) => g.op('ScatterElements', ['x', 'i', 'u'], { axis: int(1), reduction: string('add') }) },
  { rule: 'ScatterND', name: 'replaces rows', inputs: { x: [4, 2], i: indices([2, 1], [3, 0]), u: [2, 2] }, build: (g) => g.op('ScatterND', ['x', 'i', 'u']) },
  { rule: 'ScatterND', name: 'adds elements', inputs: { x: [2, 3], i: indices([2, 2], [0, 1, 1, 2]), u: [2] }, build: (g) => g.op('ScatterND', ['x', 'i', 'u'], { reduction: string('add') }) },
  { rule: 'TopK', name: 'two largest', inputs: { x: { shape: [3, 5], from: [-1, 1] } }, build: (g) => g.op('TopK', ['x', g.ints([2])], {}, { outputs: 2 })[0] },
  { rule: 'TopK', name: 'smallest of the first axis', inputs: { x: { shape: [4, 2], from: [-1, 1] } }, build: (g) => g.op('TopK', ['x', g.ints([1])], { axis: int(0), largest: int(0) }, { outputs: 2 })[0] },
];
