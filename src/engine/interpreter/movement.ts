/** Operators that change shapes and move elements without computing with them. */
import type { Call, Operator, Operators } from './call.ts';
import { axisOf, broadcastShape, expanded, reader, reshaped, sizeOf, tabulate, valueOf, type Value64 } from './value.ts';

const axesOf = (call: Call, input: number, rank: number): number[] | undefined => call.list(input)?.map((axis) => axisOf(axis, rank));

/** The target shape of Reshape: 0 takes the dimension over unless `allowZero`, −1 is what remains. */
const reshape: Operator = (call) => {
  const x = call.input(0);
  const allowZero = call.flag('allowzero');
  const shape = [...call.input(1).data].map((dim, axis) => (dim === 0 && !allowZero ? x.shape[axis] : dim));
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = sizeOf(x.shape) / sizeOf(shape.filter((_, axis) => axis !== open));
  return reshaped(x, shape);
};

/** The axes in another order: axis i of the result is axis `order[i]` of x. */
export function transposed(x: Value64, order: readonly number[]): Value64 {
  const read = reader(x);
  const from = Array.from({ length: order.length }, () => 0);
  return tabulate(x.type, order.map((axis) => x.shape[axis]), (index) => {
    for (const [i, axis] of order.entries()) from[axis] = index[i];
    return read(from);
  });
}

const transpose: Operator = (call) => {
  const x = call.input(0);
  return transposed(x, call.ints('perm') ?? x.shape.map((_, axis) => axis).reverse());
};

/** Values one after the other along an axis. */
export function concatenated(values: readonly Value64[], axis: number): Value64 {
  const outer = sizeOf(values[0].shape.slice(0, axis));
  const rows = values.map((value) => sizeOf(value.shape.slice(axis)));
  const data: number[] = [];
  for (let o = 0; o < outer; o++) for (const [i, value] of values.entries()) for (let k = 0; k < rows[i]; k++) data.push(value.data[o * rows[i] + k]);
  return valueOf(values[0].type, values[0].shape.with(axis, values.reduce((total, value) => total + value.shape[axis], 0)), data);
}

/** `count` elements of an axis from `start` on, `step` apart. */
export function sliced(x: Value64, axis: number, start: number, count: number, step = 1): Value64 {
  const read = reader(x);
  return tabulate(x.type, x.shape.with(axis, count), (index) => read(index.with(axis, start + index[axis] * step)));
}

const split: Operator = (call) => {
  const x = call.input(0);
  const axis = axisOf(call.int('axis', 0), x.shape.length);
  const parts = call.int('num_outputs', call.node.outputs.length);
  const chunk = Math.ceil(x.shape[axis] / parts);
  const sizes = call.list(1) ?? Array.from({ length: parts }, (_, i) => Math.min(chunk, x.shape[axis] - i * chunk));
  let start = 0;
  return sizes.map((size) => sliced(x, axis, (start += size) - size, size));
};

/** Ends beyond the axis are cut to it; negative ones count from its end. */
const slice: Operator = (call) => {
  let x = call.input(0);
  const [starts, ends] = [call.input(1).data, call.input(2).data];
  const axes = axesOf(call, 3, x.shape.length) ?? [...starts.keys()];
  const steps = call.list(4) ?? axes.map(() => 1);
  for (const [i, axis] of axes.entries()) {
    const [dim, step] = [x.shape[axis], steps[i]];
    const place = (at: number): number => Math.min(step > 0 ? dim : dim - 1, Math.max(step > 0 ? 0 : -1, at < 0 ? at + dim : at));
    const start = Math.max(0, place(starts[i]));
    x = sliced(x, axis, start, Math.max(0, Math.ceil((place(ends[i]) - start) / step)), step);
  }
  return x;
};

const squeeze: Operator = (call) => {
  const x = call.input(0);
  const axes = axesOf(call, 1, x.shape.length) ?? x.shape.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
  return reshaped(x, x.shape.filter((_, axis) => !axes.includes(axis)));
};

const unsqueeze: Operator = (call) => {
  const x = call.input(0);
  const shape = [...x.shape];
  const axes = call.input(1).data;
  for (const axis of [...axes].map((axis) => axisOf(axis, x.shape.length + axes.length)).sort((a, b) => a - b)) shape.splice(axis, 0, 1);
  return reshaped(x, shape);
};

