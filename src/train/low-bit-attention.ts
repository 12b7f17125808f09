/**
 * Attention of a graph as SageAttention2 computes it, in standard operators: queries and keys less their means in 4-bit or
 * 8-bit codes, the grouping that of threads, probabilities and values in E4M3. Products are of what codes stand for. Keys
 * that a mask hides after the product count in its means: that is exact too, any constant cancels.
 */
import { smoothedRows, tileKeys } from '../engine/kernels/attention.ts';
import { e4m3 } from '../formats/minifloat-code.ts';
import type { AttentionSite } from '../graph/attention.ts';
import { int } from '../graph/build.ts';
import { extend } from '../graph/extend.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { makeNode, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { spread } from '../round/low-bit-attention.ts';
import { appendFloatRounding } from './composites/float-rounding.ts';

export interface GraphAttention {
  readonly bits: 4 | 8;
  /** Whose means are taken out before rounding; default queries and keys. */
  readonly smooth?: { readonly queries: boolean; readonly keys: boolean; readonly values: boolean };
  /** Probabilities and values in E4M3; default true. */
  readonly fp8?: boolean;
}

/** The graph with these sites, by id, computed in low bits. */
export function lowBitAttentionGraph(graph: Graph, sites: ReadonlyMap<string, { readonly site: AttentionSite; readonly how: GraphAttention }>): Graph {
  const { graph: extended, result } = extend(graph, (tape) => new Map([...sites].map(([id, { site, how }]) => [id, appendLowBitAttention(tape, site, how)])));
  const nodes = extended.nodes.map((node) => {
    const made = sites.get(node.outputs[0])?.site.mixed === node ? result.get(node.outputs[0]) : undefined;
    return made === undefined ? node : makeNode('Identity', [made], node.outputs, { name: node.name });
  });
  return removeDeadNodes({ ...extended, nodes: sortNodes({ ...extended, nodes }) });
}

/** Appends the attention of a site beside it and returns the output. */
export function appendLowBitAttention(tape: Tape, { query, keys, values, between, scores }: AttentionSite, { bits, smooth = { queries: true, keys: true, values: false }, fp8 = true }: GraphAttention): string {
  const largest = 2 ** (bits - 1) - 1;
  const plainKeys = smooth.keys ? tape.op('Sub', [keys, mean(tape, keys, -1)]) : keys;
  let made = scoresOf(tape, query, plainKeys, encodedKeys(tape, plainKeys, largest), largest, smooth.queries);
  let before = scores.outputs[0];
  for (const node of between) {
    made = tape.op(node.op, node.inputs.map((name) => (name === before ? made : name)), node.attributes);
    before = node.outputs[0];
  }
  return mixedOf(tape, made, values, smooth.values, fp8);
}

const mean = (tape: Tape, value: string, axis: number): string => tape.op('ReduceMean', [value, tape.ints([axis])], { keepdims: int(1) });
const sizes = (tape: Tape, value: string, start: number, end?: number): string => tape.op('Shape', [value], { start: int(start), ...(end === undefined ? {} : { end: int(end) }) });
const joined = (tape: Tape, parts: readonly string[]): string => tape.op('Concat', parts, { axis: int(0) });

/** Zeros at the end of an axis, up to a multiple. */
function padded(tape: Tape, value: string, axis: number, multiple: number): string {
  const length = axis === -1 ? sizes(tape, value, -1) : sizes(tape, value, axis, axis + 1);
  const missing = tape.op('Mod', [tape.op('Neg', [length]), tape.ints([multiple])]);
  return tape.op('Pad', [value, joined(tape, [tape.ints([0]), missing]), '', tape.ints([axis])]);
}

/** What codes of groups stand for: half away from zero, the scale the largest over the largest code and a little. */
function rounded(tape: Tape, value: string, axes: readonly number[], largest: number): string {
  const size = tape.op('Abs', [value]);
  const top = tape.op('ReduceMax', [size, tape.ints(axes)], { keepdims: int(1) });
  const scale = tape.op('Add', [tape.op('Div', [top, tape.constant(largest)]), tape.constant(1e-7)]);
  const codes = tape.op('Floor', [tape.op('Add', [tape.op('Div', [size, scale]), tape.constant(0.5)])]);
  return tape.op('Mul', [tape.op('Mul', [codes, scale]), tape.op('Sign', [value])]);
}

