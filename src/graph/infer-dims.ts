/** Arithmetic on shapes with symbolic and unknown dimensions. */
import type { Dim } from './graph.ts';
import type { Site } from './infer.ts';

type Shape = readonly Dim[] | undefined;

/** Product of dimensions; a single symbolic one among ones keeps its name. */
export function product(dims: readonly Dim[]): Dim {
  const others = dims.filter((dim) => dim !== 1);
  if (others.length === 1) return others[0];
  return others.every((dim) => typeof dim === 'number') ? others.reduce<number>((total, dim) => total * (dim as number), 1) : undefined;
}

function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === b) return a;
  if (a === 1) return b;
  if (b === 1) return a;
  if (typeof a === 'number') return a;
  return typeof b === 'number' ? b : undefined;
}

/** Shape of an element-wise result, aligned at the last axis. */
export function broadcast(shapes: readonly Shape[]): Shape {
  if (shapes.some((shape) => shape === undefined)) return undefined;
  const rank = Math.max(0, ...shapes.map((shape) => shape!.length));
  return Array.from({ length: rank }, (_, i) => shapes.reduce<Dim>((dim, shape) => {
    const at = i - (rank - shape!.length);
    return at < 0 ? dim : broadcastDim(dim, shape![at]);
  }, 1));
}

/** Shape of a matrix product with NumPy's rules for vectors and batches. */
export function matmul(a: Shape, b: Shape): Shape {
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return undefined;
  const left = a.length === 1 ? [1, a[0]] : a;
  const right = b.length === 1 ? [b[0], 1] : b;
  const batch = broadcast([left.slice(0, -2), right.slice(0, -2)]);
  if (batch === undefined) return undefined;
  return [...batch, ...(a.length === 1 ? [] : [left.at(-2)]), ...(b.length === 1 ? [] : [right.at(-1)])];
}

/** Extent of an axis after a window slides over it. */
function windowed(site: Site, dim: Dim, axis: number, spatial: number, kernel: number, ceil: boolean): Dim {
  const stride = site.ints('strides')?.[axis] ?? 1;
  const dilation = site.ints('dilations')?.[axis] ?? 1;
  const pads = site.ints('pads');
  const auto = site.text('auto_pad') ?? 'NOTSET';
  const extent = (kernel - 1) * dilation + 1;
  if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') return typeof dim === 'number' ? Math.ceil(dim / stride) : stride === 1 ? dim : undefined;
  const padding = auto === 'VALID' || pads === undefined ? 0 : pads[axis] + pads[axis + spatial];
  if (typeof dim !== 'number') return stride === 1 && padding === extent - 1 ? dim : undefined;
  const steps = (dim + padding - extent) / stride;
  if (!ceil) return Math.floor(steps) + 1;
  // A window that would begin in the padding after the end is dropped.
  const count = Math.ceil(steps) + 1;
  const before = auto === 'VALID' || pads === undefined ? 0 : pads[axis];
  return (count - 1) * stride >= dim + before ? count - 1 : count;
}

/** Shape of a convolution of `x` [N, C, …] with `w` [M, C/groups, kernel…]. */
export function convolved(site: Site, x: Shape, w: Shape): Shape {
  if (x === undefined || x.length < 3) return undefined;
  const spatial = x.length - 2;
  const kernel = site.ints('kernel_shape') ?? w?.slice(2);
  return [x[0], w?.[0], ...x.slice(2).map((dim, i) => {
    const size = kernel?.[i];
    return typeof size === 'number' ? windowed(site, dim, i, spatial, size, false) : undefined;
  })];
}

export function pooled(site: Site, x: Shape): Shape {
  const kernel = site.ints('kernel_shape');
  if (x === undefined || x.length < 3 || kernel === undefined) return undefined;
  const ceil = site.int('ceil_mode', 0) === 1;
  return [x[0], x[1], ...x.slice(2).map((dim, i) => windowed(site, dim, i, x.length - 2, kernel[i], ceil))];
}

/** Shape of a transposed convolution of `x` [N, C, …] with `w` [C, M/groups, kernel…]. */
export function transposedConv(site: Site, x: Shape, w: Shape): Shape {
  if (x === undefined || w === undefined || x.length < 3) return undefined;
  const spatial = x.length - 2;
  const out = typeof w[1] === 'number' ? w[1] * site.int('group', 1) : undefined;
  const given = site.ints('output_shape');
  return [x[0], out, ...x.slice(2).map((dim, i) => {
    if (given !== undefined) return given[given.length - spatial + i];
    const size = site.ints('kernel_shape')?.[i] ?? w[i + 2];
    const stride = site.ints('strides')?.[i] ?? 1;
    if (typeof dim !== 'number' || typeof size !== 'number') return undefined;
    if ((site.text('auto_pad') ?? '').startsWith('SAME')) return dim * stride;
    const pads = site.ints('pads');
    const padding = pads === undefined ? 0 : pads[i] + pads[i + spatial];
    const dilation = site.ints('dilations')?.[i] ?? 1;
    return stride * (dim - 1) + (site.ints('output_padding')?.[i] ?? 0) + (size - 1) * dilation + 1 - padding;
  })];
}

