/**
 * Mamba (Mamba-1, arXiv:2312.00752) as a graph of standard operators (opset 21), computed in float32. Every channel and
 * state index decays at its own pace, so there is no form as one matrix product: within a chunk of tokens states are
 * joined over doubling distances (a parallel scan), between chunks by one sum with the decays of whole chunks. There is no
 * loop, so the graph runs and is differentiated like any other. Every sequence starts from an empty state.
 *
 * Weights keep their names. The parts of a block are values named after them: `backbone.layers.0.mixer.x`, `.z`, `.B`,
 * `.C`, `.dt_low` (what step sizes are projected from), `.dt`, `.state` (of every token), `.y` and `.gated` (what the output projection multiplies).
 */
import type { TensorRef } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { axisEnd, backboneGraph, causalConv, chunked, chunking, constant, linear, mambaLayer, never, nodePath, silu, type BackboneContext, type Chunking } from './mamba-backbone.ts';
import type { Mamba1Config } from './mamba1-config.ts';
import { floatView } from './weight-views.ts';

/** Tokens that are joined by doubling; longer chunks take more steps, shorter ones a larger sum between chunks. */
const chunk = 32;

interface Context extends BackboneContext<Mamba1Config> { readonly chunks: Chunking }

/** `weight` gives the tensor of a name. */
export function mamba1Graph(name: string, config: Mamba1Config, weight: (name: string) => TensorRef, options: { readonly lastLogits?: boolean } = {}): Graph {
  const { stateSize, stepRank } = config;
  return backboneGraph(name, config, weight, options, ['mamba', JSON.stringify({ stateSize, stepRank })], (backbone) => {
    const c: Context = { ...backbone, chunks: chunking(backbone, chunk) };
    return (index, input) => mix(c, index, input);
  });
}

/** The mixer of one layer, [batch, sequence, hidden] → the same. */
function mix(c: Context, index: number, input: string): string {
  const { g, config, weight } = c;
  const { innerSize, stateSize, stepRank } = config;
  const mixer = mambaLayer(index, 'mixer');
  const part = (name: string): string => `${mixer}.${name}`;
  const own = (name: string): string => g.weight(floatView(weight(part(name))));
  const number = (values: readonly number[]): string => constant(c, 'ints', values);
  const [before, z] = g.op('Split', [linear(c, input, part('in_proj')), number([innerSize, innerSize])], { axis: int(-1) }, { name: nodePath(part('in_proj.Split')), outputs: [part('xBC'), part('z')] });
  const x = causalConv(c, before, mixer, innerSize, { outputs: [part('x')] });
  const [low, B, C] = g.op('Split', [linear(c, x, part('x_proj'), false), number([stepRank, stateSize, stateSize])], { axis: int(-1) },
    { name: nodePath(part('x_proj.Split')), outputs: [part('dt_low'), part('B'), part('C')] });
  const step = g.op('Softplus', [linear(c, low, part('dt_proj'), true)], {}, { outputs: [part('dt')] });
  const rate = g.op('Neg', [g.op('Exp', [own('A_log')])]);
  const column = (value: string): string => g.op('Unsqueeze', [value, number([-1])]);
  const states = scan(c, part('state'), {
    decay: g.op('Mul', [column(step), rate]),
    added: g.op('Mul', [column(g.op('Mul', [step, x])), g.op('Unsqueeze', [B, number([2])])]),
  });
  // Seen from chunks: [batch, chunks, chunk, inner, state] times C of each token.
  const seen = g.op('Reshape', [g.op('MatMul', [states, chunked(c, c.chunks, C, [stateSize, 1])]), number([0, -1, innerSize])]);
  const scanned = g.op('Slice', [seen, number([0]), c.chunks.sequence, number([1])]);
  const y = g.op('Add', [scanned, g.op('Mul', [x, own('D')])], {}, { outputs: [part('y')] });
  return linear(c, g.op('Mul', [y, silu(g, z, nodePath(part('gate')))], {}, { outputs: [part('gated')] }), part('out_proj'));
}

interface Scan {
  /** Logarithm of what a token leaves of the state, [batch, sequence, inner, state]. */
  readonly decay: string;
  /** What it adds, of the same shape. */
  readonly added: string;
}

/** h_t = exp(decay_t) h_(t−1) + added_t, in chunks [batch, chunks, chunk, inner, state]. */
function scan(c: Context, name: string, { decay, added }: Scan): string {
  const { g, config: { innerSize, stateSize }, chunks } = c;
  const number = (values: number | readonly number[]): string => constant(c, 'ints', values);
  const tail = [innerSize, stateSize];
  const sums = g.op('CumSum', [chunked(c, chunks, decay, tail), number(2)]);
  let states = chunked(c, chunks, added, tail);
  for (let distance = 1; distance < chunk; distance *= 2) {
    // So many tokens later, zeros before the chunk: nothing arrives from there.
    const later = (value: string): string => g.op('Pad', [value, number([distance, -distance]), '', number([2])]);
    states = g.op('Add', [states, g.op('Mul', [g.op('Exp', [g.op('Sub', [sums, later(sums)])]), later(states)])]);
  }
  const last = (value: string): string => g.op('Squeeze', [g.op('Slice', [value, number([-1]), number([axisEnd]), number([2])]), number([2])]);
  const totals = last(sums);
  // [batch, chunk that reads, chunk that wrote, inner, state]
  const apart = g.op('Sub', [
    g.op('Unsqueeze', [g.op('CumSum', [totals, number(1)], { exclusive: int(1) }), number([2])]), g.op('Unsqueeze', [g.op('CumSum', [totals, number(1)]), number([1])]),
  ]);
  const before = g.op('Unsqueeze', [chunks.between, number([-2, -1])]);
  const carried = g.op('Exp', [g.op('Where', [before, apart, constant(c, 'floats', never)])]);
  const entering = g.op('ReduceSum', [g.op('Mul', [carried, g.op('Unsqueeze', [last(states), number([1])])]), number([2])], { keepdims: int(0) });
  return g.op('Add', [states, g.op('Mul', [g.op('Exp', [sums]), g.op('Unsqueeze', [entering, number([2])])])], {}, { outputs: [name] });
}
