/**
 * Values rounded to symmetric integers by scales fixed beforehand, one or many per value, in standard operators:
 * round half to even of x / s, clipped, times s.
 */
import { float32Tensor, ints } from '../graph/build.ts';
import { extend } from '../graph/extend.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { sortNodes } from '../graph/traverse.ts';
import { floatTensor } from '../tensor-ref.ts';

export interface StaticScale {
  readonly value: string;
  readonly bits: number;
  /** Shape that broadcasts to the value's; [] for one scale. */
  readonly shape: readonly number[];
  readonly scales: Float32Array;
  /** Where many of the scales are equal, how they are gathered from fewer as the network is loaded. */
  readonly gathered?: GatheredScales;
}

/** Rows of a table [rows, width] by index, seen as `shape` and its axes brought into the order `perm`. */
export interface GatheredScales {
  readonly table: Float32Array;
  readonly width: number;
  readonly index: readonly number[];
  readonly shape: readonly number[];
  readonly perm: readonly number[];
}

/** Largest magnitudes → scales of `bits`-bit integers; what is always zero keeps the scale one. */
export const symmetricScales = (maxima: ArrayLike<number>, bits: number): Float32Array =>
  Float32Array.from(maxima, (max) => (max > 0 ? Math.fround(max) / (2 ** (bits - 1) - 1) : 1));

function gather(tape: Tape, name: string, { table, width, index, shape, perm }: GatheredScales): string {
  // Not a matrix, which would be taken for a table of embeddings and rounded.
  const rows = tape.op('Gather', [tape.weight(floatTensor(name, [table.length / width, 1, width], table)), tape.ints(index)]);
  return tape.op('Transpose', [tape.op('Reshape', [rows, tape.ints(shape)])], { perm: ints(perm) });
}

/** Every reader of each value sees it rounded; the values themselves keep their names. */
export function insertStaticScales(graph: Graph, scales: readonly StaticScale[]): Graph {
  const rounded = new Map<string, string>();
  const own = new Set<string>();
  const { graph: extended } = extend(graph, (tape) => {
    for (const { value, bits, shape, scales: values, gathered } of scales) {
      const scale = gathered !== undefined ? gather(tape, `${value}_scale`, gathered)
        : tape.weight(shape.length === 0 ? float32Tensor(`${value}_scale`, values[0]) : floatTensor(`${value}_scale`, shape, values));
      const top = 2 ** (bits - 1) - 1;
      const divided = tape.op('Div', [value, scale]);
      own.add(divided);
      rounded.set(value, tape.op('Mul', [tape.op('Clip', [tape.op('Round', [divided]), tape.constant(-top), tape.constant(top)]), scale]));
    }
  });
  const nodes = extended.nodes.map((node) => (own.has(node.outputs[0]) || !node.inputs.some((name) => rounded.has(name)) ? node
    : { ...node, inputs: node.inputs.map((name) => rounded.get(name) ?? name) }));
  const next = { ...extended, nodes };
  return { ...next, nodes: sortNodes(next) };
}