/** [.., width, keys]; of 64 keys in order, 8 · a + 2 · g + e belongs to group g. */
function encodedKeys(tape: Tape, keys: string, largest: number): string {
  const [lead, width, count] = [sizes(tape, keys, 0, -2), sizes(tape, keys, -2, -1), sizes(tape, keys, -1)];
  const grouped = tape.op('Reshape', [padded(tape, keys, -1, tileKeys), joined(tape, [lead, width, tape.ints([-1, tileKeys / 8, 4, 2])])]);
  const flat = tape.op('Reshape', [rounded(tape, grouped, [-5, -3, -1], largest), joined(tape, [lead, width, tape.ints([-1])])]);
  return tape.op('Slice', [flat, tape.ints([0]), count, tape.ints([-1])]);
}

/** Scores [.., rows, keys] of queries [.., rows, width]: 128 at a time lose their mean, whose scores are put back; of 32, n and n + 8 share a scale. */
function scoresOf(tape: Tape, query: string, keys: string, encoded: string, largest: number, smooth: boolean): string {
  const [lead, rows, width] = [sizes(tape, query, 0, -2), sizes(tape, query, -2, -1), sizes(tape, query, -1)];
  const tiled = tape.op('Reshape', [padded(tape, query, -2, smoothedRows), joined(tape, [lead, tape.ints([-1, smoothedRows]), width])]);
  const wide = (value: string): string => tape.op('Unsqueeze', [value, tape.ints([-3])]);
  const round = (value: string): string => {
    const grouped = tape.op('Reshape', [value, joined(tape, [lead, tape.ints([-1, 4, 8]), width])]);
    return tape.op('Reshape', [rounded(tape, grouped, [-3, -1], largest), joined(tape, [lead, tape.ints([-1, smoothedRows]), width])]);
  };
  let made: string;
  if (smooth) {
    // One for each row that is there.
    const there = tape.op('Reshape', [padded(tape, tape.op('Expand', [tape.constant(1), rows]), -1, smoothedRows), tape.ints([-1, smoothedRows, 1])]);
    const counts = tape.op('ReduceSum', [there, tape.ints([-2])], { keepdims: int(1) });
    const means = tape.op('Div', [tape.op('ReduceSum', [tiled, tape.ints([-2])], { keepdims: int(1) }), counts]);
    const rest = tape.op('Mul', [tape.op('Sub', [tiled, means]), there]);
    made = tape.op('Add', [tape.op('MatMul', [round(rest), wide(encoded)]), tape.op('MatMul', [means, wide(keys)])]);
  } else {
    made = tape.op('MatMul', [round(tiled), wide(encoded)]);
  }
  return tape.op('Slice', [tape.op('Reshape', [made, joined(tape, [lead, tape.ints([-1]), sizes(tape, keys, -1)])]), tape.ints([0]), rows, tape.ints([-2])]);
}

/**
 * Probabilities times values. e^(s − top) is a probability over the largest of its row: it is rounded beside 448, and the
 * row's largest multiplies the sum.
 */
function mixedOf(tape: Tape, probabilities: string, values: string, smooth: boolean, fp8: boolean): string {
  const means = smooth ? mean(tape, values, -2) : undefined;
  const rest = means === undefined ? values : tape.op('Sub', [values, means]);
  const restored = (mixed: string): string => (means === undefined ? mixed : tape.op('Add', [mixed, means]));
  if (!fp8) return restored(tape.op('MatMul', [probabilities, rest]));
  const factor = tape.constant(spread);
  const tops = tape.op('ReduceMax', [probabilities, tape.ints([-1])], { keepdims: int(1) });
  const weights = appendFloatRounding(tape, tape.op('Mul', [tape.op('Div', [probabilities, tops]), factor]), e4m3);
  const largest = tape.op('ReduceMax', [tape.op('Abs', [rest]), tape.ints([-2])], { keepdims: int(1) });
  // A channel of zeros takes a scale that a half can hold.
  const scales = tape.op('Max', [tape.op('Div', [largest, tape.constant(e4m3.max)]), tape.constant(2 ** -24)]);
  const codes = appendFloatRounding(tape, tape.op('Div', [rest, scales]), e4m3);
  // Back in their own range before the product, which half floats can then hold.
  const mixed = tape.op('MatMul', [tape.op('Div', [weights, factor]), tape.op('Mul', [codes, scales])]);
  return restored(tape.op('Mul', [mixed, tops]));
}
