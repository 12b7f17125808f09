/**
 * Runs of `order` values along an axis multiplied by the normalised Hadamard matrix, which is its own inverse and its own
 * gradient. Attributes: `axis` (−1, or 0 for a matrix [in, out]), `order`, `width` (extent of the axis).
 */
import { floatTensor } from '../../tensor-ref.ts';
import { int } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import type { Node } from '../../graph/graph.ts';
import { hadamardMatrix } from '../../numeric/hadamard.ts';

const number = (node: Node, name: string): number => Number(node.attributes[name]?.value ?? 0);

/** Constants written on a tape already, by order: a model needs one or two matrices, not one for each layer. */
const written = new WeakMap<Tape, Map<number, string>>();

function matrixOf(tape: Tape, order: number): string {
  const known = written.get(tape) ?? new Map<number, string>();
  written.set(tape, known);
  let name = known.get(order);
  if (name === undefined) known.set(order, name = tape.weight(floatTensor('hadamard', [order, order], hadamardMatrix(order))));
  return name;
}

function transform(tape: Tape, value: string, node: Node): string {
  const [axis, order, width] = [number(node, 'axis'), number(node, 'order'), number(node, 'width')];
  const matrix = matrixOf(tape, order);
  const multiply = (x: string): string => tape.op('MatMul', axis === 0 ? [matrix, x] : [x, matrix]);
  if (order === width) return multiply(value);
  const runs = tape.op('Reshape', [value, tape.ints(axis === 0 ? [width / order, order, -1] : [-1, order])]);
  return tape.op('Reshape', [multiply(runs), tape.op('Shape', [value])]);
}

export const blockHadamard: Composite = {
  op: 'BlockHadamard',
  expand: (node, tape) => [transform(tape, node.inputs[0], node)],
  gradient: ({ node, tape, dy }) => [transform(tape, dy, node)],
};

export interface HadamardPlace { readonly axis: number; readonly order: number; readonly width: number }

/** Appends the rotation of a value. */
export const appendHadamard = (tape: Tape, value: string, { axis, order, width }: HadamardPlace): string =>
  tape.node(blockHadamard.op, [value], { domain: compositeDomain, attributes: { axis: int(axis), order: int(order), width: int(width) } })[0];
