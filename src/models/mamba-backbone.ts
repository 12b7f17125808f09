/** What language models of stacked state-space mixers have in common: table, residual stream, norms, convolution, head. */
import type { TensorRef } from '../tensor-ref.ts';
import { GraphBuilder, int, ints } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { headName } from './llama-weights.ts';
import { floatView, transposedView } from './weight-views.ts';

export interface BackboneConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layerCount: number;
  /** Width of the causal convolution. */
  readonly kernel: number;
  readonly epsilon: number;
  readonly projectionBias: boolean;
  readonly convBias: boolean;
  readonly tied: boolean;
  readonly embeddingName: string;
}

export interface BackboneContext<C extends BackboneConfig> {
  readonly g: GraphBuilder;
  readonly config: C;
  /** The tensor of a name, matrices as [out, in]. */
  readonly weight: (name: string) => TensorRef;
  /** Initializers that all layers share, by what they hold. */
  readonly shared: Map<string, string>;
  readonly ids: string;
}

type Builder = Pick<BackboneContext<BackboneConfig>, 'g' | 'shared'>;
type Context = BackboneContext<BackboneConfig>;

export const mambaLayer = (index: number, part: string): string => `backbone.layers.${index}.${part}`;
export const finalNormName = 'backbone.norm_f.weight';

/** What a token that lies ahead adds to an exponent: its exponential is zero in every float type. */
export const never = -1e30;
/** As far as an axis goes. */
export const axisEnd = 2 ** 31;

export function constant({ g, shared }: Builder, kind: 'ints' | 'floats', values: number | readonly number[]): string {
  const key = `${kind} ${JSON.stringify(values)}`;
  const known = shared.get(key) ?? g[kind](values, kind === 'ints' ? 'ints' : 'const');
  shared.set(key, known);
  return known;
}

/** `input_ids` [batch, sequence] → `logits`; `open` writes what mixers share and returns what writes one mixer. */
export function backboneGraph<C extends BackboneConfig>(
  name: string, config: C, weight: (name: string) => TensorRef, { lastLogits = false }: { readonly lastLogits?: boolean },
  metadata: readonly [key: string, value: string], open: (context: BackboneContext<C>) => (index: number, input: string) => string,
): Graph {
  const g = new GraphBuilder(name, 21);
  g.metadata.set(...metadata);
  const shared = new Map<string, string>();
  const ids = g.input('input_ids', 'i64', ['batch', 'sequence']);
  const kept = lastLogits ? g.input('num_logits_to_keep', 'i64', []) : undefined;
  const c: BackboneContext<C> = { g, config, weight, shared, ids };
  const mix = open(c);

  const table = g.weight(floatView(weight(config.embeddingName)));
  let x = g.op('Gather', [table, ids], {}, { name: '/backbone/embedding/Gather' });
  for (let index = 0; index < config.layerCount; index++) {
    const mixed = mix(index, scaled(c, normalized(c, x, mambaLayer(index, 'norm')), mambaLayer(index, 'norm')));
    x = g.op('Add', [x, mixed], {}, { name: `${nodePath(mambaLayer(index, 'residual'))}/Add` });
  }
  const norm = finalNormName.replace(/\.weight$/, '');
  x = scaled(c, normalized(c, x, norm), norm);
  if (kept !== undefined) {
    // From −n to the end; −0 is the beginning, so that zero keeps all.
    const start = g.op('Unsqueeze', [g.op('Neg', [kept]), constant(c, 'ints', [0])]);
    x = g.op('Slice', [x, start, constant(c, 'ints', [axisEnd]), constant(c, 'ints', [1])]);
  }
  const head = config.tied
    ? g.op('Transpose', [table], { perm: ints([1, 0]) }, { name: '/lm_head/Transpose' })
    : g.weight(transposedView(weight(headName)));
  g.output(g.op('MatMul', [x, head], {}, { name: '/lm_head/MatMul' }), 'logits', 'f32', ['batch', lastLogits ? 'kept' : 'sequence', config.vocabSize]);
  return g.graph();
}

/** `backbone.layers.0.mixer` → `/backbone/layers.0/mixer`. */
export const nodePath = (stem: string): string => `/${stem.replace(/layers\.(\d+)\./, 'layers.$1/').replaceAll(/\.(?!\d)/g, '/')}`;

