/** Operators that turn each window over the spatial axes, or each whole channel, into one number. */
import type { Call, Operator, Operators } from './call.ts';
import { largest, mean, reduced, sum } from './reductions.ts';
import { forEachIndex, sizeOf, tabulate, valueOf, type Value64 } from './value.ts';
import { elementOf, offsetsIn, windowsOf } from './windows.ts';

const kernelOf = (call: Call): readonly number[] => {
  const kernel = call.ints('kernel_shape');
  if (kernel === undefined) throw call.wrong('kernel_shape is missing');
  return kernel;
};

/** The first of the largest elements of each window, and its place in the flattened input. */
const maxPool: Operator = (call) => {
  const x = call.input(0);
  const [n, channels, ...spatial] = x.shape;
  const windows = windowsOf(call, spatial, kernelOf(call));
  const offsets = offsetsIn(windows.kernel);
  const area = sizeOf(spatial);
  const shape = [n, channels, ...windows.out];
  const best = tabulate('i64', shape, (index) => {
    const first = (index[0] * channels + index[1]) * area;
    let found = -1;
    for (const offset of offsets) {
      const at = elementOf(windows, index, 2, offset, spatial);
      if (at >= 0 && (found < 0 || x.data[first + at] > x.data[found])) found = first + at;
    }
    return found;
  });
  const y = valueOf(x.type, shape, best.data.map((at) => x.data[at]));
  return [y, call.flag('storage_order') ? columnMajor(best, spatial) : best];
};

/** Flat places with the spatial axes counted from the first on instead of from the last. */
function columnMajor(places: Value64, spatial: readonly number[]): Value64 {
  const area = sizeOf(spatial);
  return { ...places, data: places.data.map((at) => {
    let [rest, place, stride] = [at % area, 0, area];
    for (const dim of spatial.toReversed()) {
      stride /= dim;
      place += (rest % dim) * stride;
      rest = Math.floor(rest / dim);
    }
    return Math.floor(at / area) * area + place;
  }) };
}

/** A function of the elements of each window, and of how many places it has: those in the input, or in the padding too. */
function pooled(call: Call, pool: (elements: readonly number[], places: number) => number): Value64 {
  const x = call.input(0);
  const [n, channels, ...spatial] = x.shape;
  const windows = windowsOf(call, spatial, kernelOf(call));
  const offsets = offsetsIn(windows.kernel);
  const area = sizeOf(spatial);
  const padding = call.flag('count_include_pad');
  // Windows beyond the padding (ceil_mode) count only what is in it.
  const inside = (index: readonly number[], offset: readonly number[]): boolean => offset.every((k, axis) =>
    index[2 + axis] * windows.strides[axis] + k * windows.dilations[axis] < windows.begin[axis] + spatial[axis] + windows.end[axis]);
  return tabulate(x.type, [n, channels, ...windows.out], (index) => {
    const first = (index[0] * channels + index[1]) * area;
    const places = offsets.map((offset) => elementOf(windows, index, 2, offset, spatial)).filter((at) => at >= 0);
    return pool(places.map((at) => x.data[first + at]), padding ? offsets.filter((offset) => inside(index, offset)).length : places.length);
  });
}

const norm = (p: number) => (elements: readonly number[]): number => sum(elements.map((x) => Math.abs(x) ** p)) ** (1 / p);

const overSpace = (reduce: (call: Call) => (elements: readonly number[]) => number): Operator => (call) => {
  const x = call.input(0);
  return reduced(x, x.shape.map((_, axis) => axis).slice(2), reduce(call));
};

/** Each element at the place in the flattened output that MaxPool found it at, zeros elsewhere. */
const maxUnpool: Operator = (call) => {
  const [x, places] = call.inputs;
  const strides = call.ints('strides') ?? kernelOf(call).map(() => 1);
  const pads = call.ints('pads') ?? [];
  const rank = strides.length;
  const grown = x.shape.slice(2).map((dim, axis) => (dim - 1) * strides[axis] - (pads[axis] ?? 0) - (pads[rank + axis] ?? 0) + kernelOf(call)[axis]);
  // Places count in the shape that the pool would have had; a larger one given is read by index.
  const from = [...x.shape.slice(0, 2), ...grown];
  const shape = call.list(2) ?? from;
  const data = new Float64Array(sizeOf(shape));
  const scattered = new Map([...places.data].map((at, i) => [at, x.data[i]]));
  forEachIndex(from, (index, flat) => {
    const element = scattered.get(flat);
    if (element !== undefined) data[index.reduce((at, i, axis) => at * shape[axis] + i, 0)] = element;
  });
  return valueOf(x.type, shape, data);
};

export const pools: Operators = {
  MaxPool: maxPool,
  MaxUnpool: maxUnpool,
  AveragePool: (call) => pooled(call, (elements, places) => sum(elements) / places),
  LpPool: (call) => pooled(call, norm(call.int('p', 2))),
  GlobalAveragePool: overSpace(() => mean),
  GlobalMaxPool: overSpace(() => largest),
  GlobalLpPool: overSpace((call) => norm(call.int('p', 2))),
};
