/**
 * LSTM, GRU and RNN as one step of ordinary operators after another, which have gradients. Products with the inputs of all
 * steps are made at once. Lengths must be known and equal.
 */
import { defineErrors } from '../../errors.ts';
import { int, ints } from '../build.ts';
import type { Graph, Node } from '../graph.ts';
import { freshNames } from '../rewrite.ts';
import { label, viewOf } from '../traverse.ts';
import { GraphTape } from './tape.ts';

const errors = defineErrors('unroll', {
  setting: (f: { op: string; node: string; setting: string }) => `no gradient rule for ${f.op} with ${f.setting} (${f.node})`,
  shape: (f: { node: string; value: string }) => [`the shape of ${f.value} (${f.node}) is not known`, 'bind the symbolic dimensions of the inputs first'],
});

/** What one direction multiplies states with, [H, G·H], and adds to the products, [G·H] or none; its activations. */
interface Direction { readonly states: string; readonly stateBias: string; readonly activations: readonly string[] }
/** Projected inputs [N, G·H] of a step and the states before it, to the states after it. */
type Step = (own: Unroller, projected: string, state: readonly string[], direction: Direction) => readonly string[];

interface Kind { readonly gates: number; readonly activations: readonly string[]; readonly states: number; readonly step: Step }

const lstm: Step = (own, projected, [h, c], direction) => {
  const [i, o, f, g] = own.parts(own.sum(projected, own.recurrent(h, direction)), 4);
  const [gate, inner, outer] = direction.activations;
  const cell = own.op('Add', [own.op('Mul', [own.act(gate, f), c]), own.op('Mul', [own.act(gate, i), own.act(inner, g)])]);
  return [own.op('Mul', [own.act(gate, o), own.act(outer, cell)]), cell];
};

const gru: Step = (own, projected, [h], direction) => {
  const [gate, inner] = direction.activations;
  const [xz, xr, xh] = own.parts(projected, 3);
  const [hz, hr, hh] = own.parts(own.recurrent(h, direction), 3);
  const [z, r] = [own.act(gate, own.sum(xz, hz)), own.act(gate, own.sum(xr, hr))];
  const fresh = own.act(inner, own.sum(xh, own.isLinearFirst ? own.op('Mul', [r, hh]) : own.recurrentPart(own.op('Mul', [r, h]), direction, 2)));
  return [own.op('Add', [fresh, own.op('Mul', [z, own.op('Sub', [h, fresh])])])];
};

const rnn: Step = (own, projected, [h], direction) => [own.act(direction.activations[0], own.sum(projected, own.recurrent(h, direction)))];

const kinds: Readonly<Record<string, Kind>> = {
  LSTM: { gates: 4, activations: ['Sigmoid', 'Tanh', 'Tanh'], states: 2, step: lstm },
  GRU: { gates: 3, activations: ['Sigmoid', 'Tanh'], states: 1, step: gru },
  RNN: { gates: 1, activations: ['Tanh'], states: 1, step: rnn },
};
/** Activations that need no parameters. */
const plain = new Set(['Sigmoid', 'Tanh', 'Relu', 'Softsign', 'Softplus']);

const kindOf = ({ op, domain }: Node): Kind | undefined => (domain === '' && Object.hasOwn(kinds, op) ? kinds[op] : undefined);

/** The graph, whose types and shapes are noted, with recurrent nodes written out; undefined where there are none. */
export function unrolled(graph: Graph): Graph | undefined {
  if (!graph.nodes.some((node) => kindOf(node) !== undefined)) return undefined;
  const view = viewOf(graph);
  const tape = new GraphTape(freshNames(graph));
  const nodes = graph.nodes.flatMap((node) => {
    const kind = kindOf(node);
    if (kind === undefined) return [node];
    new Unroller(node, kind, tape, (value) => {
      const shape = view.info(value)?.shape;
      if (shape === undefined || !shape.every((dim) => typeof dim === 'number')) throw errors.shape({ node: label(node), value });
      return shape as readonly number[];
    }).write();
    return tape.take();
  });
  return { ...graph, nodes, weights: new Map([...graph.weights, ...tape.weights]) };
}

class Unroller {
  readonly #node: Node;
  readonly #kind: Kind;
  readonly #tape: GraphTape;
  readonly #size: { readonly steps: number; readonly batch: number; readonly hidden: number };

  constructor(node: Node, kind: Kind, tape: GraphTape, shapeOf: (value: string) => readonly number[]) {
    this.#node = node;
    this.#kind = kind;
    this.#tape = tape;
    const without = (setting: string): Error => errors.setting({ op: node.op, node: label(node), setting });
    if ((node.inputs[4] ?? '') !== '') throw without('lengths of its own for every sequence');
    if ((node.inputs[7] ?? '') !== '') throw without('peepholes');
    for (const setting of ['clip', 'activation_alpha', 'activation_beta']) if (node.attributes[setting] !== undefined) throw without(setting);
    if (node.attributes.input_forget?.value === 1) throw without('input_forget');
    const unknown = this.#allActivations().find((name) => !plain.has(name));
    if (unknown !== undefined) throw without(`activation ${unknown}`);
    // No engine at hand runs the other one.
    if (node.attributes.layout?.value === 1) throw without('layout 1');
    const [steps, batch] = shapeOf(node.inputs[0]);
    this.#size = { steps, batch, hidden: shapeOf(node.inputs[2])[2] };
  }

