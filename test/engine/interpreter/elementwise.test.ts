import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erf } from '../../../src/engine/interpreter/elementwise.ts';
import { interpret } from '../../../src/engine/interpreter/interpret.ts';
import { float, GraphBuilder, int } from '../../../src/graph/build.ts';
import { onnxTypes } from '../../../src/graph/data-types.ts';
import { f32, random, randomIntegers, same, scalar, value } from './against-ort.ts';

const shape = [3, 4, 5];
const special = value('f32', [9], [0, -0, 1, -1, 0.5, -2.5, Infinity, -Infinity, NaN]);

test('functions of one element are those of ONNX Runtime', async () => {
  for (const op of ['Abs', 'Neg', 'Exp', 'Erf', 'Sin', 'Cos', 'Tan', 'Atan', 'Sinh', 'Cosh', 'Tanh', 'Asinh', 'Sign', 'Floor', 'Ceil', 'Reciprocal',
    'Sigmoid', 'HardSigmoid', 'HardSwish', 'Softplus', 'Softsign', 'Relu', 'LeakyRelu', 'ThresholdedRelu', 'Elu', 'Selu', 'Celu', 'Gelu', 'Mish', 'Shrink', 'Identity']) {
    await same(op, [random(shape, -3, 3)], {}, { opset: 22 });
  }
  for (const op of ['Sqrt', 'Log', 'Acosh']) await same(op, [random(shape, 1, 4)]);
  for (const op of ['Asin', 'Acos', 'Atanh']) await same(op, [random(shape, -0.9, 0.9)]);
  await same('Round', [f32(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49, 3.7)]);
});

test('zeros, infinities and NaN go through', async () => {
  for (const op of ['Abs', 'Neg', 'Sqrt', 'Exp', 'Log', 'Tanh', 'Sigmoid', 'Floor', 'Ceil', 'Round', 'Reciprocal', 'IsNaN', 'IsInf', 'Relu']) await same(op, [special]);
  await same('IsInf', [special], { detect_negative: 0 });
  for (const op of ['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual', 'Add', 'Mul', 'Div']) await same(op, [special, value('f32', [1], [1])]);
  await same('Clip', [value('f32', [4], [Infinity, -Infinity, 0.25, 9]), scalar('f32', -1), scalar('f32', 2)]);
});

test('activations take their parameters', async () => {
  const x = random(shape, -3, 3);
  await same('HardSigmoid', [x], { alpha: float(0.4), beta: float(0.3) });
  await same('LeakyRelu', [x], { alpha: float(0.2) });
  await same('ThresholdedRelu', [x], { alpha: float(0.7) });
  await same('Elu', [x], { alpha: float(1.5) });
  await same('Selu', [x], { alpha: float(2), gamma: float(3) });
  await same('Celu', [x], { alpha: float(0.5) });
  await same('Gelu', [x], { approximate: 'tanh' });
  await same('Shrink', [x], { bias: float(0.25), lambd: float(1) });
  await same('PRelu', [x, random([4, 1])]);
  await same('PRelu', [x, random([5])]);
  await same('QuickGelu', [x], {}, { domain: 'com.microsoft' });
  await same('QuickGelu', [x], { alpha: float(0.9) }, { domain: 'com.microsoft' });
  await same('Gelu', [x], {}, { domain: 'com.microsoft' });
  await same('FastGelu', [x, random([5])], {}, { domain: 'com.microsoft' });
  await same('BiasGelu', [x, random([5])], {}, { domain: 'com.microsoft' });
});