const flatten: Operator = (call) => {
  const x = call.input(0);
  const axis = call.int('axis', 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  return reshaped(x, [sizeOf(x.shape.slice(0, at)), sizeOf(x.shape.slice(at))]);
};

const expand: Operator = (call) => expanded(call.input(0), broadcastShape([call.input(0).shape, call.list(1)!]));

const tile: Operator = (call) => {
  const x = call.input(0);
  const repeats = call.input(1).data;
  const read = reader(x);
  return tabulate(x.type, x.shape.map((dim, axis) => dim * repeats[axis]), (index) => read(index.map((i, axis) => i % x.shape[axis])));
};

/** Where an index beyond an axis of `dim` elements is read instead; undefined is the constant. */
const padModes: Readonly<Record<string, (i: number, dim: number) => number | undefined>> = {
  constant: (i, dim) => (i >= 0 && i < dim ? i : undefined),
  edge: (i, dim) => Math.min(dim - 1, Math.max(0, i)),
  wrap: (i, dim) => ((i % dim) + dim) % dim,
  reflect: (i, dim) => {
    if (dim === 1) return 0;
    const period = 2 * (dim - 1);
    const at = ((i % period) + period) % period;
    return at < dim ? at : period - at;
  },
};

const pad: Operator = (call) => {
  const x = call.input(0);
  const rank = x.shape.length;
  const pads = call.input(1).data;
  const axes = axesOf(call, 3, rank) ?? x.shape.map((_, axis) => axis);
  const place = call.choice('padding mode', call.text('mode', 'constant'), padModes);
  const fill = call.optional(2)?.data[0] ?? 0;
  const before = Array.from({ length: rank }, () => 0);
  const shape = [...x.shape];
  for (const [i, axis] of axes.entries()) {
    before[axis] = pads[i];
    shape[axis] += pads[i] + pads[axes.length + i];
  }
  const read = reader(x);
  return tabulate(x.type, shape, (index) => {
    const from = index.map((i, axis) => place(i - before[axis], x.shape[axis]));
    return from.every((i) => i !== undefined) ? read(from) : fill;
  });
};

const depthToSpace: Operator = (call) => {
  const x = call.input(0);
  const [n, c, h, w] = x.shape;
  const b = call.int('blocksize');
  const d = c / (b * b);
  const modes = {
    DCR: () => transposed(reshaped(x, [n, b, b, d, h, w]), [0, 3, 4, 1, 5, 2]),
    CRD: () => transposed(reshaped(x, [n, d, b, b, h, w]), [0, 1, 4, 2, 5, 3]),
  };
  return reshaped(call.choice('mode', call.text('mode', 'DCR'), modes)(), [n, d, h * b, w * b]);
};

const spaceToDepth: Operator = (call) => {
  const x = call.input(0);
  const [n, c, h, w] = x.shape;
  const b = call.int('blocksize');
  return reshaped(transposed(reshaped(x, [n, c, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4]), [n, c * b * b, h / b, w / b]);
};

/** The upper triangle from diagonal k on, or the lower one up to it. */
const trilu: Operator = (call) => {
  const x = call.input(0);
  const k = call.optional(1)?.data[0] ?? 0;
  const upper = call.flag('upper', true);
  const [row, column] = [x.shape.length - 2, x.shape.length - 1];
  return tabulate(x.type, x.shape, (index, flat) => {
    const diagonal = index[column] - index[row];
    return (upper ? diagonal >= k : diagonal <= k) ? x.data[flat] : 0;
  });
};

/** The first `lengths[batch]` elements of each sequence backwards. */
const reverseSequence: Operator = (call) => {
  const x = call.input(0);
  const lengths = call.input(1).data;
  const [batch, time] = [call.int('batch_axis', 1), call.int('time_axis', 0)];
  const read = reader(x);
  return tabulate(x.type, x.shape, (index) => {
    const length = lengths[index[batch]];
    return read(index[time] < length ? index.with(time, length - 1 - index[time]) : index);
  });
};

export const movement: Operators = {
  Reshape: reshape,
  Transpose: transpose,
  Concat: (call) => concatenated(call.inputs, axisOf(call.int('axis'), call.input(0).shape.length)),
  Split: split,
  Slice: slice,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Flatten: flatten,
  Expand: expand,
  Tile: tile,
  Pad: pad,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Trilu: trilu,
  ReverseSequence: reverseSequence,
};
