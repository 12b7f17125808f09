/**
 * Integers that can be read at fewer bits, as a float function (arXiv:2502.01199, section 3.1). A value is stored as
 * q = clip(round(x / s)) of `stored` bits and read as q' = clip(round(q / 2^d), low, high), x̂ = q' · s · 2^d. `rule` says how:
 * `round` twice, `floor` the second time (an arithmetic shift), or `direct`, from x without storing. The gradient is that of
 * learned step sizes (LSQ) at the step s · 2^d, for s as it stands.
 * Inputs: x, s, 2^d, low, high; the last three are single numbers, which the graph may compute. Attributes: `stored`, `rule`,
 * `count` (values that share a step: gradients of s are divided by √(count · high)).
 */
import { float, int, string } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import { unbroadcast } from '../../graph/gradient/site.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Node } from '../../graph/graph.ts';
import { smallestStep } from './fake-quantize.ts';

export type ReadRule = 'round' | 'floor' | 'direct';

const number = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);
const stepOf = (tape: Tape, scale: string): string => tape.op('Max', [scale, tape.constant(smallestStep)]);

/** q' of codes that are stored, held as float. */
export function appendRead(tape: Tape, stored: string, [factor, low, high]: readonly [factor: string, low: string, high: string], rule: Exclude<ReadRule, 'direct'>): string {
  return tape.op('Clip', [tape.op(rule === 'floor' ? 'Floor' : 'Round', [tape.op('Div', [stored, factor])]), low, high]);
}

export const doubleRound: Composite = {
  op: 'DoubleRound',
  expand(node, tape) {
    const [x, scale, factor, low, high] = node.inputs;
    const rule = String(node.attributes.rule?.value) as ReadRule;
    const step = stepOf(tape, scale);
    const coarse = tape.op('Mul', [step, factor]);
    if (rule === 'direct') return [tape.op('Mul', [tape.op('Clip', [tape.op('Round', [tape.op('Div', [x, coarse])]), low, high]), coarse])];
    const most = 2 ** (number(node, 'stored') - 1);
    const stored = tape.op('Clip', [tape.op('Round', [tape.op('Div', [x, step])]), tape.constant(-most), tape.constant(most - 1)]);
    return [tape.op('Mul', [appendRead(tape, stored, [factor, low, high], rule), coarse])];
  },
  gradient(site) {
    const { node, tape, dy } = site;
    const [x, scale, factor, low, high] = node.inputs;
    const at = tape.op('Div', [x, tape.op('Mul', [stepOf(tape, scale), factor])]);
    const bounded = tape.op('Clip', [at, low, high]);
    const inside = tape.op('Equal', [at, bounded]);
    const slope = (): string => {
      const code = tape.op('Round', [bounded]);
      return site.mul(dy, tape.op('Where', [inside, site.sub(code, at), code]));
    };
    const share = (): string => tape.op('Sqrt', [tape.op('Mul', [high, tape.constant(number(node, 'count'))])]);
    return [
      site.wants(0) ? site.only(inside, dy) : undefined,
      site.wants(1) ? tape.op('Div', [unbroadcast(site, slope(), site.shape(0), site.shape(1)), share()]) : undefined,
    ];
  },
};

export interface DoubleRoundOptions { readonly stored: number; readonly rule: ReadRule; readonly count: number }

/** Appends x̂ of a value. */
export function appendDoubleRound(tape: Tape, inputs: readonly [x: string, scale: string, factor: string, low: string, high: string], { stored, rule, count }: DoubleRoundOptions): string {
  return tape.node(doubleRound.op, inputs, { domain: compositeDomain, attributes: { stored: int(stored), rule: string(rule), count: float(count) } })[0];
}
