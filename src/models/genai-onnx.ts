/**
 * Language models in ONNX files of onnxruntime-genai's model builder, which folders for transformers.js hold too: weights are
 * found by the nodes that multiply them, whose names follow the layers of the Llama family; what the network is otherwise
 * is in config.json. A node of another kind is refused, so that what runs is what the file says.
 */
import { defineErrors } from '../errors.ts';
import type { Json } from '../files/json.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { producers } from '../graph/traverse.ts';
import { isFloatType } from '../graph/values.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readLlamaConfig } from './llama-config.ts';
import { embeddingName, headName, llamaShapes } from './llama-weights.ts';
import { packedMatrix } from './onnx-matrices.ts';
import { rowsOf } from './row-slices.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';
import { floatView, transposedView } from './weight-views.ts';

const errors = defineErrors('genai', {
  missing: (f: { model: string; name: string }) => `${f.model} multiplies by no ${f.name}`,
  weight: (f: { model: string; node: string; why: string }) => `${f.model}: the weight of ${f.node} is not read: ${f.why}`,
  node: (f: { model: string; node: string; why: string }) => [`${f.model}: ${f.node} ${f.why}`, 'fewbit evaluate runs the file on ONNX Runtime'] as const,
});

/** Nodes of such files: attention is one, norms take in the sums before them. */
export const isGenai = ({ nodes }: Graph): boolean => nodes.some(({ op }) => op === 'GroupQueryAttention') && nodes.some(({ name }) => /^\/model\/layers\.\d+\/attn\//.test(name));

/** What stands beside products and attention: masks, norms, gates, residuals. */
const passed = new Set(['ReduceSum', 'Sub', 'Cast', 'Shape', 'Gather', 'GatherBlockQuantized', 'Reshape', 'Transpose', 'Split', 'Sigmoid', 'Mul', 'SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization', 'RotaryEmbedding']);

/** The model of a graph, with the configuration that lies beside it. */
export function openGenaiLanguageModel(graph: Graph, given: Readonly<Record<string, Json>>, model: string, tokenizer: TokenizerFiles | undefined, close: () => Promise<void> = async () => {}): LanguageModel {
  const products = new Map(graph.nodes.filter(({ op }) => op === 'MatMulNBits' || op === 'MatMul').map((node) => [stemOf(node.name), node]));
  const biases = new Map(graph.nodes.filter(({ op, name }) => op === 'Add' && name.endsWith('_proj/Add')).map((node) => [node.name.slice(0, -'/Add'.length), node]));
  const table = graph.nodes.find(({ name, op }) => name.startsWith('/model/embed_tokens/') && op.startsWith('Gather'));
  if (table === undefined) throw errors.missing({ model, name: embeddingName });
  const [embedding, head] = [sourceOf(graph, table.inputs[0]), products.get('/lm_head')];
  // A head that is rounded by itself is no longer the table, whatever the float model had.
  const tied = head !== undefined && embedding === head.inputs[1];
  const { quantization_config: _, ...plain } = given;
  const rawConfig: Readonly<Record<string, Json>> = { ...plain, tie_word_embeddings: tied };
  const config = readLlamaConfig(rawConfig);
  const used = new Set<Node>();
  for (const node of graph.nodes) checkNode(node, model);

  /** Rows of a product's matrix, [out, in]. */
  const product = (node: Node, [rows, cols]: readonly [number, number]): TensorRef => {
    used.add(node);
    if (node.op === 'MatMulNBits') return nBits(graph, node, [rows, cols], model);
    const weight = graph.weights.get(node.inputs[1]);
    if (weight === undefined || !isFloatType(weight.type) || weight.shape[0] !== cols || weight.shape[1] !== rows) throw errors.weight({ model, node: node.name, why: `it is no float matrix [${cols}, ${rows}]` });
    return transposedView(weight);
  };
  const tensors = new Map<string, TensorRef>();
  const take = (name: string, tensor: TensorRef | undefined): void => {
    if (tensor === undefined) throw errors.missing({ model, name });
    tensors.set(name, { ...tensor, name });
  };
  const wide = new Map<string, { readonly node: Node; readonly first: number; readonly rows: number; readonly all: number }>();
  const [query, keyValue] = [config.heads * config.headDim, config.kvHeads * config.headDim];
  for (let i = 0; i < config.layers.length; i++) {
    const stem = `/model/layers.${i}/attn/qkv_proj`;
    const node = products.get(stem);
    if (node === undefined) continue;
    let first = 0;
    for (const [part, rows] of [['q', query], ['k', keyValue], ['v', keyValue]] as const) {
      wide.set(`/model/layers.${i}/attn/${part}_proj`, { node, first, rows, all: query + 2 * keyValue });
      first += rows;
    }
  }
  for (const [name, shape] of llamaShapes(config)) {
    const [rows, cols] = shape;
    const stem = stemFor(name);
    const joined = wide.get(stem);
    if (name === embeddingName) take(name, tied ? product(head, [rows, cols]) : tableOf(graph, table, embedding, [rows, cols], model));
    else if (name.endsWith('.bias')) {
      const node = biases.get(stem) ?? biases.get(stem.replace(/[qkv]_proj$/, 'qkv_proj'));
      const bias = node === undefined ? undefined : node.inputs.map((input) => graph.weights.get(input)).find((one) => one !== undefined);
      if (node !== undefined) used.add(node);
      take(name, bias === undefined || bias.shape[0] === rows ? bias : joined === undefined ? undefined : rowsOf(floatView(bias), joined.first, rows));
    } else if (shape.length === 1) take(name, graph.weights.get(normFor(name, config.layers.length)));
    else if (joined !== undefined) take(name, rowsOf(product(joined.node, [joined.all, cols]), joined.first, rows));
    else {
      const node = products.get(name === headName ? '/lm_head' : stem);
      take(name, node === undefined ? undefined : product(node, [rows, cols]));
    }
  }
  const idle = graph.nodes.find((node) => (node.op === 'MatMul' || node.op === 'MatMulNBits' || node.op === 'Add') && !used.has(node));
  if (idle !== undefined) throw errors.node({ model, node: idle.name, why: `is a ${idle.op} that has no place in a network of ${String(rawConfig.model_type)}` });
  return languageModel({ name: model, rawConfig, tensors, tokenizer, close });
}

/** `/model/layers.0/attn/q_proj/MatMul_Q4` → `/model/layers.0/attn/q_proj`. */
const stemOf = (name: string): string => name.replace(/\/MatMul(_Q\d)?$/, '');
/** `model.layers.0.self_attn.q_proj.weight` → the same. */
const stemFor = (name: string): string => `/${name.replace(/\.(weight|bias)$/, '').replace('self_attn', 'attn').replace(/layers\.(\d+)\./, 'layers.$1/').replaceAll(/\.(?!\d)/g, '/')}`;
/** The builder counts the last norm as one of the layer behind the last. */
const normFor = (name: string, layers: number): string =>
  (name === 'model.norm.weight' ? `model.layers.${layers}.final_norm_layernorm.weight` : name.replace('self_attn', 'attn').replace(/([qk]_norm)\.weight$/, '$1.layernorm.weight'));

const number = ({ attributes }: Node, name: string): number => { const found = attributes[name]; return found?.kind === 'int' || found?.kind === 'float' ? found.value : 0; };

function checkNode(node: Node, model: string): void {
  if (node.op === 'GroupQueryAttention') {
    const odd = [['softcap', 0], ['smooth_softmax', 0], ['rotary_interleaved', 0]].find(([name, usual]) => number(node, String(name)) !== usual);
    if (odd !== undefined) throw errors.node({ model, node: node.name, why: `has ${odd[0]}, which the low-bit engine does not carry out` });
  } else if (node.op === 'MatMulNBits') {
    if ((node.inputs[4] ?? '') !== '') throw errors.node({ model, node: node.name, why: 'has columns in another order, which is not read' });
  } else if (node.op !== 'MatMul' && node.op !== 'Add' && !passed.has(node.op)) throw errors.node({ model, node: node.name, why: `is a ${node.op}, which the low-bit engine does not carry out` });
}

/** The weight that a value is, turned or in another shape. */
function sourceOf(graph: Graph, value: string): string {
  const makers = producers(graph);
  let name = value;
  for (let node = makers.get(name); node !== undefined && (node.op === 'Transpose' || node.op === 'Reshape' || node.op === 'Cast'); node = makers.get(name)) [name] = node.inputs;
  return name;
}

function nBits({ weights }: Graph, node: Node, [rows, cols]: readonly [number, number], model: string): TensorRef {
  const [codes, scale, zero] = [1, 2, 3].map((at) => ((node.inputs[at] ?? '') === '' ? undefined : weights.get(node.inputs[at])));
  const [N, K, bits, block] = ['N', 'K', 'bits', 'block_size'].map((name) => number(node, name));
  if (codes === undefined || scale === undefined || N !== rows || K !== cols || bits < 2 || bits > 8) throw errors.weight({ model, node: node.name, why: `${bits} bits, [${N}, ${K}] where [${rows}, ${cols}] is multiplied` });
  if (zero !== undefined && zero.type !== 'u8') throw errors.weight({ model, node: node.name, why: `its zero points are ${zero.type}` });
  return packedMatrix(node.inputs[1], { codes, scale, zero }, { N, K, bits, block });
}

/** The table of embeddings, [vocabulary, hidden], floats or codes in groups of its columns. */
function tableOf(graph: Graph, node: Node, source: string, [rows, cols]: readonly [number, number], model: string): TensorRef {
  const stored = graph.weights.get(source);
  if (stored === undefined) throw errors.missing({ model, name: embeddingName });
  if (node.op === 'GatherBlockQuantized') {
    const [scale, zero] = [2, 3].map((at) => ((node.inputs[at] ?? '') === '' ? undefined : graph.weights.get(node.inputs[at])));
    const [bits, block] = [number(node, 'bits') || 4, number(node, 'block_size')];
    if (scale === undefined || stored.type !== 'u8' || (zero !== undefined && zero.type !== 'u8')) throw errors.weight({ model, node: node.name, why: `its codes are ${stored.type}` });
    return packedMatrix(source, { codes: stored, scale, zero }, { N: rows, K: cols, bits, block });
  }
  const floats = floatView(stored);
  if (stored.shape[0] === rows && stored.shape[1] === cols) return floats;
  if (stored.shape[0] === cols && stored.shape[1] === rows) return transposedView(stored);
  throw errors.weight({ model, node: node.name, why: `its shape is [${stored.shape.join(', ')}]` });
}
