/**
 * The Llama family as a graph of standard operators (opset 21), computed in float32. Weights keep their Hugging Face
 * names; each linear is one MatMul with the weight turned to [in, out], a view that is read from the stored [out, in].
 * A tied head multiplies by the Transpose of the embedding table, so that the file holds one copy.
 */
import type { TensorRef } from '../tensor-ref.ts';
import { GraphBuilder, int, ints, string } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import type { Activation, LlamaConfig } from './llama-config.ts';
import { embeddingName, headName, layerName } from './llama-weights.ts';
import { inverseFrequencies } from './rope.ts';
import { floatView, transposedView } from './weight-views.ts';

/**
 * Added to scores that must not be seen. Its exponential is zero beside any real score, and in half precision it is
 * exact and leaves room for the score itself: an infinity would turn rows that see nothing into NaN.
 */
const hidden = -30_000;

interface Context {
  readonly g: GraphBuilder;
  readonly config: LlamaConfig;
  readonly weight: (name: string) => TensorRef;
  /** Initializers that all layers share, by what they hold. */
  readonly shared: Map<string, string>;
  /** [batch or 1, sequence, 1, headDim / 2]. */
  readonly cos: string;
  readonly sin: string;
  /** [batch or 1, 1, group × sequence, total], by window. */
  readonly masks: Map<number | undefined, string>;
}

const constant = (c: Pick<Context, 'g' | 'shared'>, kind: 'ints' | 'floats', values: number | readonly number[]): string => {
  const key = `${kind} ${JSON.stringify(values)}`;
  const known = c.shared.get(key);
  if (known !== undefined) return known;
  const name = c.g[kind](values, kind === 'ints' ? 'ints' : 'const');
  c.shared.set(key, name);
  return name;
};

export interface LlamaGraphOptions {
  readonly cache: boolean;
  readonly lastLogits: boolean;
}

/** Builds the graph; `weight` gives the tensor of a Hugging Face name in Hugging Face layout. */
export function llamaGraph(name: string, config: LlamaConfig, weight: (name: string) => TensorRef, { cache, lastLogits }: LlamaGraphOptions): Graph {
  const g = new GraphBuilder(name, 21);
  const shared = new Map<string, string>();
  const ids = g.input('input_ids', 'i64', ['batch', 'sequence']);
  const attention = cache ? g.input('attention_mask', 'i64', ['batch', 'total']) : undefined;
  const positions = cache ? g.input('position_ids', 'i64', ['batch', 'sequence']) : undefined;
  const kept = lastLogits ? g.input('num_logits_to_keep', 'i64', []) : undefined;
  const kvShape = ['batch', config.kvHeads, 'past', config.headDim];
  const past = cache
    ? config.layers.map((_, i) => ({ key: g.input(`past_key_values.${i}.key`, 'f32', kvShape), value: g.input(`past_key_values.${i}.value`, 'f32', kvShape) }))
    : undefined;

  const table = g.weight(floatView(weight(embeddingName)));
  let x = g.op('Gather', [table, ids], {}, { name: '/model/embed_tokens/Gather' });
  const c: Context = { g, config, weight, shared, ...rotary({ g, config, shared }, ids, positions), masks: masks({ g, config, shared }, ids, attention) };
  config.layers.forEach((_, i) => {
    x = g.op('Add', [x, attend(c, i, norm(c, x, layerName(i, 'input_layernorm'), config.epsilon), past?.[i])]);
    x = g.op('Add', [x, feedForward(c, i, norm(c, x, layerName(i, 'post_attention_layernorm'), config.epsilon))]);
  });
  x = norm(c, x, 'model.norm', config.epsilon);
  if (kept !== undefined) {
    // From −n to the end; −0 is the beginning, so that zero keeps all.
    const start = g.op('Unsqueeze', [g.op('Neg', [kept]), constant(c, 'ints', [0])]);
    x = g.op('Slice', [x, start, constant(c, 'ints', [2 ** 31]), constant(c, 'ints', [1])]);
  }
  const head = config.tied
    ? g.op('Transpose', [table], { perm: ints([1, 0]) }, { name: '/lm_head/Transpose' })
    : g.weight(transposedView(weight(headName)));
  g.output(g.op('MatMul', [x, head], {}, { name: '/lm_head/MatMul' }), 'logits', 'f32', ['batch', lastLogits ? 'kept' : 'sequence', config.vocabSize]);
  return presentInOrder(g.graph());
}

