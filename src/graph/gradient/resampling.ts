/** Gradient of Resize: each output is a weighted sum of inputs axis by axis, and the weights are known. */
import { nearestElements, resizePlaces, type ResizedAxis } from '../resize-places.ts';
import { alongAxis } from './along-axis.ts';
import type { GradientRule, GradientSite } from './site.ts';

interface Axis extends ResizedAxis { readonly axis: number }

/** Weight at a distance: a triangle, or cubic convolution with parameter a (Keys 1981). */
const filters: Readonly<Record<string, { readonly reach: number; readonly weight: (distance: number, a: number) => number }>> = {
  linear: { reach: 1, weight: (d) => Math.max(0, 1 - d) },
  cubic: { reach: 2, weight: (d, a) => (d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0) },
};

/** Weights [length] of one output element; none where it lies outside of a crop. */
function weightsOf(site: GradientSite, axis: Axis, i: number): Float64Array {
  const { length, scale } = axis;
  const weights = new Float64Array(length);
  const mode = site.text('coordinate_transformation_mode', 'half_pixel');
  const filter = filters[site.text('mode', 'nearest')];
  // Places of nearest neighbours are compared in float32, as engines compute them.
  const at = resizePlaces[mode](i, axis, filter === undefined ? Math.fround : (x) => x);
  const isCut = mode === 'tf_crop_and_resize' && (at < 0 || at > length - 1);
  if (isCut) return weights;
  const held = (place: number): number => Math.min(length - 1, Math.max(0, place));
  if (filter === undefined) {
    weights[held(nearestElements[site.text('nearest_mode', 'round_prefer_floor')](at))] = 1;
    return weights;
  }
  const shrink = site.int('antialias', 0) === 1 ? Math.min(1, scale) : 1;
  const isExclusive = site.int('exclude_outside', 0) === 1;
  let total = 0;
  for (let place = Math.ceil(at - filter.reach / shrink); place <= Math.floor(at + filter.reach / shrink); place++) {
    if (isExclusive && place !== held(place)) continue;
    const weight = filter.weight(Math.abs(place - at) * shrink, site.float('cubic_coeff_a', -0.75));
    weights[held(place)] += weight;
    total += weight;
  }
  return weights.map((weight) => weight / total);
}

/** Axes that may change. */
function resizedAxes(site: GradientSite): Axis[] {
  const shape = site.shape();
  const given = (index: number): readonly number[] | undefined => { const list = site.optional(index); return list?.length === 0 ? undefined : list; };
  const [roi, scales, sizes] = [given(1), given(2), given(3)];
  const axes = (site.ints('axes') ?? shape.map((_, i) => i)).map((axis) => (axis < 0 ? axis + shape.length : axis));
  const ratios = axes.map((axis, i) => scales?.[i] ?? sizes![i] / shape[axis]);
  const policy = site.text('keep_aspect_ratio_policy', 'stretch');
  const shared = scales !== undefined || policy === 'stretch' ? undefined : policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  return axes.map((axis, i) => ({
    axis, length: shape[axis], out: site.resultShape()[axis], scale: shared ?? ratios[i], start: roi?.[i] ?? 0, end: roi?.[axes.length + i] ?? 1,
  }));
}

const resize: GradientRule = (site) => {
  const current = [...site.resultShape()];
  let value = site.dy;
  for (const axis of resizedAxes(site)) {
    const rows = Array.from({ length: axis.out }, (_, i) => weightsOf(site, axis, i));
    const isIdentity = axis.out === axis.length && rows.every((row, i) => row[i] === 1);
    if (isIdentity) continue;
    value = alongAxis(site, value, current, axis.axis, axis.length, (place, i) => rows[i][place]);
    current[axis.axis] = axis.length;
  }
  return [value];
};

export const resamplingRules: Readonly<Record<string, GradientRule>> = { Resize: resize };
