/**
 * Activation checkpointing: the forward nodes between two kept values are copied in front of their backward nodes, which
 * then read the copies, so that nothing between the kept values has to live until then (Chen et al., arXiv:1604.06174).
 *
 * An engine would merge a copy with its original and run it early. One input of each copy that starts a chain therefore
 * passes through Where(condition, value, value), whose condition is read from the gradient that arrives: the same bits,
 * but not before that gradient is known, and never the same node.
 */
import { defineErrors } from '../../errors.ts';
import type { Graph, Node } from '../graph.ts';
import type { Fresh } from '../rewrite.ts';
import { bodies, usedNames } from '../traverse.ts';
import type { GraphTape } from './tape.ts';

const errors = defineErrors('recompute', {
  noBoundary: (f: { value: string }) => `no node makes the value ${f.value}, at which recomputation was to start`,
});

export interface RecomputationTools {
  readonly tape: GraphTape;
  readonly fresh: Fresh;
  /** Number of entries of a float value that may be held back; undefined for constants that must stay constant. */
  size(value: string): number | undefined;
  /** Notes that what is known of a value holds for its copy. */
  repeat(value: string, copy: string): void;
}

export class Recomputation {
  readonly #graph: Graph;
  readonly #tools: RecomputationTools;
  /** Segment of each node; the last one is run backward at once and keeps what it has. */
  readonly #segments: readonly number[];
  readonly #crossing: ReadonlySet<string>;
  readonly #opened = new Set<number>();
  readonly #copies = new Map<string, string>();
  readonly #nodes = new Map<number, Node>();
  /** First outputs of everything written here. */
  readonly #written = new Set<string>();

  /** `boundaries` are values that nodes make; what several segments use is kept as well. */
  constructor(graph: Graph, boundaries: readonly string[], tools: RecomputationTools) {
    this.#graph = graph;
    this.#tools = tools;
    const cuts = boundaries.map((value) => {
      const maker = graph.nodes.findIndex((node) => node.outputs.includes(value));
      if (maker < 0) throw errors.noBoundary({ value });
      return maker;
    });
    this.#segments = graph.nodes.map((_, i) => cuts.filter((cut) => cut < i).length);
    const home = new Map(graph.nodes.flatMap((node, i) => node.outputs.map((output): [string, number] => [output, this.#segments[i]])));
    const crossing = new Set([...boundaries, ...graph.outputs.map(({ name }) => name)]);
    graph.nodes.forEach((node, i) => {
      for (const name of usedNames(node)) if (home.has(name) && home.get(name) !== this.#segments[i]) crossing.add(name);
    });
    this.#crossing = crossing;
  }

  /** The copy of node `index`, where it has one. */
  copyOf(index: number): Node | undefined { return this.#nodes.get(index); }

  /** The nodes without copies that nothing reads; `kept` are values read from outside. */
  withoutUnused(nodes: readonly Node[], kept: Iterable<string>): Node[] {
    const used = new Set(kept);
    const left = nodes.toReversed().filter((node) => {
      if (this.#written.has(node.outputs[0]) && !node.outputs.some((output) => used.has(output))) return false;
      for (const name of usedNames(node)) used.add(name);
      return true;
    });
    return left.reverse();
  }

  /** Node `index` with copies in the place of what is computed again. */
  read(index: number): Node {
    const node = this.#graph.nodes[index];
    const name = (value: string): string => this.#copies.get(value) ?? value;
    return { ...node, inputs: node.inputs.map(name), outputs: node.outputs.map(name) };
  }

  /** The nodes that compute a segment again, when a gradient reaches it for the first time. */
  open(index: number, arriving: string, arrivingShape: readonly number[]): Node[] {
    const segment = this.#segments[index];
    if (segment === this.#segments.at(-1) || this.#opened.has(segment)) return [];
    this.#opened.add(segment);
    const { tape, fresh, size, repeat } = this.#tools;
    const entry = arrivingShape.length === 0 ? arriving
      : tape.op('Gather', [tape.op('Reshape', [arriving, tape.ints([-1])]), tape.ints(0)]);
    const condition = tape.op('Greater', [entry, tape.constant(0)]);
    const made = tape.take();
    const held = new Map<string, string>();
    this.#graph.nodes.forEach((node, i) => {
      if (this.#segments[i] !== segment || bodies(node).length > 0 || node.outputs.every((output) => output === '' || this.#crossing.has(output))) return;
      const inputs = node.inputs.map((input) => this.#copies.get(input) ?? held.get(input) ?? input);
      if (inputs.every((input, at) => input === node.inputs[at])) {
        const sizes = inputs.flatMap((input, at) => { const entries = size(input); return entries === undefined ? [] : [{ at, entries }]; });
        if (sizes.length === 0) return;
        const { at } = sizes.reduce((a, b) => (b.entries < a.entries ? b : a));
        const late = tape.op('Where', [condition, inputs[at], inputs[at]]);
        made.push(...tape.take());
        held.set(inputs[at], late);
        inputs[at] = late;
      }
      const outputs = node.outputs.map((output) => (output === '' ? '' : fresh(`${output}/again`)));
      node.outputs.forEach((output, at) => {
        if (output === '' || this.#crossing.has(output)) return;
        this.#copies.set(output, outputs[at]);
        repeat(output, outputs[at]);
      });
      const copy = { ...node, name: node.name === '' ? '' : fresh(`${node.name}/again`), inputs, outputs };
      this.#nodes.set(i, copy);
      made.push(copy);
    });
    for (const { outputs } of made) this.#written.add(outputs[0]);
    return made;
  }
}