/** Logits first, then the cache layer by layer. */
const presentInOrder = (graph: Graph): Graph => ({ ...graph, outputs: [graph.outputs.at(-1)!, ...graph.outputs.slice(0, -1)] });

const path = (weightStem: string): string => `/${weightStem.replace(/layers\.(\d+)\./, 'layers.$1/').replaceAll(/\.(?!\d)/g, '/')}`;

type Early = Pick<Context, 'g' | 'config' | 'shared'>;

const extent = ({ g, shared }: Early, value: string, axis: number): string =>
  g.op('Squeeze', [g.op('Shape', [value], { start: int(axis), end: int(axis + 1) }), constant({ g, shared }, 'ints', [0])]);

/** Cosine and sine of every position and pair. */
function rotary(c: Early, ids: string, positions: string | undefined): { cos: string; sin: string } {
  const { g, config } = c;
  const list = positions ?? g.op('Range', [constant(c, 'ints', 0), extent(c, ids, 1), constant(c, 'ints', 1)]);
  const column = g.op('Unsqueeze', [g.op('Cast', [list], { to: int(1) }), constant(c, 'ints', [-2, -1])]);
  const frequencies = g.floats([...inverseFrequencies(config.rope, config.headDim)], 'model.rotary_emb.inv_freq');
  const angles = g.op('Mul', [column, frequencies], {}, { name: '/model/rotary_emb/Mul' });
  const scale = config.rope.kind === 'yarn' ? config.rope.attentionFactor : 1;
  const turn = (op: 'Cos' | 'Sin'): string => {
    const value = g.op(op, [angles], {}, { name: `/model/rotary_emb/${op}` });
    return scale === 1 ? value : g.op('Mul', [value, constant(c, 'floats', scale)]);
  };
  return { cos: turn('Cos'), sin: turn('Sin') };
}

/** Zero where a query may look, `hidden` elsewhere; positions count from the start of the cache, padding included. */
function masks(c: Early, ids: string, attention: string | undefined): Map<number | undefined, string> {
  const { g, config } = c;
  const sequence = extent(c, ids, 1);
  const total = attention === undefined ? sequence : extent(c, attention, 1);
  const [zero, one] = [constant(c, 'ints', 0), constant(c, 'ints', 1)];
  const keys = g.op('Range', [zero, total, one]);
  const queries = g.op('Unsqueeze', [attention === undefined ? keys : g.op('Range', [g.op('Sub', [total, sequence]), total, one]), constant(c, 'ints', [1])]);
  const present = attention === undefined ? undefined
    : g.op('Unsqueeze', [g.op('Cast', [attention], { to: int(9) }), constant(c, 'ints', [1, 2])]);
  const causal = g.op('LessOrEqual', [keys, queries]);
  const group = config.heads / config.kvHeads;
  const made = new Map<number | undefined, string>();
  for (const { window } of config.layers) {
    if (made.has(window)) continue;
    const near = window === undefined ? causal
      : g.op('And', [causal, g.op('Greater', [keys, g.op('Sub', [queries, constant(c, 'ints', window)])])]);
    const seen = present === undefined ? near : g.op('And', [near, present]);
    const mask = g.op('Where', [seen, constant(c, 'floats', 0), constant(c, 'floats', hidden)]);
    const repeats = present === undefined ? [group, 1] : [1, 1, group, 1];
    made.set(window, group === 1 ? mask : g.op('Tile', [mask, constant(c, 'ints', repeats)]));
  }
  return made;
}

/** x / sqrt(mean(x²) + ε) × weight, over the last axis; in the form that ONNX Runtime recognises and fuses. */
function norm(c: Context, x: string, stem: string, epsilon: number): string {
  const { g } = c;
  const node = path(stem);
  const square = g.op('Pow', [x, constant(c, 'floats', 2)], {}, { name: `${node}/Pow` });
  const mean = g.op('ReduceMean', [square, constant(c, 'ints', [-1])], { keepdims: int(1) }, { name: `${node}/ReduceMean` });
  const root = g.op('Sqrt', [g.op('Add', [mean, constant(c, 'floats', epsilon)], {}, { name: `${node}/Add` })], {}, { name: `${node}/Sqrt` });
  return g.op('Mul', [g.op('Div', [x, root], {}, { name: `${node}/Div` }), g.weight(floatView(c.weight(`${stem}.weight`)))], {}, { name: `${node}/Mul` });
}

