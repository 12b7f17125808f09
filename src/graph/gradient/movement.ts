/** Gradients of operators that move elements without computing. */
import { int, string } from '../build.ts';
import { alongAxis } from './along-axis.ts';
import type { GradientRule, GradientSite } from './site.ts';

const reshaped: GradientRule = (site) => [site.reshape(site.dy, site.shape())];

const concat: GradientRule = (site) => {
  const rank = site.resultShape().length;
  const axis = site.axis('axis', 0, rank);
  const sizes = site.node.inputs.map((_, i) => site.shape(i)[axis]);
  return site.tape.node('Split', [site.dy, site.tape.ints(sizes)], { attributes: { axis: int(axis) }, outputs: sizes.length });
};

const split: GradientRule = (site) => [site.tape.op('Concat', site.arriving.map((value, i) => value ?? site.zeros(site.resultShape(i))), { axis: int(site.axis('axis', 0)) })];

/** Pads every axis with zeros; negative amounts cut. */
const padded = (site: GradientSite, value: string, begins: readonly number[], ends: readonly number[]): string =>
  ([...begins, ...ends].every((amount) => amount === 0) ? value : site.tape.op('Pad', [value, site.tape.ints([...begins, ...ends])]));

const slice: GradientRule = (site) => {
  const shape = site.shape();
  const rank = shape.length;
  const starts = site.content(1);
  const axes = (site.optional(3) ?? starts.map((_, i) => i)).map((axis) => (axis < 0 ? axis + rank : axis));
  const steps = site.optional(4) ?? starts.map(() => 1);
  const begins = Array<number>(rank).fill(0);
  const ends = Array<number>(rank).fill(0);
  let value = site.dy;
  const current = [...site.resultShape()];
  axes.forEach((axis, i) => {
    const size = shape[axis];
    const step = steps[i];
    const raw = starts[i] < 0 ? starts[i] + size : starts[i];
    const start = Math.min(Math.max(raw, 0), step < 0 ? size - 1 : size);
    if (step === 1) {
      begins[axis] = start;
      ends[axis] = size - start - current[axis];
      return;
    }
    value = alongAxis(site, value, current, axis, size, (out, into) => (out === start + into * step ? 1 : 0));
    current[axis] = size;
  });
  return [padded(site, value, begins, ends)];
};

/** Where position `out` of a padded axis reads from, or -1 for the constant. */
function padSource(mode: string, out: number, begin: number, size: number): number {
  const at = out - begin;
  if (at >= 0 && at < size) return at;
  if (mode === 'edge') return at < 0 ? 0 : size - 1;
  if (mode === 'wrap') return ((at % size) + size) % size;
  if (mode === 'constant') return -1;
  const period = Math.max(1, 2 * (size - 1));
  const folded = ((at % period) + period) % period;
  return folded < size ? folded : period - folded;
}

const pad: GradientRule = (site) => {
  const shape = site.shape();
  const pads = site.content(1);
  const axes = site.optional(3)?.map((axis) => (axis < 0 ? axis + shape.length : axis)) ?? shape.map((_, i) => i);
  const mode = site.text('mode', 'constant');
  const begins = Array<number>(shape.length).fill(0);
  const ends = Array<number>(shape.length).fill(0);
  axes.forEach((axis, i) => {
    begins[axis] = pads[i];
    ends[axis] = pads[axes.length + i];
  });
  if (mode === 'constant') {
    const inside = padded(site, site.dy, begins.map((n) => -n), ends.map((n) => -n));
    const every = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i);
    const outside = (): string => site.sub(site.sum(site.dy, every(shape.length), false), site.sum(inside, every(shape.length), false));
    return [inside, undefined, site.wants(2) ? site.reshape(outside(), site.shape(2)) : undefined];
  }
  let value = site.dy;
  const current = [...site.resultShape()];
  for (const axis of axes) {
    if (begins[axis] === 0 && ends[axis] === 0) continue;
    value = alongAxis(site, value, current, axis, shape[axis], (out, into) => (padSource(mode, into, begins[axis], shape[axis]) === out ? 1 : 0));
    current[axis] = shape[axis];
  }
  return [value];
};

/** Channels to blocks through a six-dimensional view, in either order of channel and block. */
const depthToSpace: GradientRule = (site) => {
  const block = site.int('blocksize', 1);
  if (site.text('mode', 'DCR') === 'DCR') return [site.tape.op('SpaceToDepth', [site.dy], { blocksize: int(block) })];
  const [n, c, h, w] = site.shape();
  const parted = site.reshape(site.dy, [n, c / block ** 2, h, block, w, block]);
  return [site.reshape(site.transpose(parted, [0, 1, 3, 5, 2, 4]), [n, c, h, w])];
};

const tile: GradientRule = (site) => {
  const repeats = site.content(1);
  const shape = site.shape();
  const parted = site.reshape(site.dy, shape.flatMap((dim, i) => [repeats[i], dim]));
  return [site.sum(parted, shape.map((_, i) => 2 * i), false)];
};

export const movementRules: Readonly<Record<string, GradientRule>> = {
  Reshape: reshaped, Flatten: reshaped, Squeeze: reshaped, Unsqueeze: reshaped,
  Transpose: (site) => {
    const perm = site.ints('perm') ?? site.shape().map((_, i) => site.shape().length - 1 - i);
    const inverse = perm.map((_, i) => perm.indexOf(i));
    return [site.transpose(site.dy, inverse)];
  },
  Concat: concat, Split: split, Slice: slice, Pad: pad, Tile: tile,
  Expand: (site) => [site.unbroadcast(site.dy, site.resultShape(), 0)],
  DepthToSpace: depthToSpace,
  SpaceToDepth: (site) => [site.tape.op('DepthToSpace', [site.dy], { blocksize: int(site.int('blocksize', 1)), mode: string('DCR') })],
  Trilu: (site) => [site.tape.op('Trilu', [site.dy, ...site.node.inputs.slice(1)], { upper: int(site.int('upper', 1)) })],
};
