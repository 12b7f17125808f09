/**
 * Language models in ONNX files that fewbit wrote: the file's note says which architecture it is, and which formats its
 * weights and the inputs of its layers have; nodes and tensors have the names that the graph's builder and the export give.
 */
import { defineErrors } from '../errors.ts';
import { isJsonObject, parseJson, type Json } from '../files/json.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { InputForm, LowRankBranch } from '../formats/coded.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { producers } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readLlamaConfig } from './llama-config.ts';
import { isMamba1, readMamba1Config } from './mamba1-config.ts';
import { mamba1Shapes } from './mamba1-weights.ts';
import { isMamba2, readMamba2Config } from './mamba2-config.ts';
import { mamba2Shapes } from './mamba2-weights.ts';
import { embeddingName, llamaShapes } from './llama-weights.ts';
import { onnxMatrix } from './onnx-matrices.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

const errors = defineErrors('onnxLanguage', {
  note: (f: { model: string }) => [`${f.model} says of no language model which one it is`, 'ONNX files of language models are read back where fewbit wrote them'] as const,
  changed: (f: { model: string }) => [`${f.model} holds a network that a recipe changed, which the low-bit engine does not run`, 'fewbit evaluate runs the file on ONNX Runtime; of state-space models the engine reads files whose weights alone were rounded'] as const,
  missing: (f: { model: string; name: string }) => `${f.model} has no tensor ${f.name}`,
  weight: (f: { model: string; name: string; format: string }) => [`${f.model} holds ${f.name} as ${f.format} in a way that is not read back`, 'write GGUF, or codes that MatMulNBits or tables hold'] as const,
  inputs: (f: { model: string; name: string; op: string }) => [`${f.model}: what ${f.name} multiplies goes through ${f.op}, which the low-bit engine does not carry out`, 'fewbit evaluate runs the file on ONNX Runtime'] as const,
});

/** Name of the note in the metadata of the file. */
export const languageNote = 'fewbit_language_model';

/** What a file says of itself. */
export interface LanguageNote {
  /** config.json of the model. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Formats by the names of weights: of the weights, and of what they multiply where that is rounded. */
  readonly weights: Readonly<Record<string, string>>;
  readonly inputs: Readonly<Record<string, string>>;
  /** The nodes are those of the architecture, but for how weights lie and how 8-bit inputs are rounded as the network runs. */
  readonly plain: boolean;
}

/** Notes have a line for each weight. */
const maxNoteBytes = 4_000_000;

const texts = (value: Json | undefined): Record<string, string> =>
  (value !== undefined && isJsonObject(value) ? Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) : {});

/** The model of a graph with a note; `close` closes its file. */
export function openOnnxLanguageModel(stored: Graph, name: string, tokenizer: TokenizerFiles | undefined, close: () => Promise<void> = async () => {}): LanguageModel {
  const graph = halvesByName(stored);
  const text = graph.metadata.get(languageNote);
  const note = text === undefined || text.length > maxNoteBytes ? undefined : parseJson(text, languageNote);
  if (note === undefined || !isJsonObject(note) || !isJsonObject(note.config)) throw errors.note({ model: name });
  const [weights, inputs] = [texts(note.weights), texts(note.inputs)];
  const { shapes, table, stateSpace } = architecture(note.config);
  // What a recipe puts around a scan is not followed here, as what it puts before a product of a Llama is.
  if (stateSpace && (note.plain !== true || Object.keys(inputs).length > 0)) throw errors.changed({ model: name });
  const makers = producers(graph);
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const tensors = new Map<string, TensorRef>();
  for (const [id, shape] of shapes) {
    const format = weights[id] === undefined ? undefined : parseFormat(weights[id]);
    // Paces of decay are two-dimensional in Mamba-1, and multiplied with nothing.
    if (shape.length !== 2 || id.endsWith('.A_log')) {
      const [channels, , kernel] = shape;
      const vector = graph.weights.get(id) ?? (kernel === undefined ? undefined : inShape(onnxMatrix(graph, id, [channels, kernel], format, undefined), shape));
      // Rotations take gains into the weights behind them.
      if (vector === undefined) throw note.plain === true ? errors.missing({ model: name, name: id }) : errors.changed({ model: name });
      tensors.set(id, vector);
      continue;
    }
    const [rows, cols] = shape;
    const product = id === table ? graph.nodes.find(({ op, inputs: [source] }) => (op === 'Gather' && (source === id || source === `${id}_half`)) || (op === 'GatherBlockQuantized' && source.startsWith(`${id}_q`))) : nodes.get(productOf(id)) ?? nodes.get(`${productOf(id)}_MatMulInteger`);
    const matrix = onnxMatrix(graph, id, [rows, cols], format, product);
    if (matrix === undefined) throw errors.weight({ model: name, name: id, format: weights[id] ?? 'float' });
    if (id === table || product === undefined || stateSpace) {
      tensors.set(id, matrix);
      continue;
    }
    const before = inputForm(graph, makers, product, { model: name, id, cols }, inputs[id]);
    const branch = branchOf(graph, nodes, id);
    tensors.set(id, before === undefined && branch === undefined ? matrix : {
      ...matrix, coded: { ...(matrix.coded ?? { read: async () => undefined }), ...(before === undefined ? {} : { inputs: before }), ...(branch === undefined ? {} : { branch }) },
    });
  }
  return languageModel({ name, rawConfig: note.config, tensors, tokenizer, lowBit: Object.keys(weights), close });
}

