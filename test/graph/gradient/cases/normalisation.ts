import { int, type Case, type Input } from '../check.ts';
import { float } from '../../../../src/graph/build.ts';

const positive = (count: number): Input => ({ shape: [count], from: [0.5, 2] });

export const normalisationCases: readonly Case[] = [
  {
    rule: 'BatchNormalization', name: 'given statistics', inputs: { x: [2, 3, 2, 4], scale: [3], bias: [3], mean: [3], variance: positive(3) },
    build: (g) => g.op('BatchNormalization', ['x', 'scale', 'bias', 'mean', 'variance'], { epsilon: float(0.01) }),
  },
  {
    rule: 'BatchNormalization', name: 'given statistics, no space', inputs: { x: [5, 3], scale: [3], bias: [3], mean: [3], variance: positive(3) },
    build: (g) => g.op('BatchNormalization', ['x', 'scale', 'bias', 'mean', 'variance']),
  },
  ...[[3, 2, 3, 2], [4, 2, 5], [6, 2]].map((x): Case => ({
    rule: 'BatchNormalization', name: `statistics of the batch, rank ${x.length}, running statistics in the loss`,
    inputs: { x, scale: [2], bias: [2], mean: { shape: [2], isFixed: true }, variance: { ...positive(2), isFixed: true } },
    build: (g) => g.op('BatchNormalization', ['x', 'scale', 'bias', 'mean', 'variance'], { training_mode: int(1), momentum: float(0.7) }, { outputs: 3 }),
  })),
  { rule: 'LayerNormalization', name: 'last axis', inputs: { x: [2, 3, 5], scale: [5], bias: [5] }, build: (g) => g.op('LayerNormalization', ['x', 'scale', 'bias']) },
  { rule: 'LayerNormalization', name: 'two axes, no bias', inputs: { x: [3, 2, 4], scale: [2, 4] }, build: (g) => g.op('LayerNormalization', ['x', 'scale'], { axis: int(1), epsilon: float(0.01) }) },
  {
    rule: 'LayerNormalization', name: 'statistics in the loss', inputs: { x: [3, 4], scale: [4] },
    build: (g) => g.op('LayerNormalization', ['x', 'scale'], {}, { outputs: 3 }),
  },
  { rule: 'RMSNormalization', name: 'last axis', opset: 23, inputs: { x: [2, 3, 5], scale: [5] }, build: (g) => g.op('RMSNormalization', ['x', 'scale']) },
  { rule: 'SimplifiedLayerNormalization', name: 'last axis', inputs: { x: [2, 3, 5], scale: [5] }, build: (g) => g.op('SimplifiedLayerNormalization', ['x', 'scale'], { epsilon: float(1e-6) }), noEngine: 'shape is not inferred' },
  {
    rule: 'com.microsoft:SimplifiedLayerNormalization', name: 'last axis', inputs: { x: [2, 3, 5], scale: [5] }, noEngine: 'ONNX Runtime keeps it under ai.onnx',
    build: (g) => g.op('SimplifiedLayerNormalization', ['x', 'scale'], {}, { domain: 'com.microsoft' }),
  },
  { rule: 'GroupNormalization', name: 'two groups', inputs: { x: [2, 4, 3, 2], scale: [4], bias: [4] }, build: (g) => g.op('GroupNormalization', ['x', 'scale', 'bias'], { num_groups: int(2) }) },
  { rule: 'InstanceNormalization', name: 'two axes', inputs: { x: [2, 3, 3, 2], scale: [3], bias: [3] }, build: (g) => g.op('InstanceNormalization', ['x', 'scale', 'bias']) },
  { rule: 'LpNormalization', name: 'squares', inputs: { x: [3, 4] }, build: (g) => g.op('LpNormalization', ['x']) },
  { rule: 'LpNormalization', name: 'absolute values, first axis', inputs: { x: [3, 4] }, build: (g) => g.op('LpNormalization', ['x'], { p: int(1), axis: int(0) }) },
  { rule: 'LRN', name: 'three channels', inputs: { x: [2, 5, 2, 2] }, build: (g) => g.op('LRN', ['x'], { size: int(3), alpha: float(0.5), beta: float(0.6), bias: float(1.5) }) },
];
