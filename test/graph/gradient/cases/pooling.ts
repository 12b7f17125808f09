import { int, ints, type Case } from '../check.ts';
import { string } from '../../../../src/graph/build.ts';
import type { Attribute } from '../../../../src/graph/graph.ts';

const pool = (rule: string, name: string, x: readonly number[], attributes: Readonly<Record<string, Attribute>> = {}): Case =>
  ({ rule, name, inputs: { x: { shape: x, from: [-1, 1] } }, build: (g) => g.op(rule, ['x'], attributes) });

export const poolingCases: readonly Case[] = [
  pool('MaxPool', '2×2 of stride 2', [2, 3, 6, 4], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }),
  pool('MaxPool', 'overlapping windows, padded', [2, 2, 5, 6], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }),
  pool('MaxPool', 'stride 1', [1, 2, 5, 5], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) }),
  pool('MaxPool', 'ceil_mode', [1, 2, 6, 7], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: int(1) }),
  pool('MaxPool', 'dilations', [1, 2, 7, 7], { kernel_shape: ints([2, 3]), dilations: ints([2, 2]) }),
  pool('MaxPool', 'one axis', [2, 3, 8], { kernel_shape: ints([3]), strides: ints([2]) }),
  {
    rule: 'MaxPool', name: 'places counted by columns, used elsewhere', inputs: { x: { shape: [1, 2, 4, 5], from: [-1, 1] } },
    build: (g) => {
      const [y, places] = g.op('MaxPool', ['x'], { kernel_shape: ints([2, 2]), storage_order: int(1) }, { outputs: 2 });
      return [y, g.op('Mul', [y, g.op('Cast', [places], { to: int(1) })])];
    },
    noEngine: 'no kernel with storage_order 1',
  },
  pool('AveragePool', '2×2 of stride 2', [2, 2, 4, 6], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }),
  pool('AveragePool', 'padding not counted', [2, 2, 5, 4], { kernel_shape: ints([3, 3]), strides: ints([2, 1]), pads: ints([1, 1, 1, 1]) }),
  pool('AveragePool', 'padding counted', [2, 2, 5, 4], { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]), count_include_pad: int(1) }),
  pool('AveragePool', 'ceil_mode', [1, 2, 6, 7], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: int(1) }),
  pool('AveragePool', 'ceil_mode with padding counted', [1, 2, 6, 7], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]), ceil_mode: int(1), count_include_pad: int(1) }),
  pool('AveragePool', 'auto_pad', [1, 2, 5, 6], { kernel_shape: ints([2, 3]), auto_pad: string('SAME_UPPER'), strides: ints([2, 2]) }),
  pool('AveragePool', 'dilations', [1, 1, 7, 6], { kernel_shape: ints([2, 3]), dilations: ints([3, 2]) }),
  pool('AveragePool', 'one axis', [2, 2, 7], { kernel_shape: ints([3]), pads: ints([1, 1]) }),
  pool('AveragePool', 'three axes', [1, 2, 4, 3, 4], { kernel_shape: ints([2, 2, 2]), strides: ints([2, 1, 2]) }),
  pool('GlobalAveragePool', 'two axes', [2, 3, 4, 5]),
  pool('GlobalAveragePool', 'one axis', [2, 3, 4]),
  pool('GlobalMaxPool', 'two axes', [2, 3, 4, 5]),
];