  #allActivations(): readonly string[] {
    const named = this.#node.attributes.activations;
    return named?.kind === 'strings' ? named.value : [...this.#kind.activations, ...this.#kind.activations];
  }

  /** A GRU that multiplies the state by its matrix before it is reset. */
  get isLinearFirst(): boolean { return this.#node.attributes.linear_before_reset?.value === 1; }

  op(type: string, inputs: readonly string[]): string { return this.#tape.op(type, inputs); }
  act(name: string, value: string): string { return this.op(name, [value]); }
  sum(a: string, b: string): string { return this.op('Add', [a, b]); }
  /** [N, count · H] as `count` gates. */
  parts(value: string, count: number): string[] {
    return this.#tape.node('Split', [value], { attributes: { axis: int(-1), num_outputs: int(count) }, outputs: count });
  }
  /** State [N, H] · matrix + bias. */
  recurrent(h: string, { states, stateBias }: Direction): string {
    const product = this.op('MatMul', [h, states]);
    return stateBias === '' ? product : this.sum(product, stateBias);
  }
  /** The same for one gate alone. */
  recurrentPart(h: string, { states, stateBias }: Direction, gate: number): string {
    const { hidden } = this.#size;
    const cut = (value: string): string => this.op('Slice', [value, this.#tape.ints([gate * hidden]), this.#tape.ints([(gate + 1) * hidden]), this.#tape.ints([-1])]);
    const product = this.op('MatMul', [h, cut(states)]);
    return stateBias === '' ? product : this.sum(product, cut(stateBias));
  }

  /** One entry of the first axis. */
  #at(value: string, index: number): string { return this.#tape.op('Gather', [value, this.#tape.ints(index)]); }
  #turned(value: string, perm: readonly number[]): string { return this.#tape.op('Transpose', [value], { perm: ints(perm) }); }

  /** Writes the node's outputs under their names. */
  write(): void {
    const { outputs, attributes } = this.#node;
    const tape = this.#tape;
    const way = String(attributes.direction?.value ?? 'forward');
    const reversed = way === 'bidirectional' ? [false, true] : [way === 'reverse'];
    const runs = reversed.map((isReversed, direction) => this.#run(direction, isReversed));
    const joined = (values: readonly string[], axis: number): string => tape.op('Concat', values.map((value) => tape.op('Unsqueeze', [value, tape.ints([axis])])), { axis: int(axis) });
    const put = (index: number, value: () => string): void => { if ((outputs[index] ?? '') !== '') tape.named('Identity', [value()], outputs[index]); };
    // [T, D, N, H], then [D, N, H].
    put(0, () => joined(runs.map(({ all }) => joined(all, 0)), 1));
    for (let state = 0; state < this.#kind.states; state++) put(1 + state, () => joined(runs.map(({ last }) => last[state]), 0));
  }

  /** One direction: the state [N, H] after every step, in the order of the sequence, and all states after the last. */
  #run(direction: number, isReversed: boolean): { readonly all: readonly string[]; readonly last: readonly string[] } {
    const { inputs } = this.#node;
    const { steps, batch, hidden } = this.#size;
    const { gates, activations } = this.#kind;
    const tape = this.#tape;
    const bias = (inputs[3] ?? '') === '' ? undefined : this.#at(inputs[3], direction);
    const half = (index: number): string => (bias === undefined ? '' : tape.op('Slice', [bias, tape.ints([index * gates * hidden]), tape.ints([(index + 1) * gates * hidden])]));
    const own: Direction = { states: this.#turned(this.#at(inputs[2], direction), [1, 0]), stateBias: half(1), activations: this.#allActivations().slice(direction * activations.length) };
    const product = tape.op('MatMul', [inputs[0], this.#turned(this.#at(inputs[1], direction), [1, 0])]);
    const projected = bias === undefined ? product : this.sum(product, half(0));
    let state: readonly string[] = Array.from({ length: this.#kind.states }, (_, i) => ((inputs[5 + i] ?? '') === ''
      ? tape.op('Expand', [tape.constant(0), tape.ints([batch, hidden])])
      : this.#at(inputs[5 + i], direction)));
    const all = Array<string>(steps).fill('');
    for (let count = 0; count < steps; count++) {
      const step = isReversed ? steps - 1 - count : count;
      state = this.#kind.step(this, this.#at(projected, step), state, own);
      [all[step]] = state;
    }
    return { all, last: state };
  }
}
