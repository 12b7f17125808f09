/** Windows that slide over the spatial axes of convolutions and pools. */
import type { Call } from './call.ts';
import { forEachIndex } from './value.ts';

/** Geometry per spatial axis. */
export interface Windows {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after. */
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** Positions of the window. */
  readonly out: readonly number[];
}

const autoPads = ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const;
export const autoPadOf = (call: Call): (typeof autoPads)[number] =>
  call.choice('auto_pad', call.text('auto_pad', 'NOTSET'), Object.fromEntries(autoPads.map((name) => [name, name])));

/** The windows that a node lays over an input of these spatial dimensions. */
export function windowsOf(call: Call, spatial: readonly number[], kernel: readonly number[]): Windows {
  const ones = spatial.map(() => 1);
  const strides = call.ints('strides') ?? ones;
  const dilations = call.ints('dilations') ?? ones;
  const auto = autoPadOf(call);
  const given = auto === 'NOTSET' ? call.ints('pads') : undefined;
  const begin = spatial.map((_, axis) => given?.[axis] ?? 0);
  const end = spatial.map((_, axis) => given?.[spatial.length + axis] ?? 0);
  const reach = kernel.map((k, axis) => (k - 1) * dilations[axis] + 1);
  if (auto.startsWith('SAME')) {
    for (const [axis, dim] of spatial.entries()) {
      const total = Math.max(0, (Math.ceil(dim / strides[axis]) - 1) * strides[axis] + reach[axis] - dim);
      begin[axis] = auto === 'SAME_LOWER' ? Math.ceil(total / 2) : Math.floor(total / 2);
      end[axis] = total - begin[axis];
    }
  }
  const ceil = call.flag('ceil_mode');
  const out = spatial.map((dim, axis) => {
    const steps = (dim + begin[axis] + end[axis] - reach[axis]) / strides[axis];
    if (!ceil) return Math.floor(steps) + 1;
    // The last window begins inside the input or the padding before it.
    return (Math.ceil(steps) + 1) - (Math.ceil(steps) * strides[axis] >= dim + begin[axis] ? 1 : 0);
  });
  return { kernel, strides, dilations, begin, end, out };
}

/** All indices inside a window. */
export function offsetsIn(kernel: readonly number[]): (readonly number[])[] {
  const offsets: number[][] = [];
  forEachIndex(kernel, (index) => offsets.push([...index]));
  return offsets;
}

/**
 * Memory position, among the spatial axes of these dimensions and strides, of one element of a window; −1 in the
 * padding. `position` is the window's index, its spatial part beginning at `from`.
 */
export function elementOf(windows: Windows, position: readonly number[], from: number, offset: readonly number[], spatial: readonly number[]): number {
  let at = 0;
  for (let axis = 0; axis < spatial.length; axis++) {
    const i = position[from + axis] * windows.strides[axis] - windows.begin[axis] + offset[axis] * windows.dilations[axis];
    if (i < 0 || i >= spatial[axis]) return -1;
    at = at * spatial[axis] + i;
  }
  return at;
}
