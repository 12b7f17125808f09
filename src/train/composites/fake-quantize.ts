/**
 * Uniform quantization as a float function, x̂ = (clip(round(x / s) + z, low, high) − z) · s, with the gradients of
 * straight-through estimation and of learned step sizes (LSQ, arXiv:1902.08153; zero points as in LSQ+, arXiv:2004.09576).
 * Inputs: x, scale, and optionally zero (a whole number held as float), both shaped to broadcast against x.
 * Attributes: `low`, `high` (codes), `gradient_scale` (factor on the gradients of scale and zero),
 * `estimator` (`clipped`: x receives no gradient outside of the range; `plain`: it always does).
 */
import { float, string } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import { unbroadcast } from '../../graph/gradient/site.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Attribute, Node } from '../../graph/graph.ts';

const number = (node: Node, name: string, fallback = 0): number => {
  const found = node.attributes[name];
  return found?.kind === 'float' ? found.value : fallback;
};

/** Keeps a step that training drives through zero from dividing by it. */
export const smallestStep = 1e-8;
const stepOf = (tape: Tape, scale: string): string => tape.op('Max', [scale, tape.constant(smallestStep)]);

/** x / s + z, before rounding. */
const position = (tape: Tape, [x, scale, zero = '']: readonly string[]): string => {
  const scaled = tape.op('Div', [x, stepOf(tape, scale)]);
  return zero === '' ? scaled : tape.op('Add', [scaled, zero]);
};

const clipped = (tape: Tape, node: Node, value: string): string =>
  tape.op('Clip', [value, tape.constant(number(node, 'low')), tape.constant(number(node, 'high'))]);

export const fakeQuantize: Composite = {
  op: 'FakeQuantize',
  expand(node, tape) {
    const [x, scale, zero = ''] = node.inputs;
    // Rounded before the zero point is added, as QuantizeLinear does: a sum would lose the last bits of the quotient.
    const rounded = tape.op('Round', [tape.op('Div', [x, stepOf(tape, scale)])]);
    const code = clipped(tape, node, zero === '' ? rounded : tape.op('Add', [rounded, zero]));
    return [tape.op('Mul', [zero === '' ? code : tape.op('Sub', [code, zero]), stepOf(tape, scale)])];
  },
  gradient(site) {
    const { node, tape, dy } = site;
    const [, , zero = ''] = node.inputs;
    const at = position(tape, node.inputs);
    const bounded = clipped(tape, node, at);
    const inside = tape.op('Equal', [at, bounded]);
    const factor = number(node, 'gradient_scale', 1);
    const plain = node.attributes.estimator?.value === 'plain';
    const dx = plain ? dy : tape.op('Where', [inside, dy, tape.constant(0)]);
    const summed = (value: string, index: number): string => {
      const whole = unbroadcast(site, value, site.shape(0), site.shape(index));
      return factor === 1 ? whole : site.mul(whole, factor);
    };
    // Inside: code − position; outside: the code it was clipped to. Both are round(bounded) − position · inside.
    const offset = zero === '' ? bounded : site.sub(bounded, zero);
    const slope = (): string => {
      const code = tape.op('Round', [bounded]);
      const whole = zero === '' ? code : site.sub(code, zero);
      return tape.op('Where', [inside, site.sub(whole, offset), whole]);
    };
    return [
      site.wants(0) ? dx : undefined,
      site.wants(1) ? summed(site.mul(dy, slope()), 1) : undefined,
      zero !== '' && site.wants(2) ? summed(tape.op('Where', [inside, tape.constant(0), site.neg(site.mul(dy, node.inputs[1]))]), 2) : undefined,
    ];
  },
};

export interface FakeQuantizeOptions {
  /** Smallest and largest code. */
  readonly low: number;
  readonly high: number;
  /** Factor on the gradients of scale and zero; 1/√(count · high) in LSQ. */
  readonly gradientScale?: number;
  readonly estimator?: 'clipped' | 'plain';
}

/** Attributes of a FakeQuantize node. */
export const fakeQuantizeAttributes = ({ low, high, gradientScale = 1, estimator = 'clipped' }: FakeQuantizeOptions): Record<string, Attribute> => ({
  low: float(low), high: float(high), gradient_scale: float(gradientScale), estimator: string(estimator),
});

/** Appends x̂ of a value. */
export function appendFakeQuantize(tape: Tape, inputs: readonly [x: string, scale: string, zero?: string], options: FakeQuantizeOptions): string {
  return tape.node(fakeQuantize.op, inputs.filter((name) => name !== undefined) as string[], { domain: compositeDomain, attributes: fakeQuantizeAttributes(options) })[0];
}