function linear(c: Context, x: string, stem: string, bias: boolean): string {
  const { g } = c;
  const product = g.op('MatMul', [x, g.weight(transposedView(c.weight(`${stem}.weight`)))], {}, { name: `${path(stem)}/MatMul` });
  return bias ? g.op('Add', [product, g.weight(floatView(c.weight(`${stem}.bias`)))], {}, { name: `${path(stem)}/Add` }) : product;
}

/** Turns each pair (i, i + headDim / 2) of [batch, sequence, heads, headDim] by its angle. */
function rotate(c: Context, x: string): string {
  const { g, cos, sin } = c;
  const [first, second] = g.op('Split', [x], { axis: int(-1), num_outputs: int(2) }, { outputs: 2 });
  const left = g.op('Sub', [g.op('Mul', [first, cos]), g.op('Mul', [second, sin])]);
  const right = g.op('Add', [g.op('Mul', [second, cos]), g.op('Mul', [first, sin])]);
  return g.op('Concat', [left, right], { axis: int(-1) });
}

/**
 * Grouped-query attention without repeating keys and values: the queries of a group are stacked along the sequence,
 * [batch, kvHeads, group × sequence, headDim].
 */
function attend(c: Context, index: number, x: string, past: { readonly key: string; readonly value: string } | undefined): string {
  const { g, config } = c;
  const { heads, kvHeads, headDim } = config;
  const stem = (part: string): string => layerName(index, `self_attn.${part}`);
  const { rope, window } = config.layers[index];
  const project = (part: 'q' | 'k', count: number): string => {
    let value = g.op('Reshape', [linear(c, x, stem(`${part}_proj`), config.qkvBias), constant(c, 'ints', [0, 0, count, headDim])]);
    if (config.qkNorm) value = norm(c, value, stem(`${part}_norm`), config.epsilon);
    return rope ? rotate(c, value) : value;
  };
  const headsFirst = (value: string): string => g.op('Transpose', [value], { perm: ints([0, 2, 1, 3]) });

  let query = headsFirst(g.op('Mul', [project('q', heads), constant(c, 'floats', 1 / Math.sqrt(headDim))]));
  if (heads !== kvHeads) query = g.op('Reshape', [query, constant(c, 'ints', [0, kvHeads, -1, headDim])]);
  let key = headsFirst(project('k', kvHeads));
  let value = headsFirst(g.op('Reshape', [linear(c, x, stem('v_proj'), config.qkvBias), constant(c, 'ints', [0, 0, kvHeads, headDim])]));
  if (past !== undefined) {
    const shape = ['batch', kvHeads, 'total', headDim];
    const extend = (kind: 'key' | 'value', now: string): string =>
      g.output(g.op('Concat', [past[kind], now], { axis: int(2) }), `present.${index}.${kind}`, 'f32', shape);
    key = extend('key', key);
    value = extend('value', value);
  }
  const scores = g.op('MatMul', [query, g.op('Transpose', [key], { perm: ints([0, 1, 3, 2]) })], {}, { name: `${path(stem('scores'))}/MatMul` });
  const weights = g.op('Softmax', [g.op('Add', [scores, c.masks.get(window)!])], { axis: int(-1) }, { name: `${path(stem('weights'))}/Softmax` });
  let mixed = g.op('MatMul', [weights, value], {}, { name: `${path(stem('mixed'))}/MatMul` });
  if (heads !== kvHeads) mixed = g.op('Reshape', [mixed, constant(c, 'ints', [0, heads, -1, headDim])]);
  return linear(c, g.op('Reshape', [headsFirst(mixed), constant(c, 'ints', [0, 0, heads * headDim])]), stem('o_proj'), config.outputBias);
}

const activate: Readonly<Record<Activation, (g: GraphBuilder, x: string) => string>> = {
  silu: (g, x) => g.op('Mul', [x, g.op('Sigmoid', [x])]),
  gelu: (g, x) => g.op('Gelu', [x]),
  gelu_tanh: (g, x) => g.op('Gelu', [x], { approximate: string('tanh') }),
  relu: (g, x) => g.op('Relu', [x]),
};

function feedForward(c: Context, index: number, x: string): string {
  const { g, config } = c;
  const part = (name: string, input: string): string => linear(c, input, layerName(index, `mlp.${name}`), config.mlpBias);
  const gate = activate[config.activation](g, part('gate_proj', x));
  return part('down_proj', g.op('Mul', [gate, part('up_proj', x)]));
}
