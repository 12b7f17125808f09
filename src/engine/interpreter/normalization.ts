/** Operators that bring groups of elements to mean zero and variance one, or to a root mean square of one. */
import { combined, mapped } from './elementwise.ts';
import type { Call, Operator, Operators } from './call.ts';
import { mean, reduced } from './reductions.ts';
import { axisOf, perChannel, reshaped, sizeOf, tabulate, type Value64 } from './value.ts';

const add = (a: Value64, b: Value64 | undefined): Value64 => (b === undefined ? a : combined(a, b, (x, y) => x + y));
const multiply = (a: Value64, b: Value64): Value64 => combined(a, b, (x, y) => x * y);
const subtract = (a: Value64, b: Value64): Value64 => combined(a, b, (x, y) => x - y);
const meanOf = (x: Value64, axes: readonly number[]): Value64 => reduced(x, axes, mean);
/** Mean of the squared distance from the mean. */
const varianceOf = (x: Value64, axes: readonly number[]): Value64 => meanOf(mapped(subtract(x, meanOf(x, axes)), (d) => d * d), axes);
const inverseRoot = (x: Value64, epsilon: number): Value64 => mapped(x, (variance) => 1 / Math.sqrt(variance + epsilon));
const axesFrom = (axis: number, rank: number): number[] => Array.from({ length: rank - axis }, (_, i) => axis + i);

/** (x − mean) / √(variance + ε) over these axes, with the two statistics. */
function standardized(x: Value64, axes: readonly number[], epsilon: number): readonly [y: Value64, mean: Value64, inverse: Value64] {
  const center = meanOf(x, axes);
  const inverse = inverseRoot(varianceOf(x, axes), epsilon);
  return [multiply(subtract(x, center), inverse), center, inverse];
}

/** Running statistics in inference; those of the batch, and the moved running ones, in training mode. */
const batchNormalization: Operator = (call) => {
  const [x, scale, bias, runningMean, runningVariance] = call.inputs;
  const epsilon = call.float('epsilon', 1e-5);
  const rank = x.shape.length;
  const channel = (value: Value64): Value64 => perChannel(value, rank);
  const normalized = (center: Value64, variance: Value64): Value64 =>
    add(multiply(multiply(subtract(x, channel(center)), inverseRoot(channel(variance), epsilon)), channel(scale)), channel(bias));
  if (!call.flag('training_mode')) return normalized(runningMean, runningVariance);
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
  const center = reshaped(meanOf(x, axes), runningMean.shape);
  const variance = reshaped(varianceOf(x, axes), runningVariance.shape);
  const momentum = call.float('momentum', 0.9);
  const moved = (running: Value64, current: Value64): Value64 => combined(running, current, (a, b) => a * momentum + b * (1 - momentum));
  return [normalized(center, variance), moved(runningMean, center), moved(runningVariance, variance)];
};

const layerNormalization: Operator = (call) => {
  const x = call.input(0);
  const axes = axesFrom(axisOf(call.int('axis', -1), x.shape.length), x.shape.length);
  const [y, center, inverse] = standardized(x, axes, call.float('epsilon', 1e-5));
  return [add(multiply(y, call.input(1)), call.optional(2)), center, inverse];
};

/** Groups of channels, each with all its space; scale and bias per channel. */
const groupNormalization: Operator = (call) => {
  const x = call.input(0);
  const grouped = reshaped(x, [x.shape[0], call.int('num_groups'), sizeOf(x.shape) / x.shape[0] / call.int('num_groups')]);
  const [y] = standardized(grouped, [2], call.float('epsilon', 1e-5));
  const channel = (value: Value64): Value64 => perChannel(value, x.shape.length);
  return add(multiply(reshaped(y, x.shape), channel(call.input(1))), channel(call.input(2)));
};

const instanceNormalization: Operator = (call) => {
  const [x, scale, bias] = call.inputs;
  const [y] = standardized(x, axesFrom(2, x.shape.length), call.float('epsilon', 1e-5));
  return add(multiply(y, perChannel(scale, x.shape.length)), perChannel(bias, x.shape.length));
};

/** x / √(mean x² + ε) over these axes, with the inverse root. */
function rmsNormalized(x: Value64, axes: readonly number[], epsilon: number): readonly [y: Value64, inverse: Value64] {
  const inverse = inverseRoot(meanOf(mapped(x, (element) => element * element), axes), epsilon);
  return [multiply(x, inverse), inverse];
}

const rmsNormalization: Operator = (call) => {
  const x = call.input(0);
  const axes = axesFrom(axisOf(call.int('axis', -1), x.shape.length), x.shape.length);
  const [y, inverse] = rmsNormalized(x, axes, call.float('epsilon', 1e-5));
  return [multiply(y, call.input(1)), inverse];
};

const skipped = (call: Call, bias: number): Value64 => add(combined(call.input(0), call.input(1), (a, b) => a + b), call.optional(bias));

/** Outputs: the norm, mean and inverse deviation (made only by name), and the sum that was normalized. */
const skipLayerNormalization: Operator = (call) => {
  const x = skipped(call, 4);
  const [y, center, inverse] = standardized(x, [x.shape.length - 1], call.float('epsilon', 1e-12));
  return [add(multiply(y, call.input(2)), call.optional(3)), center, inverse, x];
};

const skipSimplifiedLayerNormalization: Operator = (call) => {
  const x = skipped(call, 3);
  const [y, inverse] = rmsNormalized(x, [x.shape.length - 1], call.float('epsilon', 1e-12));
  return [multiply(y, call.input(2)), inverse, inverse, x];
};

const meanVarianceNormalization: Operator = (call) => {
  const x = call.input(0);
  return standardized(x, call.ints('axes') ?? [0, 2, 3], 1e-9)[0];
};

/** x / (bias + α / size · Σ x²)^β over neighbouring channels. */
const lrn: Operator = (call) => {
  const x = call.input(0);
  const size = call.int('size');
  const [alpha, beta, bias] = [call.float('alpha', 1e-4), call.float('beta', 0.75), call.float('bias', 1)];
  const [n, channels] = x.shape;
  const area = sizeOf(x.shape) / n / channels;
  return tabulate(x.type, x.shape, ([, c], flat) => {
    let squares = 0;
    for (let other = Math.max(0, c - Math.floor((size - 1) / 2)); other <= Math.min(channels - 1, c + Math.ceil((size - 1) / 2)); other++) {
      squares += x.data[flat + (other - c) * area] ** 2;
    }
    return x.data[flat] / (bias + (alpha / size) * squares) ** beta;
  });
};

export const normalizations: Operators = {
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  RMSNormalization: rmsNormalization,
  // ONNX Runtime registers it in the standard domain.
  SimplifiedLayerNormalization: rmsNormalization,
  'com.microsoft:SimplifiedLayerNormalization': rmsNormalization,
  'com.microsoft:SkipLayerNormalization': skipLayerNormalization,
  'com.microsoft:SkipSimplifiedLayerNormalization': skipSimplifiedLayerNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  LRN: lrn,
};
