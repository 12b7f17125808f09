import { int, ints, type Case } from '../check.ts';
import { string } from '../../../../src/graph/build.ts';
import type { Attribute } from '../../../../src/graph/graph.ts';

type Attributes = Readonly<Record<string, Attribute>>;
const conv = (name: string, x: readonly number[], w: readonly number[], attributes: Attributes = {}, bias?: number): Case => ({
  rule: 'Conv', name, inputs: { x, w, ...(bias === undefined ? {} : { b: [bias] }) },
  build: (g) => g.op('Conv', bias === undefined ? ['x', 'w'] : ['x', 'w', 'b'], attributes),
});
const transposed = (name: string, x: readonly number[], w: readonly number[], attributes: Attributes = {}, bias?: number): Case => ({
  rule: 'ConvTranspose', name, inputs: { x, w, ...(bias === undefined ? {} : { b: [bias] }) },
  build: (g) => g.op('ConvTranspose', bias === undefined ? ['x', 'w'] : ['x', 'w', 'b'], attributes),
});

export const convolutionCases: readonly Case[] = [
  conv('3×3, padded, with a bias', [2, 3, 5, 4], [4, 3, 3, 3], { pads: ints([1, 1, 1, 1]) }, 4),
  conv('without padding', [2, 2, 5, 5], [3, 2, 3, 2]),
  conv('1×1', [2, 3, 4, 3], [5, 3, 1, 1]),
  conv('1×1 of stride 2', [2, 3, 5, 4], [2, 3, 1, 1], { strides: ints([2, 2]) }),
  conv('one channel, few copies', [2, 1, 5, 5], [6, 1, 3, 3], { pads: ints([1, 1, 1, 1]) }),
  conv('one channel of stride 2', [2, 1, 6, 7], [6, 1, 3, 3], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
  conv('more channels than positions', [3, 4, 3, 3], [5, 4, 3, 3], { pads: ints([1, 1, 1, 1]) }),
  conv('strides and uneven padding', [2, 2, 7, 8], [3, 2, 3, 3], { strides: ints([2, 3]), pads: ints([0, 1, 2, 1]) }, 3),
  conv('a stride that leaves the last columns unread', [1, 2, 6, 6], [2, 2, 2, 2], { strides: ints([4, 4]) }),
  conv('dilations', [1, 2, 7, 8], [3, 2, 3, 2], { dilations: ints([2, 3]), pads: ints([2, 1, 1, 2]) }),
  conv('dilations and strides', [2, 2, 9, 8], [2, 2, 3, 3], { dilations: ints([2, 1]), strides: ints([2, 2]), pads: ints([2, 1, 2, 1]) }),
  conv('padding wider than the kernel reaches', [1, 2, 3, 3], [2, 2, 2, 2], { pads: ints([2, 3, 3, 2]) }),
  conv('taps that only ever see padding', [2, 3, 1, 1], [4, 3, 3, 3], { pads: ints([1, 1, 1, 1]) }),
  conv('one position of stride 2', [2, 3, 1, 1], [4, 3, 3, 3], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
  conv('two groups', [2, 4, 5, 4], [6, 2, 3, 3], { group: int(2), pads: ints([1, 1, 1, 1]) }, 6),
  conv('two groups of stride 2', [2, 4, 5, 6], [6, 2, 3, 3], { group: int(2), pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
  conv('depthwise', [2, 4, 5, 5], [4, 1, 3, 3], { group: int(4), pads: ints([1, 1, 1, 1]) }, 4),
  conv('depthwise with two outputs per channel, stride 2', [2, 3, 6, 5], [6, 1, 3, 3], { group: int(3), pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
  conv('auto_pad SAME_UPPER', [1, 2, 5, 6], [2, 2, 2, 3], { auto_pad: string('SAME_UPPER'), strides: ints([2, 2]) }),
  conv('auto_pad SAME_LOWER', [1, 2, 5, 6], [2, 2, 4, 2], { auto_pad: string('SAME_LOWER') }),
  conv('auto_pad VALID', [1, 2, 5, 5], [2, 2, 3, 3], { auto_pad: string('VALID') }),
  conv('one axis', [2, 3, 9], [4, 3, 3], { pads: ints([1, 1]), dilations: ints([2]) }, 4),
  conv('one axis, depthwise, causal', [2, 4, 7], [4, 1, 4], { group: int(4), pads: ints([3, 0]) }),
  conv('one axis of stride 3', [2, 2, 10], [3, 2, 4], { strides: ints([3]), pads: ints([1, 2]) }),
  conv('three axes', [1, 2, 4, 3, 4], [2, 2, 2, 3, 2], { pads: ints([1, 1, 0, 0, 1, 1]), strides: ints([1, 1, 2]) }),

  transposed('stride 2 with a bias', [2, 3, 3, 4], [3, 2, 3, 3], { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }, 2),
  transposed('stride 1', [2, 2, 4, 4], [2, 3, 3, 3]),
  transposed('output_padding', [1, 2, 3, 3], [2, 3, 3, 3], { strides: ints([2, 3]), pads: ints([1, 0, 1, 1]), output_padding: ints([1, 2]) }),
  transposed('dilations', [1, 2, 3, 4], [2, 2, 2, 3], { dilations: ints([2, 2]), strides: ints([2, 1]), pads: ints([1, 0, 0, 2]) }),
  transposed('groups', [2, 4, 3, 3], [4, 2, 2, 2], { group: int(2), strides: ints([2, 2]) }, 4),
  transposed('depthwise', [2, 3, 4, 4], [3, 1, 4, 4], { group: int(3), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }),
  transposed('auto_pad SAME_UPPER', [1, 2, 4, 3], [2, 2, 3, 3], { auto_pad: string('SAME_UPPER'), strides: ints([2, 2]) }),
  transposed('output_shape', [1, 2, 4, 3], [2, 2, 3, 3], { output_shape: ints([8, 6]), strides: ints([2, 2]) }),
  transposed('one axis', [2, 3, 5], [3, 2, 4], { strides: ints([2]), pads: ints([1, 1]) }),
];
