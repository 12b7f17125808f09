/** Gradients of normalisations by an input's own statistics. All that divide by a deviation share one formula. */
import { alongAxis } from './along-axis.ts';
import { matmul } from './products.ts';
import type { GradientRule, GradientSite } from './site.ts';
import { channelSum, product } from './window.ts';

/** x̂ = (x − mean) · inverse along the last axis; without centring the mean is zero. */
interface Rows { readonly normal: string; readonly inverse: string; readonly shape: readonly number[]; readonly isCentred: boolean }

const squared = (site: GradientSite, value: string): string => site.mul(value, value);
const rowMean = (site: GradientSite, value: string, shape: readonly number[]): string =>
  site.tape.op('ReduceMean', [value, site.tape.ints([shape.length - 1])]);

/** Rows of the input, reshaped, normalised by their own statistics. */
function rowsOf(site: GradientSite, shape: readonly number[], isCentred: boolean): Rows {
  const x = site.reshape(site.x, shape);
  const value = isCentred ? site.sub(x, rowMean(site, x, shape)) : x;
  const variance = site.add(rowMean(site, squared(site, value), shape), site.float('epsilon', 1e-5));
  const inverse = site.tape.op('Reciprocal', [site.tape.op('Sqrt', [variance])]);
  return { normal: site.mul(value, inverse), inverse, shape, isCentred };
}

/** Entries from `axis` on are one row. */
const rowShape = (site: GradientSite): [count: number, width: number] => {
  const axis = site.axis('axis', -1);
  return [product(site.shape().slice(0, axis)), product(site.shape().slice(axis))];
};

/** y = x̂ · scale + bias with a number per entry of a row [count, width], or fewer, repeated: gradients of all three. */
function scaledRows(site: GradientSite, { normal, inverse, shape, isCentred }: Rows): (string | undefined)[] {
  const [, width] = shape;
  const entries = site.shape().slice(site.axis('axis', -1));
  const scale = site.reshape(product(site.shape(1)) === width ? site.node.inputs[1] : site.expand(site.node.inputs[1], entries), [width]);
  const perEntry = (value: string, index: number): string => site.unbroadcast(site.reshape(site.sum(value, [0], false), entries), entries, index);
  const dy = site.reshape(site.dy, shape);
  const weighted = site.mul(dy, normal);
  const through = (): string => {
    // inverse · (g − mean g − x̂ · mean(g · x̂)) with g = dy · scale; the means are products with one column.
    const column = site.reshape(site.mul(scale, 1 / width), [width, 1]);
    const g = site.mul(dy, scale);
    const rest = site.sub(isCentred ? site.sub(g, matmul(site, dy, column)) : g, site.mul(normal, matmul(site, weighted, column)));
    return site.mul(rest, inverse);
  };
  return [site.wants(0) ? through() : undefined, site.wants(1) ? perEntry(weighted, 1) : undefined, site.wants(2) ? perEntry(dy, 2) : undefined];
}

/** The engine gives mean and inverse deviation as further outputs; gradients arrive there when this rule is differentiated. */
const layerNormalisation: GradientRule = (site) => {
  const shape = rowShape(site);
  const [count, width] = shape;
  const column = (value: string): string => site.reshape(value, [count, 1]);
  const inverse = column(site.output(2));
  const normal = site.mul(site.sub(site.reshape(site.x, shape), column(site.output(1))), inverse);
  const [toResult, toMean, toInverse] = site.arriving;
  const [dx, dScale, dBias] = toResult === undefined ? [] : scaledRows(site, { normal, inverse, shape, isCentred: true });
  if (!site.wants(0)) return [undefined, dScale, dBias];
  const parts = dx === undefined ? [] : [dx];
  if (toMean !== undefined) parts.push(site.expand(site.mul(column(toMean), 1 / width), shape));
  if (toInverse !== undefined) parts.push(site.mul(normal, site.mul(site.mul(column(toInverse), squared(site, inverse)), -1 / width)));
  return [site.reshape(parts.reduce((a, b) => site.add(a, b)), site.shape()), dScale, dBias];
};

const rootMeanSquare: GradientRule = (site) => {
  const [dx, dScale] = scaledRows(site, rowsOf(site, rowShape(site), false));
  return [dx === undefined ? undefined : site.reshape(dx, site.shape()), dScale];
};

/** Rows are groups of channels of one image; scale and bias hold one number per channel. */
const grouped = (groupsOf: (site: GradientSite) => number): GradientRule => (site) => {
  const shape = site.shape();
  const [groups, parts] = [groupsOf(site), product(site.shape(1))];
  const all = product(shape.slice(1));
  const rows = rowsOf(site, [shape[0], groups, all / groups], true);
  const perScale = [shape[0], parts, all / parts];
  const dy = site.reshape(site.dy, perScale);
  const through = (): string => {
    const g = site.reshape(site.mul(dy, site.reshape(site.node.inputs[1], [parts, 1])), rows.shape);
    const along = site.mul(rows.normal, rowMean(site, site.mul(g, rows.normal), rows.shape));
    return site.reshape(site.mul(site.sub(site.sub(g, rowMean(site, g, rows.shape)), along), rows.inverse), shape);
  };
  return [
    site.wants(0) ? through() : undefined,
    site.wants(1) ? channelSum(site, site.mul(dy, site.reshape(rows.normal, perScale)), 3) : undefined,
    site.wants(2) ? channelSum(site, dy, 3) : undefined,
  ];
};

/** y = x / norm, with a norm of absolute values (p = 1) or squares (p = 2). */
const lpNormalisation: GradientRule = (site) => {
  const axis = site.axis('axis', -1);
  const isSquare = site.int('p', 2) === 2;
  const norm = site.tape.op(isSquare ? 'ReduceL2' : 'ReduceL1', [site.x, site.tape.ints([axis])]);
  const slope = isSquare ? site.y : site.tape.op('Sign', [site.x]);
  return [site.over(site.sub(site.dy, site.mul(slope, site.sum(site.mul(site.dy, site.y), [axis]))), norm)];
};

/** y = x · d^−β, d = bias + α / size · Σ x² over neighbouring channels; the sums are products with a banded matrix. */
const localResponse: GradientRule = (site) => {
  const shape = site.shape();
  const size = site.int('size', 1);
  const [alpha, beta, bias] = [site.float('alpha', 1e-4), site.float('beta', 0.75), site.float('bias', 1)];
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  const isNear = (center: number, other: number): boolean => other >= center - before && other <= center + after;
  const sums = alongAxis(site, squared(site, site.x), shape, 1, shape[1], (out, into) => (isNear(out, into) ? 1 : 0));
  const d = site.add(site.mul(sums, alpha / size), bias);
  const power = site.tape.op('Pow', [d, site.tape.constant(-beta)]);
  const shared = site.div(site.mul(site.dy, site.mul(site.x, power)), d);
  const spread = alongAxis(site, shared, shape, 1, shape[1], (out, into) => (isNear(into, out) ? 1 : 0));
  return [site.sub(site.mul(site.dy, power), site.mul(site.mul(site.x, spread), (2 * alpha * beta) / size))];
};

export const normalisationRules: Readonly<Record<string, GradientRule>> = {
  LayerNormalization: layerNormalisation,
  RMSNormalization: rootMeanSquare,
  SimplifiedLayerNormalization: rootMeanSquare,
  'com.microsoft:SimplifiedLayerNormalization': rootMeanSquare,
  GroupNormalization: grouped((site) => site.int('num_groups', 1)),
  InstanceNormalization: grouped((site) => site.shape()[1]),
  LpNormalization: lpNormalisation,
  LRN: localResponse,
};
