/** Resampling: Resize axis by axis, each output element a weighted sum of input elements. */
import { nearestElements, resizePlaces, type ResizedAxis } from '../../graph/resize-places.ts';
import type { Call, Operator, Operators } from './call.ts';
import { alongAxis } from './reductions.ts';
import { axisOf } from './value.ts';

/** Weight of an input element at this distance, and how far the weights reach. */
interface Filter {
  readonly reach: number;
  weight(distance: number): number;
}

const linear: Filter = { reach: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) };

/** Cubic convolution with parameter a (Keys 1981). */
export const cubic = (a: number): Filter => ({
  reach: 2,
  weight(distance) {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  },
});

/** Input elements and their weights, which sum to one; elements beyond an end repeat it, or are left out. */
function filtered(x: number, length: number, filter: Filter, shrink: number, excludeOutside: boolean): [at: number, weight: number][] {
  const taps: [number, number][] = [];
  const reach = filter.reach / shrink;
  for (let at = Math.ceil(x - reach); at <= Math.floor(x + reach); at++) {
    const outside = at < 0 || at >= length;
    if (!(outside && excludeOutside)) taps.push([Math.min(length - 1, Math.max(0, at)), filter.weight((at - x) * shrink)]);
  }
  const total = taps.reduce((sum, [, weight]) => sum + weight, 0);
  return taps.map(([at, weight]) => [at, weight / total]);
}

/** Sizes and scales of the resized axes. */
function axesOfResize(call: Call, shape: readonly number[]): Map<number, ResizedAxis> {
  const axes = call.ints('axes')?.map((axis) => axisOf(axis, shape.length)) ?? shape.map((_, axis) => axis);
  const given = (input: number): number[] | undefined => (call.list(input)?.length === 0 ? undefined : call.list(input));
  const [roi, scales, sizes] = [given(1), given(2), given(3)];
  const policies: Readonly<Record<string, ((ratios: number[]) => number) | undefined>> = {
    stretch: undefined, not_larger: (ratios) => Math.min(...ratios), not_smaller: (ratios) => Math.max(...ratios),
  };
  const policy = call.choice('aspect ratio policy', call.text('keep_aspect_ratio_policy', 'stretch'), policies);
  const ratios = scales ?? sizes?.map((size, i) => size / shape[axes[i]]);
  if (ratios === undefined) throw call.wrong('neither scales nor sizes are given');
  return new Map(axes.map((axis, i) => {
    const length = shape[axis];
    const scale = scales === undefined && policy !== undefined ? policy(ratios) : ratios[i];
    // Scales are float32, and so is their product: 10 × 0.7 is 7, not a little less.
    const out = scales !== undefined ? Math.floor(Math.fround(length * scale)) : policy === undefined ? sizes![i] : Math.floor(length * scale + 0.5);
    return [axis, { length, out, scale, start: roi?.[i] ?? 0, end: roi?.[axes.length + i] ?? 1 }];
  }));
}

const resize: Operator = (call) => {
  const mode = call.text('coordinate_transformation_mode', 'half_pixel');
  const coordinate = call.choice('coordinate mode', mode, resizePlaces);
  const nearest = call.choice('nearest mode', call.text('nearest_mode', 'round_prefer_floor'), nearestElements);
  const filter = call.choice('mode', call.text('mode', 'nearest'), { nearest: undefined, linear, cubic: cubic(call.float('cubic_coeff_a', -0.75)) });
  const [antialias, excludeOutside] = [call.flag('antialias'), call.flag('exclude_outside')];
  const beyond = call.float('extrapolation_value', 0);
  // Engines compute places in float32. Where the nearest element is taken, a place a hair below 2 is 2 to them.
  const round = filter === undefined ? Math.fround : (x: number) => x;
  let x = call.input(0);
  for (const [axis, geometry] of axesOfResize(call, x.shape)) {
    const { length, out, scale } = geometry;
    const taps = Array.from({ length: out }, (_, i): [number, number][] | undefined => {
      const at = coordinate(i, geometry, round);
      if (mode === 'tf_crop_and_resize' && (at < 0 || at > length - 1)) return undefined;
      if (filter === undefined) return [[Math.min(length - 1, Math.max(0, nearest(at))), 1]];
      return filtered(at, length, filter, antialias ? Math.min(1, scale) : 1, excludeOutside);
    });
    x = alongAxis(x, axis, (line) => taps.map((tap) => tap?.reduce((sum, [at, weight]) => sum + weight * line[at], 0) ?? beyond), out);
  }
  return x;
};

export const resampling: Operators = { Resize: resize };
