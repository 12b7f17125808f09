/**
 * Attention of a whole text as it is with a cache of few bits: tokens that lie far enough back are seen as they come out
 * of it, the newest in float. Blocks of 32 tokens, scales and minima as halves, as the cache of the runtime has them.
 */
import { attentionSites } from '../graph/attention.ts';
import { int } from '../graph/build.ts';
import { extend } from '../graph/extend.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix } from '../graph/linear.ts';
import { redirectUses, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { memoryTensor } from '../tensor-ref.ts';

/** Tokens of a block, and newest ones that stay float at least. */
const block = 32;

export interface CacheRounding {
  readonly bits: number;
  /** What shares a scale of keys: a channel in a block of tokens, or the channels of a head in a token, as values always do. */
  readonly keys: 'channel' | 'token';
  /** Tokens of a text, a multiple of 32. */
  readonly length: number;
  /** Query heads that share keys; they lie one after another along the tokens. */
  readonly queries: number;
}

/** Tokens that the one at `position` reads in few bits: whole blocks, the newest left out. */
export const heldInFewBits = (position: number): number => block * Math.max(0, Math.floor((position + 1 - block) / block));

/** The graph of a Llama without a cache, as its texts are seen through one. */
export function withLowBitCache(graph: Graph, { bits, keys, length, queries }: CacheRounding): Graph {
  const { producers } = viewOf(graph);
  const { graph: extended, result: seen } = extend(graph, (tape) => {
    const held = tape.weight(memoryTensor('held', 'bool', [queries * length, length], heldMask(queries, length)));
    const product = (left: string, right: string): string => tape.op('MatMul', [left, right]);
    return new Map(attentionSites(graph).flatMap(({ query, keys: turned, values, between, scores, mixed }) => {
      const turn = producers.get(turned)!;
      const low = tape.op('Transpose', [appendRounding(tape, turn.inputs[0], bits, keys === 'channel')], turn.attributes);
      const both = tape.op('Where', [held, product(query, low), product(query, turned)]);
      const zero = tape.constant(0);
      const [weights] = between.at(-1)!.outputs;
      const old = product(tape.op('Where', [held, weights, zero]), appendRounding(tape, values, bits, false));
      return [[scores.outputs[0], both], [mixed.outputs[0], tape.op('Add', [old, product(tape.op('Where', [held, zero, weights]), values)])]] as const;
    }));
  });
  const next = redirectUses(extended, seen);
  return removeDeadNodes({ ...next, nodes: sortNodes(next) });
}

function heldMask(queries: number, length: number): Uint8Array {
  const mask = new Uint8Array(queries * length * length);
  for (let row = 0; row < queries * length; row++) mask.fill(1, row * length, row * length + heldInFewBits(row % length));
  return mask;
}

/** Values [batch, heads, tokens, channels] between minimum and maximum of each channel over a block of tokens, or of each token. */
function appendRounding(tape: Tape, value: string, bits: number, channel: boolean): string {
  const half = (x: string): string => tape.op('Cast', [tape.op('Cast', [x], { to: int(10) })], { to: int(1) });
  const x = channel ? tape.op('Reshape', [value, tape.op('Concat', [tape.ints([-1, block]), tape.op('Shape', [value], { start: int(3), end: int(4) })], { axis: int(0) })]) : value;
  const extreme = (op: string): string => tape.op(op, [x, tape.ints([channel ? -2 : -1])], { keepdims: int(1) });
  const [low, high] = [extreme('ReduceMin'), extreme('ReduceMax')];
  const levels = tape.constant(2 ** bits - 1);
  const scale = half(tape.op('Div', [tape.op('Sub', [high, low]), levels]));
  const minimum = half(low);
  const safe = tape.op('Where', [tape.op('Greater', [scale, tape.constant(0)]), scale, tape.constant(1)]);
  const code = tape.op('Clip', [tape.op('Round', [tape.op('Div', [tape.op('Sub', [x, minimum]), safe])]), tape.constant(0), levels]);
  const seen = tape.op('Add', [tape.op('Mul', [code, scale]), minimum]);
  return channel ? tape.op('Reshape', [seen, tape.op('Shape', [value])]) : seen;
}

/** The same float function with one pair of channels of every key head as many times larger, undone in the queries. */
export async function plantKeyOutliers(graph: Graph, headDim: number, gain: number): Promise<Graph> {
  let next = graph;
  for (const site of linearSites(graph)) {
    const factor = site.id.includes('k_proj') ? gain : site.id.includes('q_proj') ? 1 / gain : undefined;
    if (factor === undefined) continue;
    // Pairs (i, i + headDim / 2) turn together.
    const matrix = (await site.weightMatrix()).map((w, i) => (Math.floor(i / site.cols) % (headDim / 2) === 3 ? w * factor : w));
    next = withMatrix(next, site, matrix);
  }
  return next;
}
