/**
 * QuEST's quantizer (arXiv:2502.05003, section 3): a mid-rise grid of 2^b levels between ±α·rms along an axis, and the
 * trust estimator, which passes gradient where the value moved by at most half a step. Attributes: `levels`; `alpha` (half
 * range, in rms or in the largest magnitude); `range` (`rms`, `absmax`); `estimator` (`trust`; `clip`: gradient within
 * clip · half range; `plain`: everywhere); `trust` (distance, in half ranges); `clip`; `axis`; `width` (extent of the axis).
 */
import { float, int, string } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Attribute, Node } from '../../graph/graph.ts';

/** MSE-optimal half range of a symmetric mid-rise grid for a normal distribution, by bits; from the published code. */
export const gaussianHalfRange: Readonly<Record<number, number>> = {
  1: 0.7978845587, 1.585: 1.2240089519, 2: 1.49353462, 3: 2.0510683541, 4: 2.5139305786, 5: 2.9160938835, 6: 3.2765972826, 7: 3.6010497188, 8: 3.8849386788,
};

/** Keeps the division finite for rows of zeros. */
export const smallestHalfRange = 1e-8;

const number = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);

/** Levels, their offset from whole steps (an even number has none at zero), and the whole steps at both ends. */
export function trustGrid(node: Node): { readonly levels: number; readonly shift: number; readonly low: number; readonly high: number } {
  const levels = number(node, 'levels');
  const shift = levels % 2 === 0 ? 0.5 : 0;
  return { levels, shift, low: shift - (levels - 1) / 2, high: shift + (levels - 1) / 2 };
}

/** Half the range of every vector along the axis. */
function halfRange(node: Node, tape: Tape): string {
  const [x] = node.inputs;
  const axes = tape.ints([number(node, 'axis')]);
  const scaled = (size: string, factor: number): string => tape.op('Add', [tape.op('Mul', [size, tape.constant(factor)]), tape.constant(smallestHalfRange)]);
  if (node.attributes.range?.value === 'absmax') return scaled(tape.op('ReduceMax', [tape.op('Abs', [x]), axes], { keepdims: int(1) }), number(node, 'alpha'));
  return scaled(tape.op('ReduceL2', [x, axes], { keepdims: int(1) }), number(node, 'alpha') / Math.sqrt(number(node, 'width')));
}

export const trustQuantize: Composite = {
  op: 'TrustQuantize',
  expand(node, tape) {
    const { levels, shift, low, high } = trustGrid(node);
    const step = tape.op('Mul', [halfRange(node, tape), tape.constant(2 / (levels - 1))]);
    const moved = (value: string, by: number, op: string): string => (by === 0 ? value : tape.op(op, [value, tape.constant(by)]));
    const index = tape.op('Round', [moved(tape.op('Div', [node.inputs[0], step]), shift, 'Add')]);
    const code = tape.op('Clip', [index, tape.constant(low), tape.constant(high)]);
    return [tape.op('Mul', [moved(code, shift, 'Sub'), step])];
  },
  gradient(site) {
    const { node, tape, x, dy } = site;
    const estimator = node.attributes.estimator?.value;
    if (estimator === 'plain') return [dy];
    const [moved, bound] = estimator === 'clip' ? [x, number(node, 'clip')] : [site.sub(site.y, x), number(node, 'trust')];
    return [site.only(tape.op('LessOrEqual', [tape.op('Abs', [moved]), site.mul(halfRange(node, tape), bound)]), dy)];
  },
};

export interface TrustOptions {
  /** 1 to 8, or 1.585 for three levels. */
  readonly bits: number;
  /** Default `trust`, at one bit `clip`, as in the published runs. */
  readonly estimator?: 'trust' | 'clip' | 'plain';
  readonly range?: 'rms' | 'absmax';
  /** In half ranges; default 1.3. */
  readonly clip?: number;
}

/** Half a step in half ranges; a little more, so that rounding errors do not mask values that lie on it. */
const halfStep = (levels: number): number => (1 + 1e-6) / (levels - 1);

/** Attributes of a TrustQuantize node along an axis of some width. */
export function trustAttributes({ bits, estimator = bits === 1 ? 'clip' : 'trust', range = 'rms', clip = 1.3 }: TrustOptions, axis: number, width: number): Record<string, Attribute> {
  const levels = Math.round(2 ** bits);
  return {
    levels: int(levels), alpha: float(range === 'rms' ? gaussianHalfRange[bits] : 1), range: string(range), estimator: string(estimator),
    trust: float(halfStep(levels)), clip: float(clip), axis: int(axis), width: int(width),
  };
}

/** Appends the quantized value. */
export const appendTrustQuantize = (tape: Tape, value: string, options: TrustOptions, axis: number, width: number): string =>
  tape.node(trustQuantize.op, [value], { domain: compositeDomain, attributes: trustAttributes(options, axis, width) })[0];
