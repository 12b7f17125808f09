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
import { GraphBuilder, int, ints } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { headName } from './llama-weights.ts';
import type { Mamba2Config } from './mamba2-config.ts';
import { convChannels, finalNormName, mamba2Layer } from './mamba2-weights.ts';
import { floatView, transposedView } from './weight-views.ts';

/** What a token that lies ahead adds to an exponent: its exponential is zero in every float type. */
const never = -1e30;
/** As far as an axis goes. */
const toEnd = 2 ** 31;

interface Context {
  readonly g: GraphBuilder;
  readonly config: Mamba2Config;
  readonly weight: (name: string) => TensorRef;
  /** Initializers that all layers share, by what they hold. */
  readonly shared: Map<string, string>;
  /** Number of tokens, [1], and the tokens that the last chunk lacks, as begin and end of a Pad. */
  readonly sequence: string;
  readonly missing: string;
  /** True where row i may see column j: j ≤ i within a chunk [chunk, chunk], j < i between chunks [chunks, chunks]. */
  readonly within: string;
  readonly between: string;
}

type Early = Pick<Context, 'g' | 'config' | 'shared'>;

const constant = ({ g, shared }: Pick<Context, 'g' | 'shared'>, kind: 'ints' | 'floats', values: number | readonly number[]): string => {
  const key = `${kind} ${JSON.stringify(values)}`;
  const known = shared.get(key) ?? g[kind](values, kind === 'ints' ? 'ints' : 'const');
  shared.set(key, known);
  return known;
};

/** `input_ids` [batch, sequence] → `logits` [batch, sequence, vocabulary]; `weight` gives the tensor of a name, matrices as [out, in]. */
export function mamba2Graph(name: string, config: Mamba2Config, weight: (name: string) => TensorRef, { lastLogits = false }: { readonly lastLogits?: boolean } = {}): Graph {
  const g = new GraphBuilder(name, 21);
  const { groups, stateSize } = config;
  g.metadata.set('mamba2', JSON.stringify({ groups, stateSize }));
  const shared = new Map<string, string>();
  const ids = g.input('input_ids', 'i64', ['batch', 'sequence']);
  const kept = lastLogits ? g.input('num_logits_to_keep', 'i64', []) : undefined;
  const c: Context = { g, config, weight, shared, ...chunking({ g, config, shared }, ids) };

  const table = g.weight(floatView(weight(config.embeddingName)));
  let x = g.op('Gather', [table, ids], {}, { name: '/backbone/embedding/Gather' });
  for (let index = 0; index < config.layerCount; index++) {
    const mixed = mix(c, index, scaled(c, normalized(c, x, mamba2Layer(index, 'norm')), mamba2Layer(index, 'norm')));
    x = g.op('Add', [x, mixed], {}, { name: `${path(mamba2Layer(index, 'residual'))}/Add` });
  }
  x = scaled(c, normalized(c, x, 'backbone.norm_f'), finalNormName.replace(/\.weight$/, ''));
  if (kept !== undefined) {
    // From −n to the end; −0 is the beginning, so that zero keeps all.
    const start = g.op('Unsqueeze', [g.op('Neg', [kept]), constant(c, 'ints', [0])]);
    x = g.op('Slice', [x, start, constant(c, 'ints', [toEnd]), constant(c, 'ints', [1])]);
  }
  const head = config.tied
    ? g.op('Transpose', [table], { perm: ints([1, 0]) }, { name: '/lm_head/Transpose' })
    : g.weight(transposedView(weight(headName)));
  g.output(g.op('MatMul', [x, head], {}, { name: '/lm_head/MatMul' }), 'logits', 'f32', ['batch', lastLogits ? 'kept' : 'sequence', config.vocabSize]);
  return g.graph();
}

/** `backbone.layers.0.mixer` → `/backbone/layers.0/mixer`. */
const path = (stem: string): string => `/${stem.replace(/layers\.(\d+)\./, 'layers.$1/').replaceAll(/\.(?!\d)/g, '/')}`;

