/** Gradients of pools. The largest sends its gradient to where it was found; a mean is one linear map per axis. */
import { int, string } from '../build.ts';
import { alongAxis } from './along-axis.ts';
import type { GradientRule, GradientSite } from './site.ts';
import { product, windowOf } from './window.ts';

/** Positions of the largest entries, as the engine found them: the first of equal ones, in overlapping windows too. */
const maxPool: GradientRule = (site) => {
  const shape = site.shape();
  // Places counted column by column are of no use here: they are asked for once more, row by row.
  const { storage_order: order, ...attributes } = site.node.attributes;
  const found = order?.kind === 'int' && order.value === 1 ? site.tape.node('MaxPool', [site.x], { attributes, outputs: 2 })[1] : site.output(1);
  const places = site.reshape(found, [product(site.resultShape())]);
  const updates = site.reshape(site.dy, [product(site.resultShape())]);
  const flat = site.tape.op('ScatterElements', [site.zeros([product(shape)]), places, updates], { reduction: string('add') });
  return [site.reshape(flat, shape)];
};

/** Window means are products of means along each axis, and so is the way back. */
const averagePool: GradientRule = (site) => {
  const shape = site.shape();
  const size = shape.slice(2);
  const { kernel, strides, dilations, begins, ends } = windowOf(site, size, site.ints('kernel_shape')!);
  const withPadding = site.int('count_include_pad', 0) === 1;
  let value = site.dy;
  const current = [...site.resultShape()];
  size.forEach((extent, i) => {
    const position = (out: number, tap: number): number => out * strides[i] + tap * dilations[i] - begins[i];
    const taps = Array.from({ length: kernel[i] }, (_, tap) => tap);
    const isInside = (at: number): boolean => (withPadding ? at < extent + ends[i] : at >= 0 && at < extent);
    const counts = Array.from({ length: current[i + 2] }, (_, out) => taps.filter((tap) => isInside(position(out, tap))).length);
    value = alongAxis(site, value, current, i + 2, extent, (at, out) => (taps.some((tap) => position(out, tap) === at) ? 1 / counts[out] : 0));
    current[i + 2] = extent;
  });
  return [value];
};

const spatial = (site: GradientSite): number[] => site.shape().slice(2).map((_, i) => i + 2);

export const poolingRules: Readonly<Record<string, GradientRule>> = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: (site) => [site.expand(site.mul(site.dy, 1 / product(site.shape().slice(2))), site.shape())],
  GlobalMaxPool: (site) => {
    const hit = site.tape.op('Cast', [site.tape.op('Equal', [site.x, site.y])], { to: int(1) });
    return [site.mul(hit, site.div(site.dy, site.sum(hit, spatial(site))))];
  },
};
