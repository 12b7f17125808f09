/** Operators that read and write elements at places given by other values. */
import type { Call, Operator, Operators } from './call.ts';
import { fit } from './types.ts';
import { axisOf, dot, forEachIndex, reader, reshaped, sizeOf, stridesOf, tabulate, valueOf, type Value64 } from './value.ts';

/** A place on an axis of `dim` elements; negative ones count from its end. */
export function place(call: Call, at: number, dim: number): number {
  if (!(at >= -dim && at < dim)) throw call.wrong(`index ${at} of an axis of ${dim}`);
  return at < 0 ? at + dim : at;
}

const gather: Operator = (call) => {
  const [x, indices] = call.inputs;
  const axis = axisOf(call.int('axis', 0), x.shape.length);
  const read = reader(x);
  const at = reader(indices);
  const rank = indices.shape.length;
  return tabulate(x.type, x.shape.toSpliced(axis, 1, ...indices.shape), (index) =>
    read(index.toSpliced(axis, rank, place(call, at(index.slice(axis, axis + rank)), x.shape[axis]))));
};

const gatherElements: Operator = (call) => {
  const [x, indices] = call.inputs;
  const axis = axisOf(call.int('axis', 0), x.shape.length);
  const read = reader(x);
  return tabulate(x.type, indices.shape, (index, flat) => read(index.with(axis, place(call, indices.data[flat], x.shape[axis]))));
};

/** Rows of indices point at elements or at slices, below the batch dimensions. */
const gatherND: Operator = (call) => {
  const [x, indices] = call.inputs;
  const batch = call.int('batch_dims', 0);
  const depth = indices.shape.at(-1)!;
  const rows = indices.shape.slice(0, -1);
  const read = reader(x);
  const at = reader(indices);
  return tabulate(x.type, [...rows, ...x.shape.slice(batch + depth)], (index) => {
    const row = index.slice(0, rows.length);
    const point = Array.from({ length: depth }, (_, i) => place(call, at([...row, i]), x.shape[batch + i]));
    return read([...index.slice(0, batch), ...point, ...index.slice(rows.length)]);
  });
};

/** How a written element joins the one that is there. */
const joins: Readonly<Record<string, (old: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: (old, update) => Math.max(old, update),
  min: (old, update) => Math.min(old, update),
};

const join = (call: Call) => call.choice('reduction', call.text('reduction', 'none'), joins);

const scatterElements: Operator = (call) => {
  const [x, indices, updates] = call.inputs;
  const axis = axisOf(call.int('axis', 0), x.shape.length);
  const [data, strides, combine] = [x.data.slice(), stridesOf(x.shape), join(call)];
  forEachIndex(indices.shape, (index, flat) => {
    const to = dot(index.with(axis, place(call, indices.data[flat], x.shape[axis])), strides);
    data[to] = fit(x.type, combine(data[to], updates.data[flat]));
  });
  return valueOf(x.type, x.shape, data);
};

const scatterND: Operator = (call) => {
  const [x, indices, updates] = call.inputs;
  const depth = indices.shape.at(-1)!;
  const length = sizeOf(x.shape.slice(depth));
  const [data, strides, combine] = [x.data.slice(), stridesOf(x.shape), join(call)];
  for (let row = 0; row < sizeOf(indices.shape.slice(0, -1)); row++) {
    let to = 0;
    for (let i = 0; i < depth; i++) to += place(call, indices.data[row * depth + i], x.shape[i]) * strides[i];
    for (let k = 0; k < length; k++) data[to + k] = fit(x.type, combine(data[to + k], updates.data[row * length + k]));
  }
  return valueOf(x.type, x.shape, data);
};

/** Indices of the elements that are not zero, one column each: [rank, count]. */
const nonZero: Operator = (call) => {
  const x = call.input(0);
  const found: number[][] = [];
  forEachIndex(x.shape, (index, flat) => { if (x.data[flat] !== 0) found.push([...index]); });
  return tabulate('i64', [x.shape.length, found.length], ([axis, i]) => found[i][axis]);
};

/** The slices of an axis whose condition is true; of the flattened value without an axis. */
const compress: Operator = (call) => {
  const flat = call.node.attributes.axis === undefined;
  const x = flat ? reshaped(call.input(0), [call.input(0).data.length]) : call.input(0);
  const axis = flat ? 0 : axisOf(call.int('axis'), x.shape.length);
  const kept = [...call.input(1).data.keys()].filter((i) => call.input(1).data[i] !== 0);
  const read = reader(x);
  return tabulate(x.type, x.shape.with(axis, kept.length), (index) => read(index.with(axis, kept[index[axis]])));
};

/** One element along an axis, the axis gone. */
export function selected(x: Value64, axis: number, at: number): Value64 {
  const read = reader(x);
  return tabulate(x.type, x.shape.toSpliced(axis, 1), (index) => read(index.toSpliced(axis, 0, at)));
}

export const gathering: Operators = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  NonZero: nonZero,
  Compress: compress,
};