/** Tensors of an architecture, the name of its table, and whether its layers are scans. */
function architecture(config: Readonly<Record<string, Json>>): { shapes: ReadonlyMap<string, readonly number[]>; table: string; stateSpace: boolean } {
  if (isMamba2(config)) {
    const read = readMamba2Config(config);
    return { shapes: mamba2Shapes(read), table: read.embeddingName, stateSpace: true };
  }
  if (isMamba1(config)) {
    const read = readMamba1Config(config);
    return { shapes: mamba1Shapes(read), table: read.embeddingName, stateSpace: true };
  }
  return { shapes: llamaShapes(readLlamaConfig(config)), table: embeddingName, stateSpace: false };
}

/** A convolution of each channel by itself, as a matrix [channels, kernel] that lies in the shape of the operator. */
const inShape = (matrix: TensorRef | undefined, shape: readonly number[]): TensorRef | undefined => (matrix === undefined ? undefined : { ...matrix, shape });

/** Weights that the file holds in half precision, by the names that they had. */
const halvesByName = (graph: Graph): Graph => ({ ...graph, weights: new Map([...graph.weights].map(([name, tensor]) => [name.replace(/_half$/, ''), tensor])) });

/** Name of the node that multiplies a weight. */
const productOf = (id: string): string => `/${id.replace(/\.weight$/, '').replace(/layers\.(\d+)\./, 'layers.$1/').replaceAll(/\.(?!\d)/g, '/')}/MatMul`;

/** What lies between attention and its last product, and rounding to 8 bits by the runtime. */
const passed = new Set(['Identity', 'Reshape', 'Transpose', 'Cast', 'DynamicQuantizeLinear']);

/**
 * What happens to inputs before a node multiplies them, found on the way back along first inputs to where the layer gives
 * them: a norm, attention, or the product of gates. Undefined where nothing does.
 */
function inputForm(graph: Graph, makers: ReadonlyMap<string, Node>, product: Node, { model, id, cols }: { readonly model: string; readonly id: string; readonly cols: number }, format: string | undefined): InputForm | undefined {
  let found: { factors?: TensorRef; order?: TensorRef } = {};
  let value = product.inputs[0];
  for (;;) {
    const node = makers.get(value);
    if (node === undefined || isSource(node, id, makers)) break;
    const held = graph.weights.get(node.inputs[1]?.replace(/_half$/, '') ?? '');
    if (node.op === 'Gather' && node.name.endsWith('_sorted') && held !== undefined && found.order === undefined) found = { ...found, order: held };
    else if (node.op === 'Mul' && node.name.endsWith('_balanced') && held !== undefined && found.factors === undefined) found = { ...found, factors: held };
    else if (!passed.has(node.op) && !ofComposite(node)) throw errors.inputs({ model, name: id, op: node.name === '' ? node.op : node.name });
    value = node.inputs[0];
  }
  for (const held of [found.factors, found.order]) if (held !== undefined && held.shape.at(-1) !== cols) throw errors.inputs({ model, name: id, op: `${held.name} of ${held.shape.at(-1)} values` });
  if (found.order === undefined && found.factors === undefined && format === undefined) return undefined;
  const { factors, order } = found;
  return { ...(factors === undefined ? {} : { factors }), ...(order === undefined ? {} : { order }), ...(format === undefined ? {} : { format: parseFormat(format) }) };
}

/** Whether a node gives what a layer's matrix multiplies: of the down projection it is a product of two products, of the last of attention the one with values. */
function isSource(node: Node, id: string, makers: ReadonlyMap<string, Node>): boolean {
  if (/_norm\/Mul$|layernorm\/Mul$|^\/model\/norm\/Mul$/.test(node.name)) return true;
  if (id.includes('o_proj')) return node.name.endsWith('/mixed/MatMul');
  return id.includes('down_proj') && node.op === 'Mul' && !ofComposite(node) && node.inputs.every((input) => makers.has(input));
}

/** Nodes that a composite was written as: rounding to a format. */
const ofComposite = ({ name }: Node): boolean => /\/n(_\d+)?$/.test(name);

/** The float branch of low rank beside a product; the first factor may be shared with others of the same input. */
function branchOf({ weights }: Graph, nodes: ReadonlyMap<string, Node>, id: string): (() => Promise<LowRankBranch>) | undefined {
  const node = nodes.get(`${id}_branch`);
  if (node === undefined) return undefined;
  const up = weights.get(`${id}_up`);
  const down = weights.get(`${node.inputs[0].replace(/_low$/, '')}_down`);
  if (up === undefined || down === undefined) return undefined;
  const [rank, rows] = up.shape;
  const cols = down.shape[0];
  return async () => {
    const [U, D] = [await readFloats(up), await readFloats(down)];
    return {
      rank,
      up: Float32Array.from({ length: rows * rank }, (_, i) => U[(i % rank) * rows + Math.floor(i / rank)]),
      down: Float32Array.from({ length: rank * cols }, (_, i) => D[(i % cols) * rank + Math.floor(i / cols)]),
    };
  };
}

/** The note of a file. */
export const languageNoteOf = (config: LanguageNote['config'], weights: ReadonlyMap<string, NumberFormat>, inputs: ReadonlyMap<string, NumberFormat>, plain = false): string => {
  const names = (formats: ReadonlyMap<string, NumberFormat>): Record<string, string> => Object.fromEntries([...formats].map(([id, { name }]) => [id, name]));
  return JSON.stringify({ config, weights: names(weights), inputs: names(inputs), plain } satisfies LanguageNote);
};
