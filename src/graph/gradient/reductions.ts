/** Gradients of sums, means, extremes and norms over axes, of softmax and of cumulative sums. */
import { int } from '../build.ts';
import type { GradientRule, GradientSite } from './site.ts';

/** Axes that a reduction sums over, none of them negative. */
function reducedAxes(site: GradientSite): readonly number[] {
  const rank = site.shape().length;
  const axes = site.ints('axes') ?? site.optional(1);
  if (axes === undefined || axes.length === 0) return site.int('noop_with_empty_axes', 0) === 1 ? [] : site.shape().map((_, i) => i);
  return axes.map((axis) => (axis < 0 ? axis + rank : axis));
}

/** A reduced value with its axes back as ones, so that it broadcasts against the input. */
const kept = (site: GradientSite, value: string): string =>
  (site.int('keepdims', 1) === 1 ? value : site.reshape(value, site.shape().map((dim, i) => (reducedAxes(site).includes(i) ? 1 : dim))));

const expanded = (site: GradientSite, value: string): string => site.tape.op('Expand', [value, site.tape.ints(site.shape())]);
const count = (site: GradientSite): number => reducedAxes(site).reduce((product, axis) => product * site.shape()[axis], 1);

/** Gradient to the input alone; axes are numbers. */
const only = (rule: (site: GradientSite, dy: string, y: string) => string): GradientRule => (site) => [rule(site, kept(site, site.dy), kept(site, site.y))];

/** Entries equal to an extreme share its gradient. */
const extreme = only((site, dy, y) => {
  const hit = site.tape.op('Cast', [site.tape.op('Equal', [site.x, y])], { to: int(1) });
  return site.mul(hit, site.div(dy, site.sum(hit, reducedAxes(site))));
});

/** Product of all other entries: of the entries that are not zero over the entry itself, unless another one is zero. Right once: a second derivative takes zeros as staying zeros. */
const productOfOthers = only((site, dy) => {
  const isZero = site.tape.op('Equal', [site.x, site.tape.constant(0)]);
  const filled = site.tape.op('Where', [isZero, site.tape.constant(1), site.x]);
  const zero = site.tape.op('Cast', [isZero], { to: int(1) });
  const axes = reducedAxes(site);
  const product = axes.length === 0 ? filled : site.tape.op('ReduceProd', [filled, site.tape.ints(axes)]);
  const others = site.tape.op('Equal', [site.sum(zero, axes), zero]);
  return site.only(others, site.mul(dy, site.div(product, filled)));
});

export const reductionRules: Readonly<Record<string, GradientRule>> = {
  ReduceSum: only((site, dy) => expanded(site, dy)),
  ReduceMean: only((site, dy) => expanded(site, site.mul(dy, 1 / count(site)))),
  ReduceSumSquare: only((site, dy) => site.mul(site.x, site.mul(dy, 2))),
  ReduceL2: only((site, dy, y) => site.mul(site.x, site.over(dy, y))),
  ReduceL1: only((site, dy) => site.mul(site.tape.op('Sign', [site.x]), dy)),
  ReduceLogSum: only((site, dy, y) => expanded(site, site.div(dy, site.tape.op('Exp', [y])))),
  ReduceLogSumExp: only((site, dy, y) => site.mul(site.tape.op('Exp', [site.sub(site.x, y)]), dy)),
  ReduceProd: productOfOthers,
  ReduceMax: extreme, ReduceMin: extreme,
  Softmax: (site) => {
    const weighted = site.mul(site.dy, site.y);
    return [site.sub(weighted, site.mul(site.y, site.sum(weighted, [site.axis('axis', -1)])))];
  },
  LogSoftmax: (site) => [site.sub(site.dy, site.mul(site.tape.op('Exp', [site.y]), site.sum(site.dy, [site.axis('axis', -1)])))],
  CumSum: (site) => [site.tape.op('CumSum', [site.dy, site.node.inputs[1]], { reverse: int(1 - site.int('reverse', 0)), exclusive: int(site.int('exclusive', 0)) })],
};
