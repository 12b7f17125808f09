/** A model as the job sees it, whatever it was read from. */
import { elementCount, isBlockType, type TensorRef } from '../tensor-ref.ts';
import { knownCacheInputs } from '../graph/cache-widths.ts';
import type { Graph } from '../graph/graph.ts';
import { weightCount } from '../graph/weight-count.ts';
import type { LanguageModel } from '../models/language-model.ts';
import { openTokenizer, type Tokenizer } from '../models/tokenizer.ts';
import type { ModelKind } from './schemes.ts';

export interface SourceModel {
  readonly kind: ModelKind;
  /** Short name for file names and titles. */
  readonly name: string;
  /** Absolute path, or the URL. */
  readonly location: string;
  readonly origin: 'onnx' | 'huggingface' | 'gguf';
  /** The float graph; language models with a key/value cache. */
  readonly graph: Graph;
  /** Present for language models. */
  readonly language?: LanguageModel;
  readonly tokenizer?: Tokenizer;
  readonly license?: string;
  /** Float weights, tied ones once. */
  readonly parameters: number;
  /** Bytes of the model's weights as stored. */
  readonly bytes: number;
  /** Files that make up the model, for the manifest. */
  readonly files: readonly string[];
  /** Weights that are low-bit already; quantizing them again needs `--allow-requantize`. */
  readonly lowBit: readonly string[];
  /** Closes the files that weights are read from. */
  close(): Promise<void>;
}

const quantizingOps = new Set(['DequantizeLinear', 'MatMulNBits', 'MatMulInteger', 'ConvInteger', 'QLinearConv', 'QLinearMatMul', 'GatherBlockQuantized', 'MatMulBnb4']);

const sum = (tensors: readonly TensorRef[], of: (tensor: TensorRef) => number): number => tensors.reduce((total, tensor) => total + of(tensor), 0);

/** A plain graph as a source; `close` closes its files. */
export function graphSource(read: Graph, name: string, location: string, files: readonly string[], close: () => Promise<void>): SourceModel {
  const graph: Graph = { ...read, inputs: knownCacheInputs(read) };
  const tensors = [...graph.weights.values()];
  return {
    kind: 'onnx', name, location, origin: 'onnx', graph, files, close,
    parameters: weightCount(graph), bytes: sum(tensors, (tensor) => tensor.byteLength),
    lowBit: graph.nodes.filter((node) => quantizingOps.has(node.op)).map((node) => node.name),
  };
}

/** A language model as a source; its graph has a key/value cache. */
export function languageSource(language: LanguageModel, name: string, location: string, origin: 'huggingface' | 'gguf', files: readonly string[]): SourceModel {
  const tensors = [...language.tensors.values()];
  const tokenizer = tokenizerOf(language);
  const license = licenseOf(language);
  return {
    kind: 'lm', name, location, origin, language, files, graph: language.graph({ cache: true }), close: () => language.close(),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(license === undefined ? {} : { license }),
    parameters: sum(tensors, (tensor) => elementCount(tensor.shape)), bytes: sum(tensors, (tensor) => tensor.byteLength),
    lowBit: [...new Set([...language.lowBit, ...tensors.filter((tensor) => isBlockType(tensor.type)).map((tensor) => tensor.name)])],
  };
}

/** Closes the model where its tokenizer is refused: nobody else would. */
function tokenizerOf(language: LanguageModel): ReturnType<typeof openTokenizer> | undefined {
  try {
    return language.tokenizer === undefined ? undefined : openTokenizer(language.tokenizer);
  } catch (error) {
    language.close().catch(() => {});
    throw error;
  }
}

/** The licence that a model card's front matter names. */
function licenseOf({ tokenizer }: LanguageModel): string | undefined {
  const card = tokenizer?.others.get('README.md');
  return card === undefined ? undefined : /^---\n(?:.*\n)*?license:\s*(\S+)/.exec(new TextDecoder().decode(card))?.[1];
}
