/**
 * One stored integer of `high` bits read at `low` bits by rounding twice (arXiv:2502.01199, section 3.1):
 * q = clip(round(x / s)), q' = clip(round(q / 2^d)), x̂ = q' · s · 2^d with d = high − low. The gradient is that of learned
 * step sizes at the coarser step. Inputs: x, scale. Attributes: `high`, `low`, `gradient_scale`, `second` (`round` or `floor`).
 */
import { float, int, string } from '../../graph/build.ts';
import type { Composite } from '../../graph/composite.ts';
import { unbroadcast } from '../../graph/gradient/site.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Attribute, Node } from '../../graph/graph.ts';

const number = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);
const within = (tape: Tape, value: string, bits: number): string => tape.op('Clip', [value, tape.constant(-(2 ** (bits - 1))), tape.constant(2 ** (bits - 1) - 1)]);

export const doubleRound: Composite = {
  op: 'DoubleRound',
  expand(node, tape) {
    const [x, scale] = node.inputs;
    const [high, low] = [number(node, 'high'), number(node, 'low')];
    const stored = within(tape, tape.op('Round', [tape.op('Div', [x, scale])]), high);
    if (high === low) return [tape.op('Mul', [stored, scale])];
    const shrunk = tape.op('Mul', [stored, tape.constant(2 ** (low - high))]);
    const code = within(tape, tape.op(node.attributes.second?.value === 'floor' ? 'Floor' : 'Round', [shrunk]), low);
    return [tape.op('Mul', [code, tape.op('Mul', [scale, tape.constant(2 ** (high - low))])])];
  },
  gradient(site) {
    const { node, tape, dy } = site;
    const [x, scale] = node.inputs;
    const [high, low] = [number(node, 'high'), number(node, 'low')];
    const at = tape.op('Div', [x, site.mul(scale, 2 ** (high - low))]);
    const bounded = within(tape, at, low);
    const inside = tape.op('Equal', [at, bounded]);
    const code = tape.op('Round', [bounded]);
    const slope = (): string => site.mul(tape.op('Where', [inside, site.sub(code, at), code]), number(node, 'gradient_scale') * 2 ** (high - low));
    return [
      site.wants(0) ? site.only(inside, dy) : undefined,
      site.wants(1) ? unbroadcast(site, site.mul(dy, slope()), site.shape(0), site.shape(1)) : undefined,
    ];
  },
};

/** Attributes of a DoubleRound node. */
export const doubleRoundAttributes = (high: number, low: number, gradientScale: number, second: 'round' | 'floor' = 'round'): Record<string, Attribute> =>
  ({ high: int(high), low: int(low), gradient_scale: float(gradientScale), second: string(second) });