/** x / sqrt(mean(x²) + ε) over the last axis. */
export function normalized(c: Context, x: string, stem: string): string {
  const { g, config } = c;
  const node = nodePath(stem);
  const square = g.op('Pow', [x, constant(c, 'floats', 2)], {}, { name: `${node}/Pow` });
  const mean = g.op('ReduceMean', [square, constant(c, 'ints', [-1])], { keepdims: int(1) }, { name: `${node}/ReduceMean` });
  const root = g.op('Sqrt', [g.op('Add', [mean, constant(c, 'floats', config.epsilon)], {}, { name: `${node}/Add` })], {}, { name: `${node}/Sqrt` });
  return g.op('Div', [x, root], {}, { name: `${node}/Div` });
}

export const scaled = ({ g, weight }: Context, x: string, stem: string, options: { readonly outputs?: readonly [string] } = {}): string =>
  g.op('Mul', [x, g.weight(floatView(weight(`${stem}.weight`)))], {}, { name: `${nodePath(stem)}/Mul`, ...options });

export function linear({ g, config, weight }: Context, x: string, stem: string, bias = config.projectionBias): string {
  const product = g.op('MatMul', [x, g.weight(transposedView(weight(`${stem}.weight`)))], {}, { name: `${nodePath(stem)}/MatMul` });
  return bias ? g.op('Add', [product, g.weight(floatView(weight(`${stem}.bias`)))], {}, { name: `${nodePath(stem)}/Add` }) : product;
}

export const silu = (g: GraphBuilder, x: string, node: string): string => g.op('Mul', [x, g.op('Sigmoid', [x], {}, { name: `${node}/Sigmoid` })], {}, { name: `${node}/Mul` });

/** SiLU of a causal convolution of each channel over time, [batch, sequence, channels] → the same. */
export function causalConv({ g, config, weight }: Context, x: string, mixer: string, channels: number, options: { readonly outputs?: readonly [string] } = {}): string {
  const { kernel, convBias } = config;
  const weights = [g.weight(floatView(weight(`${mixer}.conv1d.weight`))), ...(convBias ? [g.weight(floatView(weight(`${mixer}.conv1d.bias`)))] : [])];
  const turned = g.op('Transpose', [x], { perm: ints([0, 2, 1]) });
  const convolved = g.op('Conv', [turned, ...weights], { group: int(channels), kernel_shape: ints([kernel]), pads: ints([kernel - 1, 0]) }, { name: nodePath(`${mixer}.conv1d.Conv`) });
  return g.op('Transpose', [silu(g, convolved, nodePath(`${mixer}.act`))], { perm: ints([0, 2, 1]) }, options);
}

/** Chunks of a sequence: how long it is, what the last chunk lacks, and which chunks come before which. */
export interface Chunking {
  readonly chunk: number;
  /** Number of tokens, [1]. */
  readonly sequence: string;
  /** Begin and end of a Pad along the sequence. */
  readonly missing: string;
  /** True where chunk j comes before chunk i, [chunks, chunks]. */
  readonly between: string;
}

export function chunking(c: Context, chunk: number): Chunking {
  const { g, ids } = c;
  const sequence = g.op('Shape', [ids], { start: int(1), end: int(2) });
  const chunks = g.op('Div', [g.op('Add', [sequence, constant(c, 'ints', [chunk - 1])]), constant(c, 'ints', [chunk])]);
  const lacking = g.op('Sub', [g.op('Mul', [chunks, constant(c, 'ints', [chunk])]), sequence]);
  const places = g.op('Range', [constant(c, 'ints', 0), g.op('Squeeze', [chunks, constant(c, 'ints', [0])]), constant(c, 'ints', 1)]);
  return {
    chunk, sequence, missing: g.op('Concat', [constant(c, 'ints', [0]), lacking], { axis: int(0) }),
    between: g.op('Less', [g.op('Unsqueeze', [places, constant(c, 'ints', [0])]), g.op('Unsqueeze', [places, constant(c, 'ints', [1])])]),
  };
}

/** [batch, sequence, …] → [batch, chunks, chunk, tail…]; zeros behind the last token change no state: they add nothing and leave all. */
export const chunked = (c: Context, { chunk, missing }: Chunking, value: string, tail: readonly number[]): string =>
  c.g.op('Reshape', [c.g.op('Pad', [value, missing, '', constant(c, 'ints', [1])]), constant(c, 'ints', [0, -1, chunk, ...tail])]);
