/**
 * Quantization over a given range as a float function (arXiv:1806.08342, section 2): x̂ = (clip(round(x / D) + z) − z) · D.
 * Affine: the range is widened to hold zero, D = (hi − lo) / codes, z = round(−lo / D), so that zero is exact.
 * Symmetric: D = max(|lo|, |hi|) / bound, codes −bound … bound with bound = (codes − 1) / 2. The gradient passes where x lies
 * in the range. Inputs: x, lo, hi, the last two shaped to broadcast against x; they receive no gradient.
 * Attributes: `codes` (2^bits − 1), `symmetric`.
 */
import { float, int } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Node } from '../../graph/graph.ts';
import { smallestStep } from './fake-quantize.ts';

const codesOf = (node: Node): number => Number(node.attributes.codes?.value ?? 0);
const isSymmetric = (node: Node): boolean => node.attributes.symmetric?.value === 1;

/** The range as the quantizer takes it: widened to hold zero, or the same on both sides. */
function bounds(tape: Tape, node: Node): { readonly from: string; readonly to: string } {
  const [, lo, hi] = node.inputs;
  if (!isSymmetric(node)) return { from: tape.op('Min', [lo, tape.constant(0)]), to: tape.op('Max', [hi, tape.constant(0)]) };
  const to = tape.op('Max', [tape.op('Abs', [lo]), tape.op('Abs', [hi])]);
  return { from: tape.op('Neg', [to]), to };
}

/** span / count; 1 where the span is zero, so that a constant is divided by something. */
function stepOf(tape: Tape, span: string, count: number): string {
  const step = tape.op('Max', [tape.op('Div', [span, tape.constant(count)]), tape.constant(smallestStep)]);
  return tape.op('Where', [tape.op('Greater', [span, tape.constant(0)]), step, tape.constant(1)]);
}

export const rangeQuantize: Composite = {
  op: 'RangeQuantize',
  expand(node, tape) {
    const [x] = node.inputs;
    const { from, to } = bounds(tape, node);
    const codes = codesOf(node);
    const limited = (value: string, low: number, high: number): string => tape.op('Clip', [value, tape.constant(low), tape.constant(high)]);
    if (isSymmetric(node)) {
      const bound = (codes - 1) / 2;
      const step = stepOf(tape, to, bound);
      return [tape.op('Mul', [limited(tape.op('Round', [tape.op('Div', [x, step])]), -bound, bound), step])];
    }
    const step = stepOf(tape, tape.op('Sub', [to, from]), codes);
    const zero = limited(tape.op('Round', [tape.op('Div', [tape.op('Neg', [from]), step])]), 0, codes);
    const code = limited(tape.op('Add', [tape.op('Round', [tape.op('Div', [x, step])]), zero]), 0, codes);
    return [tape.op('Mul', [tape.op('Sub', [code, zero]), step])];
  },
  gradient({ node, tape, dy }) {
    const [x] = node.inputs;
    const { from, to } = bounds(tape, node);
    const inside = tape.op('And', [tape.op('GreaterOrEqual', [x, from]), tape.op('LessOrEqual', [x, to])]);
    return [tape.op('Where', [inside, dy, tape.constant(0)])];
  },
};

export interface RangeQuantizeOptions { readonly bits: number; readonly symmetric?: boolean }

/** Appends x̂ of a value over [lo, hi]. */
export function appendRangeQuantize(tape: Tape, inputs: readonly [x: string, lo: string, hi: string], { bits, symmetric = false }: RangeQuantizeOptions): string {
  return tape.node(rangeQuantize.op, inputs, { domain: compositeDomain, attributes: { codes: float(2 ** bits - 1), symmetric: int(symmetric ? 1 : 0) } })[0];
}