test('two and more values broadcast', async () => {
  for (const op of ['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max', 'Sum', 'Mean']) {
    await same(op, [random(shape), random(shape, 1, 2)]);
    await same(op, [random([4, 1]), random([3, 1, 5], 1, 2)]);
    await same(op, [random([]), random([2], 1, 2)]);
  }
  for (const op of ['Min', 'Max', 'Sum', 'Mean']) await same(op, [random([2, 1, 3]), random([4, 1]), random([3])]);
  for (const op of ['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual']) await same(op, [randomIntegers('i32', [3, 4], 0, 2), randomIntegers('i32', [4], 0, 2)]);
  for (const op of ['And', 'Or', 'Xor']) await same(op, [randomIntegers('bool', [3, 4], 0, 1), randomIntegers('bool', [3, 1], 0, 1)]);
  await same('Not', [randomIntegers('bool', [6], 0, 1)]);
  await same('Where', [randomIntegers('bool', [3, 1], 0, 1), random([1, 4]), random([2, 1, 1])]);
  await same('Pow', [random(shape, 0.5, 2), random([5])]);
  await same('Pow', [random(shape), value('i64', [], [3])]);
  await same('Clip', [random(shape), undefined, scalar('f32', 0.5)]);
  await same('Clip', [random(shape), scalar('f32', 1), scalar('f32', -1)]);
});

test('integers divide toward zero, wrap and keep the sign of the divisor in Mod', async () => {
  const a = value('i32', [8], [7, -7, 7, -7, 6, -6, 0, 2147483647]);
  const b = value('i32', [8], [3, 3, -3, -3, 3, -3, 5, 2]);
  for (const op of ['Add', 'Sub', 'Mul', 'Div', 'Mod']) await same(op, [a, b]);
  await same('Mod', [a, b], { fmod: 1 });
  await same('Mod', [random([8], -5, 5), random([8], 1, 2)], { fmod: 1 });
  await same('Mul', [value('i32', [2], [123456789, -2000000000]), value('i32', [2], [987654321, 2000000000])]);
  await same('Add', [value('u8', [3], [250, 5, 255]), value('u8', [3], [10, 6, 1])], {}, { opset: 14 });
  await same('Abs', [value('i64', [3], [-5, 0, 7])]);
});

test('casts truncate, wrap and round as ONNX Runtime does', async () => {
  const x = f32(0, -0, 0.9, -0.9, 1.5, -1.5, 100.7, -100.7);
  for (const to of ['i8', 'i16', 'i32', 'i64', 'bool', 'f64', 'f16'] as const) await same('Cast', [x], { to: onnxTypes[to] });
  await same('Cast', [value('i32', [5], [300, -300, 127, 128, -129])], { to: onnxTypes.i8 });
  await same('Cast', [value('i32', [4], [300, 255, 256, 7])], { to: onnxTypes.u8 });
  await same('Cast', [f32(0.1, 1 / 3, 65504, 70000, 1e-7)], { to: onnxTypes.f16 });
  await same('CastLike', [x, scalar('i32', 0)]);
});

test('Dropout in inference passes its input on and keeps everything', async () => {
  await same('Dropout', [random([3, 4])], {}, { outputs: 2 });
  const g = new GraphBuilder('training');
  const x = g.input('x', 'f32', [2]);
  g.output(g.op('Dropout', [x, g.floats(0.5), g.input('training', 'bool', [])]), 'y');
  await assert.rejects(interpret(g.graph(), { x: f32(1, 2), training: scalar('bool', 1) }), /training mode on/);
});

test('the error function is exact to the last bits of a double', () => {
  // Abramowitz and Stegun, table 7.1 and its continuation, to the digits of a double.
  const known: [number, number][] = [[0.5, 0.5204998778130465], [1, 0.8427007929497149], [2, 0.9953222650189527], [3, 0.9999779095030014], [1e-10, 1.1283791670955126e-10]];
  for (const [x, y] of known) {
    assert.ok(Math.abs(erf(x) - y) <= 4e-16 * y, `erf ${x}`);
    assert.equal(erf(-x), -erf(x));
  }
  assert.equal(erf(Infinity), 1);
});

test('an operator that is not known is named', async () => {
  const g = new GraphBuilder('unknown');
  g.output(g.op('FourierKernel', [g.input('x', 'f32', [1])], { order: int(2) }, { name: 'spectrum', domain: 'com.example' }), 'y');
  await assert.rejects(interpret(g.graph(), { x: f32(1) }), /node spectrum: the interpreter has no operator com\.example:FourierKernel/);
});
