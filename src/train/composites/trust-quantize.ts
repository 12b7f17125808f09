/**
 * QuEST's quantizer (arXiv:2502.05003, section 3): a mid-rise grid of 2^b levels between ±α·rms of the last axis, and the
 * trust estimator: gradient passes where the value moved by at most `trust` · rms, or, with `clip`, where it lies within
 * clip · α · rms. Attributes: `levels`, `alpha` (half range in rms), `trust`, `clip` (0: not used).
 */
import { float, int } from '../../graph/build.ts';
import type { Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Node } from '../../graph/graph.ts';

/** MSE-optimal half range of a symmetric mid-rise grid for a normal distribution, by bits; from the published code. */
export const gaussianHalfRange: Readonly<Record<number, number>> = {
  1: 0.7978845587, 1.585: 1.2240089519, 2: 1.49353462, 3: 2.0510683541, 4: 2.5139305786, 5: 2.9160938835, 6: 3.2765972826, 7: 3.6010497188, 8: 3.8849386788,
};

/** Keeps the division finite for rows of zeros. */
const floor = 1e-8;

const number = (node: Node, name: string): number => {
  const found = node.attributes[name];
  return found?.kind === 'float' ? found.value : 0;
};

function grid(node: Node, tape: Tape): { readonly rms: string; readonly half: string; readonly quantized: string } {
  const [x] = node.inputs;
  const constant = (value: number): string => tape.constant(value);
  const rms = tape.op('Sqrt', [tape.op('ReduceMean', [tape.op('Mul', [x, x]), tape.ints([-1])], { keepdims: int(1) })]);
  const half = tape.op('Add', [tape.op('Mul', [rms, constant(number(node, 'alpha'))]), constant(floor)]);
  const levels = number(node, 'levels');
  const step = tape.op('Mul', [half, constant(2 / (levels - 1))]);
  const bounded = tape.op('Max', [tape.op('Min', [x, half]), tape.op('Neg', [half])]);
  // An even number of levels has none at zero; three levels do.
  const shift = levels % 2 === 0 ? 0.5 : 0;
  const index = shift === 0 ? tape.op('Div', [bounded, step]) : tape.op('Add', [tape.op('Div', [bounded, step]), constant(shift)]);
  const rounded = tape.op('Round', [index]);
  const code = shift === 0 ? rounded : tape.op('Sub', [rounded, constant(shift)]);
  return { rms, half, quantized: tape.op('Mul', [code, step]) };
}

export const trustQuantize: Composite = {
  op: 'TrustQuantize',
  expand: (node, tape) => [grid(node, tape).quantized],
  gradient(site) {
    const { node, tape, x, dy } = site;
    const { rms, half } = grid(node, tape);
    const clip = number(node, 'clip');
    const [moved, bound] = clip > 0
      ? [tape.op('Abs', [x]), site.mul(half, clip)]
      : [tape.op('Abs', [site.sub(site.y, x)]), site.mul(rms, number(node, 'trust'))];
    return [site.only(tape.op('LessOrEqual', [moved, bound]), dy)];
  },
};

/** Attributes for `bits` bits; by default a value is trusted within half a step, at one bit within 1.3 half ranges. */
export function trustAttributes(bits: number, { estimator = bits === 1 ? 'clip' : 'trust', clip = 1.3 }: { readonly estimator?: 'trust' | 'clip'; readonly clip?: number } = {}) {
  const alpha = gaussianHalfRange[bits];
  const levels = Math.round(2 ** bits);
  return { levels: float(levels), alpha: float(alpha), trust: float(alpha / (levels - 1)), clip: float(estimator === 'clip' ? clip : 0) };
}
