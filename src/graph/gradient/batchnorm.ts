/**
 * BatchNormalization: the gradient with given statistics, and the composite that stands for it in training, where the
 * statistics are those of the batch. No engine trains the operator itself.
 */
import { float } from '../build.ts';
import type { Composite } from '../composite.ts';
import type { Node } from '../graph.ts';
import type { GradientRule, GradientSite } from './site.ts';
import type { Tape } from './tape.ts';
import { channelSum, product } from './window.ts';

const inverseRoot = (site: GradientSite, variance: string): string =>
  site.tape.op('Reciprocal', [site.tape.op('Sqrt', [site.add(variance, site.float('epsilon', 1e-5))])]);
/** One number per channel, to be repeated over [batch, channels, spatial…]. */
const spread = (site: GradientSite, value: string): string => site.reshape(value, [site.shape()[1], ...site.shape().slice(2).map(() => 1)]);

export const batchNormalisation: GradientRule = (site) => {
  const rank = site.shape().length;
  const [x, scale, , mean, variance] = site.node.inputs;
  const inverse = inverseRoot(site, variance);
  const gain = site.mul(scale, inverse);
  const needsSums = [1, 2, 3, 4].some((index) => site.wants(index));
  const total = needsSums ? channelSum(site, site.dy, rank) : '';
  const dot = site.wants(1) || site.wants(4) ? site.sub(channelSum(site, site.mul(site.dy, x), rank), site.mul(mean, total)) : '';
  return [
    site.wants(0) ? affine(site.tape, site.dy, site.shape()[1], { scale: gain }) : undefined,
    site.wants(1) ? site.mul(dot, inverse) : undefined,
    site.wants(2) ? total : undefined,
    site.wants(3) ? site.neg(site.mul(total, gain)) : undefined,
    site.wants(4) ? site.mul(site.mul(dot, site.mul(gain, site.mul(inverse, inverse))), -0.5) : undefined,
  ];
};

const attribute = (node: Node, name: string): number => {
  const found = node.attributes[name];
  return found?.kind === 'int' || found?.kind === 'float' ? found.value : 0;
};

/** Mean over everything but the channels: first inside of each image, then over images. */
function channelMean(tape: Tape, value: string, rank: number): string {
  const keep = { keepdims: { kind: 'int', value: 0 } } as const;
  const inner = rank > 2 ? tape.op('ReduceMean', [value, tape.ints(Array.from({ length: rank - 2 }, (_, i) => i + 2))], keep) : value;
  return tape.op('ReduceMean', [inner, tape.ints([0])], keep);
}

interface Affine { readonly scale?: string; readonly bias?: string; readonly mean?: string; readonly variance?: string; readonly epsilon?: number }

/** (x − mean) · scale / √(variance + epsilon) + bias per channel: the engine's operator, one pass where Mul and Add make two. */
function affine(tape: Tape, x: string, channels: number, { scale, bias, mean, variance, epsilon = 0 }: Affine): string {
  const all = (value: number): string => tape.op('Expand', [tape.constant(value), tape.ints([channels])]);
  return tape.op('BatchNormalization', [x, scale ?? all(1), bias ?? all(0), mean ?? all(0), variance ?? all(1)], { epsilon: float(epsilon) });
}

/**
 * (x, scale, bias) → y, mean and variance of the batch, x − mean. The variance is the mean square of the centred input:
 * one pass more than mean square minus squared mean, and no cancellation where the mean is large.
 */
export const batchNormTraining: Composite = {
  op: 'BatchNormTraining',
  expand(node, tape) {
    const [x, scale, bias] = node.inputs;
    const [rank, channels] = [attribute(node, 'rank'), attribute(node, 'channels')];
    const mean = channelMean(tape, x, rank);
    const centred = affine(tape, x, channels, { mean });
    const variance = channelMean(tape, tape.op('Mul', [centred, centred]), rank);
    return [affine(tape, centred, channels, { scale, bias, variance, epsilon: attribute(node, 'epsilon') }), mean, variance, centred];
  },
  /** dx = A · dy + B · (x − mean) + C with one A, B, C per channel. */
  gradient(site) {
    const shape = site.shape();
    const rank = shape.length;
    const count = product(shape) / shape[1];
    const [, scale] = site.node.inputs;
    const centred = site.output(3);
    const [dy, toMean, toVariance, toCentred] = site.arriving;
    const slopes: string[] = [];
    const shifts: string[] = [];
    let [dScale, dBias]: (string | undefined)[] = [];
    let direct = toCentred;
    if (dy !== undefined) {
      const inverse = inverseRoot(site, site.output(2));
      const gain = site.mul(scale, inverse);
      const total = dBias = channelSum(site, dy, rank);
      const dot = channelSum(site, site.mul(dy, centred), rank);
      dScale = site.mul(dot, inverse);
      slopes.push(site.mul(site.mul(gain, site.mul(inverse, inverse)), site.mul(dot, -1 / count)));
      shifts.push(site.mul(site.mul(gain, total), -1 / count));
      const scaled = affine(site.tape, dy, shape[1], { scale: gain });
      direct = direct === undefined ? scaled : site.add(direct, scaled);
    }
    if (toMean !== undefined) shifts.push(site.mul(toMean, 1 / count));
    if (toVariance !== undefined) slopes.push(site.mul(toVariance, 2 / count));
    if (toCentred !== undefined) shifts.push(site.mul(channelSum(site, toCentred, rank), -1 / count));
    if (!site.wants(0)) return [undefined, dScale, dBias];
    const sum = (parts: readonly string[]): string | undefined => (parts.length === 0 ? undefined : parts.reduce((a, b) => site.add(a, b)));
    const [slope, shift] = [sum(slopes), sum(shifts)];
    const along = slope !== undefined ? affine(site.tape, centred, shape[1], { scale: slope, bias: shift })
      : shift !== undefined ? site.expand(spread(site, shift), shape) : undefined;
    const dx = along === undefined ? direct : direct === undefined ? along : site.add(direct, along);
    return [dx, dScale, dBias];
  },
};
