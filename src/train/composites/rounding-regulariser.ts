/**
 * AdaRound's pull of soft roundings towards 0 and 1, 1 − |2h − 1|^β for each (arXiv:2004.10568, equation 24). Inputs: h, and
 * β, a number that falls while training.
 */
import type { Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';

const centred = (tape: Tape, h: string): string => tape.op('Sub', [tape.op('Mul', [h, tape.constant(2)]), tape.constant(1)]);

export const roundingRegulariser: Composite = {
  op: 'RoundingRegulariser',
  expand(node, tape) {
    const [h, temperature] = node.inputs;
    return [tape.op('Sub', [tape.constant(1), tape.op('Pow', [tape.op('Abs', [centred(tape, h)]), temperature])])];
  },
  gradient(site) {
    const { node, tape, x, dy } = site;
    const [, temperature] = node.inputs;
    const distance = centred(tape, x);
    const slope = site.mul(tape.op('Pow', [tape.op('Abs', [distance]), site.sub(temperature, 1)]), tape.op('Sign', [distance]));
    return [site.mul(dy, site.mul(slope, site.mul(temperature, -2))), undefined];
  },
};