function chunking(c: Early, ids: string): Pick<Context, 'sequence' | 'missing' | 'within' | 'between'> {
  const { g, config: { chunk } } = c;
  const sequence = g.op('Shape', [ids], { start: int(1), end: int(2) });
  const chunks = g.op('Div', [g.op('Add', [sequence, constant(c, 'ints', [chunk - 1])]), constant(c, 'ints', [chunk])]);
  const lacking = g.op('Sub', [g.op('Mul', [chunks, constant(c, 'ints', [chunk])]), sequence]);
  const places = g.op('Range', [constant(c, 'ints', 0), g.op('Squeeze', [chunks, constant(c, 'ints', [0])]), constant(c, 'ints', 1)]);
  const lower = Uint8Array.from({ length: chunk * chunk }, (_, i) => (i % chunk <= Math.floor(i / chunk) ? 1 : 0));
  return {
    sequence, missing: g.op('Concat', [constant(c, 'ints', [0]), lacking], { axis: int(0) }),
    within: g.weight(memoryTensor('mask', 'bool', [chunk, chunk], lower)),
    between: g.op('Less', [g.op('Unsqueeze', [places, constant(c, 'ints', [0])]), g.op('Unsqueeze', [places, constant(c, 'ints', [1])])]),
  };
}

/** x / sqrt(mean(x²) + ε) over the last axis. */
function normalized({ g, config, shared }: Early, x: string, stem: string): string {
  const node = path(stem);
  const square = g.op('Pow', [x, constant({ g, shared }, 'floats', 2)], {}, { name: `${node}/Pow` });
  const mean = g.op('ReduceMean', [square, constant({ g, shared }, 'ints', [-1])], { keepdims: int(1) }, { name: `${node}/ReduceMean` });
  const root = g.op('Sqrt', [g.op('Add', [mean, constant({ g, shared }, 'floats', config.epsilon)], {}, { name: `${node}/Add` })], {}, { name: `${node}/Sqrt` });
  return g.op('Div', [x, root], {}, { name: `${node}/Div` });
}

const scaled = ({ g, weight }: Context, x: string, stem: string, options: { readonly outputs?: readonly [string] } = {}): string =>
  g.op('Mul', [x, g.weight(floatView(weight(`${stem}.weight`)))], {}, { name: `${path(stem)}/Mul`, ...options });

function linear({ g, config, weight }: Context, x: string, stem: string): string {
  const product = g.op('MatMul', [x, g.weight(transposedView(weight(`${stem}.weight`)))], {}, { name: `${path(stem)}/MatMul` });
  return config.projectionBias ? g.op('Add', [product, g.weight(floatView(weight(`${stem}.bias`)))], {}, { name: `${path(stem)}/Add` }) : product;
}

const silu = (g: GraphBuilder, x: string, node: string): string => g.op('Mul', [x, g.op('Sigmoid', [x], {}, { name: `${node}/Sigmoid` })], {}, { name: `${node}/Mul` });

/** The mixer of one layer, [batch, sequence, hidden] → the same. */
function mix(c: Context, index: number, input: string): string {
  const { g, config, weight } = c;
  const { innerSize, heads, headDim, groups, stateSize, kernel, stepLimit: [low, high] } = config;
  const part = (name: string): string => mamba2Layer(index, `mixer.${name}`);
  const node = (name: string): string => path(part(name));
  const width = groups * stateSize;
  const [z, all, rawStep] = g.op('Split', [linear(c, input, part('in_proj')), constant(c, 'ints', [innerSize, convChannels(config), heads])], { axis: int(-1) },
    { name: node('in_proj/Split'), outputs: [part('z'), part('xBC'), part('dt_raw')] });

  const kernelInputs = [g.weight(floatView(weight(part('conv1d.weight')))), ...(config.convBias ? [g.weight(floatView(weight(part('conv1d.bias'))))] : [])];
  const turned = g.op('Transpose', [all], { perm: ints([0, 2, 1]) });
  const convolved = g.op('Conv', [turned, ...kernelInputs], { group: int(convChannels(config)), kernel_shape: ints([kernel]), pads: ints([kernel - 1, 0]) }, { name: node('conv1d/Conv') });
  const activated = g.op('Transpose', [silu(g, convolved, node('act'))], { perm: ints([0, 2, 1]) });
  const [x, B, C] = g.op('Split', [activated, constant(c, 'ints', [innerSize, width, width])], { axis: int(-1) },
    { name: node('conv1d/Split'), outputs: [part('x'), part('B'), part('C')] });

  let step = g.op('Softplus', [g.op('Add', [rawStep, g.weight(floatView(weight(part('dt_bias'))))])], {}, low > 0 || high < Infinity ? {} : { outputs: [part('dt')] });
  if (low > 0 || high < Infinity) step = g.op('Clip', [step, constant(c, 'floats', low), high < Infinity ? constant(c, 'floats', high) : ''], {}, { outputs: [part('dt')] });
  const rate = g.op('Neg', [g.op('Exp', [g.weight(floatView(weight(part('A_log'))))])]);

  const byHead = g.op('Reshape', [x, constant(c, 'ints', [0, 0, heads, headDim])]);
  const direct = g.op('Mul', [byHead, g.op('Unsqueeze', [g.weight(floatView(weight(part('D')))), constant(c, 'ints', [1])])]);
  const scanned = scan(c, part('state'), { x: g.op('Mul', [byHead, g.op('Unsqueeze', [step, constant(c, 'ints', [-1])])]), decay: g.op('Mul', [step, rate]), B, C });
  const y = g.op('Reshape', [g.op('Add', [scanned, direct]), constant(c, 'ints', [0, 0, innerSize])], {}, { outputs: [part('y')] });
  return linear(c, gatedNorm(c, part, g.op('Mul', [y, silu(g, z, node('gate'))])), part('out_proj'));
}

