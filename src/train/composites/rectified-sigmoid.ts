/**
 * AdaRound's soft rounding variable, h(v) = clip(1.2 · sigmoid(v) − 0.1, 0, 1) (arXiv:2004.10568, equation 23): stretched
 * so that it reaches 0 and 1, and stays there.
 */
import type { Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';

/** Stretch of the sigmoid: from −0.1 to 1.1. */
export const stretch = { from: -0.1, width: 1.2 } as const;

const stretched = (tape: Tape, sigmoid: string): string => tape.op('Add', [tape.op('Mul', [sigmoid, tape.constant(stretch.width)]), tape.constant(stretch.from)]);

export const rectifiedSigmoid: Composite = {
  op: 'RectifiedSigmoid',
  expand: (node, tape) => [tape.op('Clip', [stretched(tape, tape.op('Sigmoid', [node.inputs[0]])), tape.constant(0), tape.constant(1)])],
  gradient(site) {
    const { tape, dy, x } = site;
    const sigmoid = tape.op('Sigmoid', [x]);
    const whole = stretched(tape, sigmoid);
    const inside = tape.op('And', [tape.op('GreaterOrEqual', [whole, tape.constant(0)]), tape.op('LessOrEqual', [whole, tape.constant(1)])]);
    return [site.only(inside, site.mul(dy, site.mul(site.mul(sigmoid, site.sub(1, sigmoid)), stretch.width)))];
  },
};
