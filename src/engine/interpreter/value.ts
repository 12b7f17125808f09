/** Values of the interpreter, and the index arithmetic that every operator is written in. */
import { defineErrors } from '../../errors.ts';
import type { ElementType } from '../../tensor-ref.ts';

/** A dense tensor, row-major, whose elements are doubles whatever its type: floats are not rounded to it, integers are exact up to 2^53. */
export interface Value64 {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

const list = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

const errors = defineErrors('interpreter', {
  broadcast: (f: { shapes: readonly (readonly number[])[] }) => `shapes ${f.shapes.map(list).join(' and ')} do not broadcast`,
  count: (f: { shape: readonly number[]; found: number }) => `shape ${list(f.shape)} does not hold ${f.found} values`,
  axis: (f: { axis: number; rank: number }) => `axis ${f.axis} of a tensor of rank ${f.rank}`,
});

/** Number of elements of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** A value from its elements. */
export function valueOf(type: ElementType, shape: readonly number[], elements: ArrayLike<number>): Value64 {
  if (elements.length !== sizeOf(shape)) throw errors.count({ shape, found: elements.length });
  return { type, shape, data: elements instanceof Float64Array ? elements : Float64Array.from(elements) };
}

/** A value without dimensions. */
export const scalarOf = (type: ElementType, x: number): Value64 => valueOf(type, [], [x]);
/** The same elements in another shape. */
export const reshaped = (x: Value64, shape: readonly number[]): Value64 => valueOf(x.type, shape, x.data);
/** The same elements under another type, unchanged. */
export const retyped = (x: Value64, type: ElementType): Value64 => ({ ...x, type });

/** How far apart in memory neighbours along each axis are. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** Position in memory of an index. */
export function dot(index: readonly number[], strides: readonly number[]): number {
  let at = 0;
  for (let axis = 0; axis < strides.length; axis++) at += index[axis] * strides[axis];
  return at;
}

/** Visits every index of a shape in row-major order. The index array is one and the same, changed between visits. */
export function forEachIndex(shape: readonly number[], visit: (index: readonly number[], flat: number) => void): void {
  const index = Array.from({ length: shape.length }, () => 0);
  const size = sizeOf(shape);
  for (let flat = 0; flat < size; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

/** The value whose element at each index is what the function says. */
export function tabulate(type: ElementType, shape: readonly number[], element: (index: readonly number[], flat: number) => number): Value64 {
  const data = new Float64Array(sizeOf(shape));
  forEachIndex(shape, (index, flat) => { data[flat] = element(index, flat); });
  return { type, shape, data };
}

/** Reads a value by index. */
export function reader(x: Value64): (index: readonly number[]) => number {
  const strides = stridesOf(x.shape);
  return (index) => x.data[dot(index, strides)];
}

/** The shape that these broadcast to, by the rules of numpy. */
export function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let dim = 1;
    for (const shape of shapes) {
      const own = shape[axis - rank + shape.length] ?? 1;
      if (own === 1) continue;
      if (dim !== 1 && dim !== own) throw errors.broadcast({ shapes });
      dim = own;
    }
    return dim;
  });
}

/** Strides by which a shape is read under an index of a shape it broadcasts to. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const own = stridesOf(from);
  const skipped = to.length - from.length;
  return to.map((dim, axis) => {
    if (axis < skipped) return 0;
    const size = from[axis - skipped];
    if (size !== dim && size !== 1) throw errors.broadcast({ shapes: [from, to] });
    return size === 1 ? 0 : own[axis - skipped];
  });
}

/** A value repeated to a shape it broadcasts to. */
export function expanded(x: Value64, shape: readonly number[]): Value64 {
  const strides = broadcastStrides(x.shape, shape);
  return tabulate(x.type, shape, (index) => x.data[dot(index, strides)]);
}

/** An axis counted from the front; negative ones count from the back. */
export function axisOf(axis: number, rank: number): number {
  if (!(axis >= -rank && axis < rank)) throw errors.axis({ axis, rank });
  return axis < 0 ? axis + rank : axis;
}

/** A vector of one channel each, shaped to broadcast over [batch, channels, …] of this rank. */
export const perChannel = (x: Value64, rank: number): Value64 => reshaped(x, [x.data.length, ...Array.from({ length: Math.max(0, rank - 2) }, () => 1)]);