/** Shape after reducing `axes`; all axes when the list is empty. */
export function reduced(shape: Shape, axes: readonly number[], keep: boolean): Shape {
  if (shape === undefined) return axes.length === 0 && !keep ? [] : undefined;
  const gone = new Set(axes.length === 0 ? shape.map((_, i) => i) : axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
  return keep ? shape.map((dim, i) => (gone.has(i) ? 1 : dim)) : shape.filter((_, i) => !gone.has(i));
}

/** Shape after Reshape; a single −1 is solved for, symbolic dimensions that stand on both sides cancel. */
export function reshaped(from: Shape, target: Shape, targetShape: Shape, allowZero: boolean): Shape {
  if (target === undefined) {
    const rank = targetShape?.length === 1 ? targetShape[0] : undefined;
    return typeof rank === 'number' && rank <= 64 ? Array<Dim>(rank).fill(undefined) : undefined;
  }
  const shape: Dim[] = target.map((dim, i) => (dim === 0 && !allowZero ? from?.[i] : dim));
  const open = target.indexOf(-1);
  if (open < 0) return shape;
  shape[open] = undefined;
  if (from === undefined) return shape;
  const left = from.filter((dim) => dim !== 1);
  let quotient = 1;
  for (const [i, dim] of shape.entries()) {
    if (i === open || dim === 1) continue;
    if (typeof dim === 'number') { quotient *= dim; continue; }
    const match = dim === undefined ? -1 : left.indexOf(dim);
    if (match < 0) return shape;
    left.splice(match, 1);
  }
  const symbols = left.filter((dim) => typeof dim !== 'number');
  const count = left.reduce<number>((total, dim) => (typeof dim === 'number' ? total * dim : total), 1);
  if (symbols.length === 0) shape[open] = quotient === 0 ? undefined : count / quotient;
  else if (symbols.length === 1 && count === quotient) shape[open] = symbols[0];
  return shape;
}

export function concatenated(shapes: readonly Shape[], axis: number): Shape {
  const known = shapes.find((shape) => shape !== undefined);
  if (known === undefined) return undefined;
  const at = axis < 0 ? axis + known.length : axis;
  return known.map((_, i) => {
    const dims = shapes.map((shape) => shape?.[i]);
    if (i !== at) return dims.find((dim) => typeof dim === 'number') ?? dims.find((dim) => dim !== undefined);
    return dims.every((dim) => typeof dim === 'number') ? dims.reduce<number>((total, dim) => total + (dim as number), 0) : undefined;
  });
}

/** An axis that does not exist must not be written to: the shape would become as long as it says. */
const within = (axis: number, shape: readonly Dim[]): boolean => Number.isInteger(axis) && axis >= 0 && axis < shape.length;

/** Shape after Slice; unknown limits make the sliced axes unknown. */
export function sliced(
  shape: Shape, starts: readonly number[] | undefined, ends: readonly number[] | undefined,
  axes: readonly number[] | 'all' | undefined, steps: readonly number[] | 'ones' | undefined,
): Shape {
  if (shape === undefined || axes === undefined) return shape?.map(() => undefined);
  const result = [...shape];
  const count = starts?.length ?? ends?.length ?? (axes === 'all' ? shape.length : axes.length);
  for (let i = 0; i < count; i++) {
    const axis = axes === 'all' ? i : axes[i] < 0 ? axes[i] + shape.length : axes[i];
    if (!within(axis, shape)) return undefined;
    const [start, end, step] = [starts?.[i], ends?.[i], steps === 'ones' ? 1 : steps?.[i]];
    const dim = shape[axis];
    if (start === 0 && step === 1 && end !== undefined && end >= 2 ** 31 - 1) continue;
    if (typeof dim !== 'number' || start === undefined || end === undefined || step === undefined || step === 0) {
      result[axis] = undefined;
      continue;
    }
    const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value < 0 ? value + dim : value, low), high);
    const [from, to] = step > 0 ? [clamp(start, 0, dim), clamp(end, 0, dim)] : [clamp(start, 0, dim - 1), clamp(end, -1, dim - 1)];
    result[axis] = Math.max(0, Math.ceil((to - from) / step));
  }
  return result;
}

export function padded(shape: Shape, pads: readonly number[] | undefined, axes: readonly number[] | 'unknown' | undefined): Shape {
  if (shape === undefined) return undefined;
  if (pads === undefined || axes === 'unknown') return shape.map(() => undefined);
  const result = [...shape];
  const count = pads.length / 2;
  for (let i = 0; i < count; i++) {
    const axis = axes === undefined ? i : axes[i] < 0 ? axes[i] + shape.length : axes[i];
    if (!within(axis, shape)) return undefined;
    const extra = pads[i] + pads[i + count];
    const dim = shape[axis];
    if (extra !== 0) result[axis] = typeof dim === 'number' ? dim + extra : undefined;
  }
  return result;
}

export function resized(shape: Shape, scales: readonly number[] | undefined, sizes: Shape, axes: readonly number[] | undefined): Shape {
  if (shape === undefined) return sizes;
  const places = axes?.map((axis) => (axis < 0 ? axis + shape.length : axis)) ?? shape.map((_, i) => i);
  const result = [...shape];
  for (const [i, axis] of places.entries()) {
    if (!within(axis, shape)) return undefined;
    const dim = shape[axis];
    if (sizes !== undefined && sizes.length > 0) result[axis] = sizes[i];
    else if (scales === undefined || scales.length === 0) result[axis] = undefined;
    else if (scales[i] !== 1) result[axis] = typeof dim === 'number' ? Math.floor(dim * scales[i]) : undefined;
  }
  return result;
}

/** Shape of an Einsum: each letter of the result has the extent it has in an operand; without an arrow the letters that occur once. */
export function einsumShape(equation: string, shapes: readonly Shape[]): Shape {
  const [left, written] = equation.replace(/\s/g, '').split('->');
  const operands = left.split(',');
  const letters = [...operands.join('')];
  if (letters.includes('.') || operands.length !== shapes.length || operands.some((terms, i) => shapes[i]?.length !== terms.length)) return undefined;
  const result = written ?? letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter)).sort().join('');
  const extents = new Map(operands.flatMap((terms, i) => [...terms].map((letter, axis): [string, Dim] => [letter, shapes[i]![axis]])));
  return [...result].map((letter) => extents.get(letter));
}
