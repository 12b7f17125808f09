/** Operators between numbers and their integer codes, and products of codes. */
import type { ElementType } from '../../tensor-ref.ts';
import { elementTypeOf } from '../../graph/data-types.ts';
import { rne } from '../../numeric/rounding.ts';
import { convolved } from './convolution.ts';
import { combined } from './elementwise.ts';
import type { Call, Operator, Operators } from './call.ts';
import { matmul } from './matrix.ts';
import { largest } from './reductions.ts';
import { quantizeNumber, saturate } from './types.ts';
import { axisOf, perChannel, reader, reshaped, retyped, scalarOf, tabulate, type Value64 } from './value.ts';

/** The scale or zero point of each element: one for all, one per index of an axis, or one per block along it. */
function spread(call: Call, x: Value64, scale: Value64): (index: readonly number[]) => number {
  if (scale.data.length === 1) return () => scale.data[0];
  const axis = axisOf(call.int('axis', 1), x.shape.length);
  if (scale.shape.length === 1) return (index) => scale.data[index[axis]];
  const block = call.int('block_size', 0);
  const read = reader(scale);
  return (index) => read(index.with(axis, Math.floor(index[axis] / block)));
}

const typeAttribute = (call: Call): ElementType | undefined => elementTypeOf(call.int('output_dtype', 0));
const zeros = (call: Call, x: Value64, zero: Value64 | undefined): ((index: readonly number[]) => number) =>
  (zero === undefined ? () => 0 : spread(call, x, zero));

const quantizeLinear: Operator = (call) => {
  const [x, scales, zeroPoints] = [call.input(0), call.input(1), call.optional(2)];
  const type = zeroPoints?.type ?? typeAttribute(call) ?? 'u8';
  const [scale, zero] = [spread(call, x, scales), zeros(call, x, zeroPoints)];
  const saturates = call.flag('saturate', true);
  return tabulate(type, x.shape, (index, flat) => quantizeNumber(type, x.data[flat] / scale(index), zero(index), saturates));
};

const dequantizeLinear: Operator = (call) => {
  const [x, scales, zeroPoints] = [call.input(0), call.input(1), call.optional(2)];
  const [scale, zero] = [spread(call, x, scales), zeros(call, x, zeroPoints)];
  return tabulate(typeAttribute(call) ?? scales.type, x.shape, (index, flat) => (x.data[flat] - zero(index)) * scale(index));
};

/** To u8 over the range of x, widened to hold 0; a range of nothing has scale 1. */
const dynamicQuantizeLinear: Operator = (call) => {
  const x = call.input(0);
  const high = Math.max(0, largest([...x.data]));
  const low = -Math.max(0, largest([...x.data].map((element) => -element)));
  const scale = high === low ? 1 : (high - low) / 255;
  const zero = saturate('u8', rne(-low / scale)) + 0;
  return [tabulate('u8', x.shape, (_, flat) => quantizeNumber('u8', x.data[flat] / scale, zero)), scalarOf('f32', scale), scalarOf('u8', zero)];
};

/** Codes less their zero point, as int32. */
const centered = (codes: Value64, zero: Value64 | undefined): Value64 =>
  (zero === undefined ? retyped(codes, 'i32') : combined(codes, zero, (code, point) => code - point, 'i32'));

/** Scales and zero points of the left factor are per row where they are a vector. */
const perRow = (zero: Value64 | undefined): Value64 | undefined =>
  (zero !== undefined && zero.shape.length === 1 && zero.data.length > 1 ? reshaped(zero, [zero.data.length, 1]) : zero);
const perMap = (zero: Value64 | undefined, rank: number): Value64 | undefined =>
  (zero === undefined || zero.data.length === 1 ? zero : reshaped(perChannel(zero, rank), [zero.data.length, ...Array.from({ length: rank - 1 }, () => 1)]));

/** int32 sums times the product of the scales, quantized again. */
function requantized(sums: Value64, scale: Value64, outScale: Value64, outZero: Value64): Value64 {
  const quotients = combined(combined(retyped(sums, 'f64'), scale, (a, b) => a * b), outScale, (a, b) => a / b);
  return combined(quotients, outZero, (x, zero) => quantizeNumber(outZero.type, x, zero), outZero.type);
}

const qLinearMatMul: Operator = (call) => {
  const [a, aScale, aZero, b, bScale, bZero, yScale, yZero] = call.inputs;
  const sums = matmul(centered(a, perRow(aZero)), centered(b, bZero), 'i32');
  return requantized(sums, combined(perRow(aScale)!, bScale, (x, y) => x * y), yScale, yZero);
};

const qLinearConv: Operator = (call) => {
  const [x, xScale, xZero, w, wScale, wZero, yScale, yZero] = call.inputs;
  const rank = x.shape.length;
  const sums = convolved(call, centered(x, xZero), centered(w, perMap(wZero, rank)), 'i32');
  const bias = call.optional(8);
  const biased = bias === undefined ? sums : combined(sums, perChannel(bias, rank), (sum, b) => sum + b);
  const scale = combined(xScale, wScale.data.length === 1 ? wScale : perChannel(wScale, rank), (s, t) => s * t);
  return requantized(biased, scale, yScale, yZero);
};

export const quantization: Operators = {
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  'com.microsoft:QuantizeLinear': quantizeLinear,
  'com.microsoft:DequantizeLinear': dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantizeLinear,
  MatMulInteger: (call) => matmul(centered(call.input(0), perRow(call.optional(2))), centered(call.input(1), call.optional(3)), 'i32'),
  ConvInteger: (call) => convolved(call, centered(call.input(0), call.optional(2)), centered(call.input(1), perMap(call.optional(3), call.input(0).shape.length)), 'i32'),
  QLinearMatMul: qLinearMatMul,
  QLinearConv: qLinearConv,
};
