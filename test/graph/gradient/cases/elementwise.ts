import { int, type Case, type Input } from '../check.ts';
import { float, string } from '../../../../src/graph/build.ts';
import { memoryTensor } from '../../../../src/tensor-ref.ts';
import type { Attribute } from '../../../../src/graph/graph.ts';

type Attributes = Readonly<Record<string, Attribute>>;
interface Extra { readonly attributes?: Attributes; readonly from?: readonly [number, number]; readonly name?: string; readonly opset?: number; readonly noEngine?: string }

/** A function of one input, over both signs unless a range is given. */
function unary(rule: string, { attributes = {}, from, name = 'both signs', opset, noEngine }: Extra = {}): Case {
  const [domain, op] = rule.includes(':') ? rule.split(':') : ['', rule];
  const x: Input = { shape: [3, 4], ...(from === undefined ? {} : { from }) };
  return { rule, name: from === undefined ? name : `from ${from[0]} to ${from[1]}`, inputs: { x }, opset, noEngine, build: (g) => g.op(op, ['x'], attributes, { domain }) };
}

/** An operator of two inputs that broadcast in every way. */
function binary(rule: string, range: { readonly a?: readonly [number, number]; readonly b?: readonly [number, number] } = {}, attributes: Attributes = {}): Case[] {
  const shapes: readonly (readonly [name: string, a: readonly number[], b: readonly number[]])[] = [
    ['same shapes', [2, 3], [2, 3]], ['a row', [2, 3], [3]], ['a column', [2, 3], [2, 1]], ['both repeated', [2, 1, 3], [4, 1]], ['a scalar', [], [2, 3]], ['more axes on the right', [3], [2, 2, 3]],
  ];
  return shapes.map(([name, a, b]) => ({
    rule, name, inputs: { a: { shape: a, ...(range.a === undefined ? {} : { from: range.a }) }, b: { shape: b, ...(range.b === undefined ? {} : { from: range.b }) } },
    build: (g) => g.op(rule, ['a', 'b'], attributes),
  }));
}

const variadic = (rule: string): Case[] => [
  { rule, name: 'three inputs that broadcast', inputs: { a: { shape: [2, 3], from: [-1, 1] }, b: { shape: [3], from: [-1, 1] }, c: { shape: [2, 1], from: [-1, 1] } }, build: (g) => g.op(rule, ['a', 'b', 'c']) },
  { rule, name: 'one input', inputs: { a: [2, 3] }, build: (g) => g.op(rule, ['a']) },
];

const flag = (value: boolean) => memoryTensor('training', 'bool', [], Uint8Array.of(value ? 1 : 0));

export const elementwiseCases: readonly Case[] = [
  ...['Identity', 'Floor', 'Ceil', 'Round', 'Sign', 'Neg', 'Abs', 'Reciprocal', 'Exp', 'Erf', 'Sin', 'Cos', 'Tan', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Tanh',
    'Sigmoid', 'HardSigmoid', 'Softplus', 'Softsign', 'Relu', 'LeakyRelu', 'ThresholdedRelu', 'Elu', 'Celu', 'Selu', 'Gelu', 'com.microsoft:Gelu', 'com.microsoft:QuickGelu', 'Mish', 'Shrink'].map((rule) => unary(rule)),
  unary('Swish', { opset: 24, noEngine: 'no kernel on the CPU', attributes: { alpha: float(1.3) } }),
  unary('Sqrt', { from: [0.2, 3] }), unary('Log', { from: [0.2, 3] }), unary('Asin', { from: [-0.8, 0.8] }), unary('Acos', { from: [-0.8, 0.8] }),
  unary('Acosh', { from: [1.2, 3] }), unary('Atanh', { from: [-0.8, 0.8] }),
  unary('HardSwish', { from: [-4, 4] }), unary('HardSigmoid', { from: [-4, 4], attributes: { alpha: float(0.3), beta: float(0.4) } }), unary('ThresholdedRelu', { from: [-2, 4], attributes: { alpha: float(0.7) } }),
  unary('Gelu', { attributes: { approximate: string('tanh') }, name: 'tanh approximation' }),
  unary('com.microsoft:QuickGelu', { attributes: { alpha: float(0.9) }, name: 'alpha' }),
  unary('LeakyRelu', { attributes: { alpha: float(0.3) }, name: 'alpha' }), unary('Elu', { attributes: { alpha: float(0.6) }, name: 'alpha' }), unary('Celu', { attributes: { alpha: float(0.6) }, name: 'alpha' }),
  unary('Shrink', { attributes: { lambd: float(0.3), bias: float(0.2) }, name: 'bias' }),
  { rule: 'Dropout', name: 'inference', inputs: { x: [2, 3] }, build: (g) => g.op('Dropout', ['x']) },
  { rule: 'Dropout', name: 'training with ratio 0', inputs: { x: [2, 3] }, build: (g) => g.op('Dropout', ['x', g.floats(0), g.weight(flag(true))]) },
  { rule: 'Cast', name: 'f32 to f32', inputs: { x: [2, 3] }, build: (g) => g.op('Cast', ['x'], { to: int(1) }) },
  { rule: 'CastLike', name: 'f32 to f32', inputs: { x: [2, 3] }, build: (g) => g.op('CastLike', ['x', g.floats(1)]) },
  ...['channel', 'one for all'].map((name): Case => ({ rule: 'PRelu', name, inputs: { x: [2, 3, 2], slope: name === 'channel' ? [3, 1] : [1] }, build: (g) => g.op('PRelu', ['x', 'slope']) })),
  { rule: 'Clip', name: 'bounds that are learned', inputs: { x: { shape: [4, 5], from: [-1, 1] }, low: { shape: [], values: [-0.4] }, high: { shape: [], values: [0.3] } }, build: (g) => g.op('Clip', ['x', 'low', 'high']) },
  { rule: 'Clip', name: 'no lower bound', inputs: { x: { shape: [4, 5], from: [-1, 1] } }, build: (g) => g.op('Clip', ['x', '', g.floats(0.3)]) },
  { rule: 'Clip', name: 'no bounds', inputs: { x: [2, 2] }, build: (g) => g.op('Clip', ['x']) },
  ...binary('Add'), ...binary('Sub'), ...binary('Mul'), ...binary('Div'), ...binary('Pow', { a: [0.3, 2] }), ...binary('Mod', { a: [-5, 5], b: [1.1, 1.9] }, { fmod: int(1) }),
  ...[0, 0.5, 1, 2, 3, -1].map((power): Case => ({ rule: 'Pow', name: `the power ${power}`, inputs: { x: { shape: [2, 3], from: [0.3, 2] } }, build: (g) => g.op('Pow', ['x', g.floats(power)]) })),
  { rule: 'Pow', name: 'squares of negative numbers', inputs: { x: [2, 3] }, build: (g) => g.op('Pow', ['x', g.floats(2)]) },
  ...variadic('Max'), ...variadic('Min'), ...variadic('Sum'), ...variadic('Mean'),
  { rule: 'Where', name: 'all broadcast', inputs: { c: { shape: [2, 1, 3], type: 'bool', values: [1, 0, 1, 0, 0, 1] }, a: [3], b: [4, 1] }, build: (g) => g.op('Where', ['c', 'a', 'b']) },
];
