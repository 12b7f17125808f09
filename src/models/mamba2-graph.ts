/**
 * Mamba-2 as a graph of standard operators (opset 21), computed in float32. The recurrence over tokens is written in the
 * matrix form of state-space duality (arXiv:2405.21060, section 6): within a chunk of tokens a masked product like
 * attention's, between chunks one product with the decays of whole chunks. There is no loop, so the graph runs and is
 * differentiated like any other. Every sequence starts from an empty state.
 *
 * Weights keep their names. The parts of a block are values named after them: `backbone.layers.0.mixer.x`, `.z`, `.B`,
 * `.C`, `.dt`, `.state` (of each chunk at its beginning), `.y` and `.gated` (what the output projection multiplies).
 */
import { memoryTensor, type TensorRef } from '../tensor-ref.ts';
import { int, ints } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { axisEnd, backboneGraph, causalConv, chunked, chunking, constant, linear, mambaLayer, never, nodePath, normalized, scaled, silu, type BackboneContext, type Chunking } from './mamba-backbone.ts';
import type { Mamba2Config } from './mamba2-config.ts';
import { convChannels } from './mamba2-weights.ts';
import { floatView } from './weight-views.ts';

interface Context extends BackboneContext<Mamba2Config> {
  readonly chunks: Chunking;
  /** True where row i may see column j of a chunk: j ≤ i, [chunk, chunk]. */
  readonly within: string;
}

/** `weight` gives the tensor of a name. */
export function mamba2Graph(name: string, config: Mamba2Config, weight: (name: string) => TensorRef, options: { readonly lastLogits?: boolean } = {}): Graph {
  const { groups, stateSize, chunk } = config;
  return backboneGraph(name, config, weight, options, ['mamba2', JSON.stringify({ groups, stateSize })], (backbone) => {
    const lower = Uint8Array.from({ length: chunk * chunk }, (_, i) => (i % chunk <= Math.floor(i / chunk) ? 1 : 0));
    const c: Context = { ...backbone, chunks: chunking(backbone, chunk), within: backbone.g.weight(memoryTensor('mask', 'bool', [chunk, chunk], lower)) };
    return (index, input) => mix(c, index, input);
  });
}

/** The mixer of one layer, [batch, sequence, hidden] → the same. */
function mix(c: Context, index: number, input: string): string {
  const { g, config, weight } = c;
  const { innerSize, heads, headDim, groups, stateSize, stepLimit: [low, high] } = config;
  const mixer = mambaLayer(index, 'mixer');
  const part = (name: string): string => `${mixer}.${name}`;
  const own = (name: string): string => g.weight(floatView(weight(part(name))));
  const width = groups * stateSize;
  const [z, all, rawStep] = g.op('Split', [linear(c, input, part('in_proj')), constant(c, 'ints', [innerSize, convChannels(config), heads])], { axis: int(-1) },
    { name: nodePath(part('in_proj.Split')), outputs: [part('z'), part('xBC'), part('dt_raw')] });
  const [x, B, C] = g.op('Split', [causalConv(c, all, mixer, convChannels(config)), constant(c, 'ints', [innerSize, width, width])], { axis: int(-1) },
    { name: nodePath(part('conv1d.Split')), outputs: [part('x'), part('B'), part('C')] });

  const named = { outputs: [part('dt')] as const };
  const limited = low > 0 || high < Infinity;
  const positive = g.op('Softplus', [g.op('Add', [rawStep, own('dt_bias')])], {}, limited ? {} : named);
  const step = limited ? g.op('Clip', [positive, constant(c, 'floats', low), high < Infinity ? constant(c, 'floats', high) : ''], {}, named) : positive;
  const rate = g.op('Neg', [g.op('Exp', [own('A_log')])]);

  const byHead = g.op('Reshape', [x, constant(c, 'ints', [0, 0, heads, headDim])]);
  const direct = g.op('Mul', [byHead, g.op('Unsqueeze', [own('D'), constant(c, 'ints', [1])])]);
  const scanned = scan(c, part('state'), { x: g.op('Mul', [byHead, g.op('Unsqueeze', [step, constant(c, 'ints', [-1])])]), decay: g.op('Mul', [step, rate]), B, C });
  const y = g.op('Reshape', [g.op('Add', [scanned, direct]), constant(c, 'ints', [0, 0, innerSize])], {}, { outputs: [part('y')] });
  return linear(c, gatedNorm(c, mixer, g.op('Mul', [y, silu(g, z, nodePath(part('gate')))])), part('out_proj'));
}

