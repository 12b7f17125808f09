import { int, ints, type Case } from '../check.ts';
import { string, type GraphBuilder } from '../../../../src/graph/build.ts';

const moved = (rule: string, name: string, x: readonly number[], build: (g: GraphBuilder) => string | readonly string[]): Case => ({ rule, name, inputs: { x }, build });

export const movementCases: readonly Case[] = [
  moved('Reshape', 'with −1', [2, 6], (g) => g.op('Reshape', ['x', g.ints([3, -1])])),
  moved('Flatten', 'axis 2', [2, 2, 3], (g) => g.op('Flatten', ['x'], { axis: int(2) })),
  moved('Squeeze', 'one axis', [2, 1, 3], (g) => g.op('Squeeze', ['x', g.ints([1])])),
  moved('Squeeze', 'all axes', [2, 1, 3, 1], (g) => g.op('Squeeze', ['x'])),
  moved('Unsqueeze', 'two axes', [2, 3], (g) => g.op('Unsqueeze', ['x', g.ints([0, -1])])),
  moved('Transpose', 'given order', [2, 3, 4], (g) => g.op('Transpose', ['x'], { perm: ints([1, 2, 0]) })),
  moved('Transpose', 'reversed', [2, 3, 4], (g) => g.op('Transpose', ['x'])),
  { rule: 'Concat', name: 'last axis', inputs: { a: [2, 3], b: [2, 1], c: [2, 2] }, build: (g) => g.op('Concat', ['a', 'b', 'c'], { axis: int(-1) }) },
  moved('Concat', 'the same value twice', [2, 3], (g) => g.op('Concat', ['x', 'x'], { axis: int(0) })),
  moved('Split', 'uneven', [5, 2], (g) => g.op('Split', ['x', g.ints([2, 3])], {}, { outputs: 2 })),
  moved('Split', 'only the middle part used', [2, 6], (g) => g.op('Split', ['x'], { axis: int(1), num_outputs: int(3) }, { outputs: 3 })[1]),
  moved('Slice', 'two axes', [4, 5], (g) => g.op('Slice', ['x', g.ints([1, 2]), g.ints([3, 5])])),
  moved('Slice', 'negative axis, start and end', [4, 5], (g) => g.op('Slice', ['x', g.ints([-4]), g.ints([-1]), g.ints([-1])])),
  moved('Slice', 'steps', [7, 6], (g) => g.op('Slice', ['x', g.ints([1, 0]), g.ints([7, 6]), g.ints([0, 1]), g.ints([2, 4])])),
  moved('Slice', 'backwards', [4, 5], (g) => g.op('Slice', ['x', g.ints([-1]), g.ints([-100]), g.ints([1]), g.ints([-2])])),
  moved('Slice', 'to an end beyond', [4, 2], (g) => g.op('Slice', ['x', g.ints([2]), g.ints([1000]), g.ints([0])])),
  moved('Pad', 'zeros', [2, 3], (g) => g.op('Pad', ['x', g.ints([1, 0, 2, 1])])),
  moved('Pad', 'negative amounts', [4, 3], (g) => g.op('Pad', ['x', g.ints([-1, 1, 0, -1])])),
  { rule: 'Pad', name: 'a constant that is learned', inputs: { x: [2, 3], c: [] }, build: (g) => g.op('Pad', ['x', g.ints([1, 0, 2, 1]), 'c']) },
  moved('Pad', 'some axes', [2, 2, 3], (g) => g.op('Pad', ['x', g.ints([1, 2]), '', g.ints([-1])])),
  ...['reflect', 'edge', 'wrap'].map((mode) => moved('Pad', mode, [3, 4], (g) => g.op('Pad', ['x', g.ints([1, 2, 2, 1])], { mode: string(mode) }))),
  moved('Tile', 'two axes', [2, 3], (g) => g.op('Tile', ['x', g.ints([3, 2])])),
  moved('Expand', 'new and old axes', [3, 1], (g) => g.op('Expand', ['x', g.ints([2, 1, 4])])),
  ...['DCR', 'CRD'].map((mode) => moved('DepthToSpace', mode, [2, 8, 2, 3], (g) => g.op('DepthToSpace', ['x'], { blocksize: int(2), mode: string(mode) }))),
  moved('SpaceToDepth', 'blocks of two', [1, 2, 4, 6], (g) => g.op('SpaceToDepth', ['x'], { blocksize: int(2) })),
  moved('Trilu', 'upper', [3, 4], (g) => g.op('Trilu', ['x'])),
  moved('Trilu', 'lower, shifted', [2, 3, 3], (g) => g.op('Trilu', ['x', g.ints(-1)], { upper: int(0) })),
];