function gatedNorm(c: Context, part: (name: string) => string, x: string): string {
  const { g, config: { innerSize, normGroup } } = c;
  const stem = part('norm');
  const options = { outputs: [part('gated')] as const };
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
  const { g, config, sequence } = c;
  const { chunk, groups, heads, headDim, stateSize } = config;
  const perGroup = heads / groups;
  const number = (values: number | readonly number[]): string => constant(c, 'ints', values);
  const unsqueeze = (value: string, axis: number): string => g.op('Unsqueeze', [value, number([axis])]);
  const order = (value: string, perm: readonly number[]): string => g.op('Transpose', [value], { perm: ints(perm) });
  /** Zeros behind the last token change no state: they add nothing and leave all. */
  const chunked = (value: string, tail: readonly number[]): string =>
    g.op('Reshape', [g.op('Pad', [value, c.missing, '', number([1])]), number([0, -1, chunk, ...tail])]);
  const masked = (mask: string, rows: string, cols: string): string =>
    g.op('Exp', [g.op('Where', [mask, g.op('Sub', [unsqueeze(rows, -1), unsqueeze(cols, -2)]), constant(c, 'floats', never)])]);

  // [batch, chunks, groups, heads of a group, …]
  const values = order(chunked(x, [groups, perGroup, headDim]), [0, 1, 3, 4, 2, 5]);
  const sums = g.op('CumSum', [order(chunked(decay, [groups, perGroup]), [0, 1, 3, 4, 2]), number(-1)]);
  const read = unsqueeze(order(chunked(C, [groups, stateSize]), [0, 1, 3, 2, 4]), 3);
  const written = unsqueeze(order(chunked(B, [groups, stateSize]), [0, 1, 3, 4, 2]), 3);

  const scores = g.op('Mul', [g.op('MatMul', [read, written]), masked(c.within, sums, sums)]);
  const inside = g.op('MatMul', [scores, values]);

  const whole = g.op('Slice', [sums, number([-1]), number([toEnd]), number([-1])]);
  const left = unsqueeze(g.op('Exp', [g.op('Sub', [whole, sums])]), -1);
  const made = g.op('MatMul', [written, g.op('Mul', [values, left])]);
  const totals = order(g.op('Reshape', [whole, number([0, 0, heads])]), [0, 2, 1]);
  const carried = masked(c.between, g.op('CumSum', [totals, number(-1)], { exclusive: int(1) }), g.op('CumSum', [totals, number(-1)]));
  const states = g.op('MatMul', [carried, order(g.op('Reshape', [made, number([0, 0, heads, stateSize * headDim])]), [0, 2, 1, 3])]);
  const state = g.op('Reshape', [order(states, [0, 2, 1, 3]), number([0, 0, groups, perGroup, stateSize, headDim])], {}, { outputs: [stateName] });
  const before = g.op('Mul', [g.op('MatMul', [read, state]), unsqueeze(g.op('Exp', [sums]), -1)]);

  const y = g.op('Reshape', [order(g.op('Add', [inside, before]), [0, 1, 4, 2, 3, 5]), number([0, -1, heads, headDim])]);
  return g.op('Slice', [y, number([0]), sequence, number([1])]);
}