function gatedNorm(c: Context, mixer: string, x: string): string {
  const { g, config: { innerSize, normGroup } } = c;
  const stem = `${mixer}.norm`;
  const options = { outputs: [`${mixer}.gated`] as const };
  if (normGroup === innerSize) return scaled(c, normalized(c, x, stem), stem, options);
  const grouped = g.op('Reshape', [x, constant(c, 'ints', [0, 0, innerSize / normGroup, normGroup])]);
  return scaled(c, g.op('Reshape', [normalized(c, grouped, stem), constant(c, 'ints', [0, 0, innerSize])]), stem, options);
}

interface Scan {
  /** dt · x, [batch, sequence, heads, headDim]. */
  readonly x: string;
  /** Logarithm of what a token leaves of the state, [batch, sequence, heads]. */
  readonly decay: string;
  /** [batch, sequence, groups × stateSize]. */
  readonly B: string;
  readonly C: string;
}

/** y_t = C_t S_t with S_t = exp(decay_t) S_(t−1) + B_t x_tᵀ, [batch, sequence, heads, headDim]. */
function scan(c: Context, stateName: string, { x, decay, B, C }: Scan): string {
  const { g, config, chunks, within } = c;
  const { groups, heads, headDim, stateSize } = config;
  const perGroup = heads / groups;
  const number = (values: number | readonly number[]): string => constant(c, 'ints', values);
  const unsqueeze = (value: string, axis: number): string => g.op('Unsqueeze', [value, number([axis])]);
  const order = (value: string, perm: readonly number[]): string => g.op('Transpose', [value], { perm: ints(perm) });
  const masked = (mask: string, rows: string, cols: string): string =>
    g.op('Exp', [g.op('Where', [mask, g.op('Sub', [unsqueeze(rows, -1), unsqueeze(cols, -2)]), constant(c, 'floats', never)])]);

  // [batch, chunks, groups, heads of a group, …]
  const values = order(chunked(c, chunks, x, [groups, perGroup, headDim]), [0, 1, 3, 4, 2, 5]);
  const sums = g.op('CumSum', [order(chunked(c, chunks, decay, [groups, perGroup]), [0, 1, 3, 4, 2]), number(-1)]);
  const read = unsqueeze(order(chunked(c, chunks, C, [groups, stateSize]), [0, 1, 3, 2, 4]), 3);
  const written = unsqueeze(order(chunked(c, chunks, B, [groups, stateSize]), [0, 1, 3, 4, 2]), 3);

  const scores = g.op('Mul', [g.op('MatMul', [read, written]), masked(within, sums, sums)]);
  const inside = g.op('MatMul', [scores, values]);

  const whole = g.op('Slice', [sums, number([-1]), number([axisEnd]), number([-1])]);
  const left = unsqueeze(g.op('Exp', [g.op('Sub', [whole, sums])]), -1);
  const made = g.op('MatMul', [written, g.op('Mul', [values, left])]);
  const totals = order(g.op('Reshape', [whole, number([0, 0, heads])]), [0, 2, 1]);
  const carried = masked(chunks.between, g.op('CumSum', [totals, number(-1)], { exclusive: int(1) }), g.op('CumSum', [totals, number(-1)]));
  const states = g.op('MatMul', [carried, order(g.op('Reshape', [made, number([0, 0, heads, stateSize * headDim])]), [0, 2, 1, 3])]);
  const state = g.op('Reshape', [order(states, [0, 2, 1, 3]), number([0, 0, groups, perGroup, stateSize, headDim])], {}, { outputs: [stateName] });
  const before = g.op('Mul', [g.op('MatMul', [read, state]), unsqueeze(g.op('Exp', [sums]), -1)]);

  const y = g.op('Reshape', [order(g.op('Add', [inside, before]), [0, 1, 4, 2, 3, 5]), number([0, -1, heads, headDim])]);
  return g.op('Slice', [y, number([0]), chunks.sequence, number([1])]);
}
