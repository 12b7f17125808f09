/** Operators that turn the elements along some axes into one, or into as many in another order. */
import type { ElementType } from '../../tensor-ref.ts';
import { fit } from './types.ts';
import type { Call, Operator, Operators } from './call.ts';
import { axisOf, reshaped, sizeOf, stridesOf, valueOf, forEachIndex, type Value64 } from './value.ts';

export const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);
export const mean = (xs: readonly number[]): number => sum(xs) / xs.length;
export const largest = (xs: readonly number[]): number => xs.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (xs: readonly number[]): number => xs.reduce((a, b) => Math.min(a, b), Infinity);
const squares = (xs: readonly number[]): number => sum(xs.map((x) => x * x));
const absolutes = (xs: readonly number[]): number => sum(xs.map(Math.abs));
/** log Σ eˣ, relative to the largest so that nothing overflows. */
export function logSumExp(xs: readonly number[]): number {
  const top = largest(xs);
  return Number.isFinite(top) ? top + Math.log(sum(xs.map((x) => Math.exp(x - top)))) : top;
}

/** All elements that differ only along these axes, in order, as one; the axes stay with size 1. */
export function reduced(x: Value64, axes: readonly number[], reduce: (elements: readonly number[]) => number): Value64 {
  const gone = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
  const shape = x.shape.map((dim, axis) => (gone.has(axis) ? 1 : dim));
  const strides = stridesOf(shape).map((stride, axis) => (gone.has(axis) ? 0 : stride));
  const groups = Array.from({ length: sizeOf(shape) }, (): number[] => []);
  forEachIndex(x.shape, (index, flat) => groups[index.reduce((at, i, axis) => at + i * strides[axis], 0)].push(x.data[flat]));
  return valueOf(x.type, shape, groups.map((group) => fit(x.type, reduce(group))));
}

/** A value without these axes, all of size 1. */
export const withoutAxes = (x: Value64, axes: readonly number[]): Value64 => {
  const gone = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
  return reshaped(x, x.shape.filter((_, axis) => !gone.has(axis)));
};

const reduction = (reduce: (elements: readonly number[]) => number): Operator => (call) => {
  const x = call.input(0);
  let axes = call.list(1) ?? [];
  // With no axes given and `noop_with_empty_axes`, each element is a group of its own.
  if (axes.length === 0 && !call.flag('noop_with_empty_axes')) axes = x.shape.map((_, axis) => axis);
  const result = reduced(x, axes, reduce);
  return call.flag('keepdims', true) ? result : withoutAxes(result, axes);
};

/** Every line of elements along an axis through a function; all results have one length. */
export function alongAxis(x: Value64, axis: number, change: (line: readonly number[]) => ArrayLike<number>, length = x.shape[axis], type: ElementType = x.type): Value64 {
  const shape = x.shape.with(axis, length);
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const data = new Float64Array(sizeOf(shape));
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const line = Array.from({ length: x.shape[axis] }, (_, k) => x.data[(o * x.shape[axis] + k) * inner + i]);
      const result = change(line);
      for (let k = 0; k < length; k++) data[(o * length + k) * inner + i] = result[k];
    }
  }
  return { type, shape, data };
}

const axisAttribute = (call: Call, fallback: number): number => axisOf(call.int('axis', fallback), call.input(0).shape.length);

/** e^x / Σ e^x of a line. */
export function softmax(line: readonly number[]): number[] {
  const total = logSumExp(line);
  return line.map((x) => Math.exp(x - total));
}

const logSoftmax: Operator = (call) => alongAxis(call.input(0), axisAttribute(call, -1), (line) => {
  const total = logSumExp(line);
  return line.map((x) => x - total);
});

const hardmax: Operator = (call) => alongAxis(call.input(0), axisAttribute(call, -1), (line) => {
  const best = line.indexOf(largest(line));
  return line.map((_, i) => (i === best ? 1 : 0));
});

const lpNormalization: Operator = (call) => {
  const p = call.int('p', 2);
  return alongAxis(call.input(0), axisAttribute(call, -1), (line) => {
    const norm = p === 1 ? absolutes(line) : Math.sqrt(squares(line));
    return line.map((x) => (norm === 0 ? 0 : x / norm));
  });
};

const argument = (best: (elements: readonly number[]) => number): Operator => (call) => {
  const axis = axisAttribute(call, 0);
  const last = call.flag('select_last_index');
  const found = alongAxis(call.input(0), axis, (line) => [last ? line.lastIndexOf(best(line)) : line.indexOf(best(line))], 1, 'i64');
  return call.flag('keepdims', true) ? found : withoutAxes(found, [axis]);
};

const cumulativeSum: Operator = (call) => {
  const x = call.input(0);
  const [exclusive, reverse] = [call.flag('exclusive'), call.flag('reverse')];
  return alongAxis(x, axisOf(call.input(1).data[0], x.shape.length), (line) => {
    let total = 0;
    const totals = (reverse ? line.toReversed() : line).map((element) => {
      const before = total;
      total = fit(x.type, total + element);
      return exclusive ? before : total;
    });
    return reverse ? totals.reverse() : totals;
  });
};

/** Equal elements keep their order. */
const topK: Operator = (call) => {
  const x = call.input(0);
  const axis = axisAttribute(call, -1);
  const k = call.input(1).data[0];
  if (k > x.shape[axis]) throw call.wrong(`top ${k} of ${x.shape[axis]} elements`);
  const sign = call.flag('largest', true) ? -1 : 1;
  const order = (line: readonly number[]): number[] => line.map((_, i) => i).sort((a, b) => sign * (line[a] - line[b]) || a - b).slice(0, k);
  return [
    alongAxis(x, axis, (line) => order(line).map((i) => line[i]), k),
    alongAxis(x, axis, order, k, 'i64'),
  ];
};

export const reductions: Operators = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction(mean),
  ReduceMax: reduction(largest),
  ReduceMin: reduction(smallest),
  ReduceProd: reduction((xs) => xs.reduce((a, b) => a * b, 1)),
  ReduceL1: reduction(absolutes),
  ReduceL2: reduction((xs) => Math.sqrt(squares(xs))),
  ReduceSumSquare: reduction(squares),
  ReduceLogSum: reduction((xs) => Math.log(sum(xs))),
  ReduceLogSumExp: reduction(logSumExp),
  ArgMax: argument(largest),
  ArgMin: argument(smallest),
  CumSum: cumulativeSum,
  TopK: topK,
  Softmax: (call) => alongAxis(call.input(0), axisAttribute(call, -1), softmax),
  LogSoftmax: logSoftmax,
  Hardmax: hardmax,
  LpNormalization: lpNormalization,
};
