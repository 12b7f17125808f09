/** A language model as the rest of the project sees it: a checked configuration, lazily read tensors, and its graph. */
import type { Folder } from '../files/source.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { Graph } from '../graph/graph.ts';
import { readLlamaConfig, type LlamaConfig } from './llama-config.ts';
import { llamaGraph } from './llama-graph.ts';
import { checkedWeights, linearNames, llamaShapes } from './llama-weights.ts';
import { isMamba1, readMamba1Config, type Mamba1Config } from './mamba1-config.ts';
import { mamba1Graph } from './mamba1-graph.ts';
import { checkedMamba1Weights, mamba1Linears, mamba1Shapes } from './mamba1-weights.ts';
import { isMamba2, readMamba2Config, type Mamba2Config } from './mamba2-config.ts';
import { mamba2Graph } from './mamba2-graph.ts';
import { checkedMamba2Weights, mamba2Linears, mamba2Shapes } from './mamba2-weights.ts';
import { dequantized } from './quantized-tensors.ts';
import { openFolderTensors } from './safetensors-folder.ts';
import { readObject, readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.ts';

export type { TokenizerFiles } from './tokenizer-files.ts';

export interface GraphOptions {
  /**
   * Key/value cache as inputs and outputs, with `attention_mask` and `position_ids`, as transformers.js names them.
   * State-space models have none: their graph takes whole sequences.
   */
  readonly cache?: boolean;
  /**
   * One more input, `num_logits_to_keep` (a scalar): logits of that many last positions only, 0 for all. Clients that
   * generate (transformers.js) feed it, and a long prompt then costs no logits of its own.
   */
  readonly lastLogits?: boolean;
  /** Other weights under the same names and in the same layout (dequantized, transformed); the rest stays the model's. */
  readonly tensors?: ReadonlyMap<string, TensorRef>;
}

export type LanguageConfig = LlamaConfig | Mamba1Config | Mamba2Config;

/** Models with a recurrent state in the place of attention. */
export const isStateSpace = (config: LanguageConfig): config is Mamba1Config | Mamba2Config => config.family === 'mamba' || config.family === 'mamba2';

export interface LanguageModel {
  /** Name of the folder or stem of the file. */
  readonly name: string;
  readonly config: LanguageConfig;
  /** config.json as read, or rebuilt. */
  readonly rawConfig: Readonly<Record<string, unknown>>;
  /** Hugging Face names and [out, in] layout, types as stored; a tied lm_head is absent. In order of use. */
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly tokenizer: TokenizerFiles | undefined;
  /** Weights that are low-bit in the source and decode to float when they are read. */
  readonly lowBit: readonly string[];
  /** Names of the matrices that multiply activations (q, k, v, o, gate, up, down; projections of mixers; an untied lm_head), in order of use. */
  readonly linears: readonly string[];
  /**
   * `input_ids` [batch, sequence] → `logits` [batch, sequence, vocabulary], standard operators at opset 21, float32.
   * Matrices in it are views [in, out] whose rows are read through `transposeOf`.
   */
  graph(options?: GraphOptions): Graph;
  /** Closes the files that tensors are read from. */
  close(): Promise<void>;
}

export interface LanguageModelParts {
  readonly name: string;
  readonly rawConfig: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly tokenizer: TokenizerFiles | undefined;
  readonly lowBit?: readonly string[];
  readonly close?: () => Promise<void>;
}

/** What the rest needs to know of an architecture, with its configuration read. */
interface Architecture {
  readonly config: LanguageConfig;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly linears: readonly string[];
  checked(found: ReadonlyMap<string, TensorRef>): Map<string, TensorRef>;
  graph(name: string, weight: (name: string) => TensorRef, options: { readonly cache: boolean; readonly lastLogits: boolean }): Graph;
}

function architectureOf(raw: Readonly<Record<string, unknown>>): Architecture {
  if (isMamba2(raw)) {
    const config = readMamba2Config(raw);
    return {
      config, shapes: mamba2Shapes(config), linears: mamba2Linears(config), checked: (found) => checkedMamba2Weights(config, found),
      graph: (name, weight, options) => mamba2Graph(name, config, weight, options),
    };
  }
  if (isMamba1(raw)) {
    const config = readMamba1Config(raw);
    return {
      config, shapes: mamba1Shapes(config), linears: mamba1Linears(config), checked: (found) => checkedMamba1Weights(config, found),
      graph: (name, weight, options) => mamba1Graph(name, config, weight, options),
    };
  }
  const config = readLlamaConfig(raw);
  return {
    config, shapes: llamaShapes(config), linears: linearNames(config), checked: (found) => checkedWeights(config, found),
    graph: (name, weight, options) => llamaGraph(name, config, weight, options),
  };
}

/** A model from its parts, whatever file they came from; throws where configuration and tensors disagree. */
export function languageModel(parts: LanguageModelParts): LanguageModel {
  const { name, rawConfig, tokenizer } = parts;
  const { config, linears, checked, graph } = architectureOf(rawConfig);
  const tensors = checked(parts.tensors);
  return {
    name, config, rawConfig, tensors, tokenizer, linears, lowBit: parts.lowBit ?? [],
    graph: ({ cache = false, lastLogits = false, tensors: others } = {}) => {
      const used = others === undefined ? tensors : checked(new Map([...tensors, ...others]));
      return graph(name, (weight) => used.get(weight)!, { cache, lastLogits });
    },
    close: parts.close ?? (async () => {}),
  };
}

/** Real configurations stay below 10 kB; lists per layer and label maps may add to that. */
export const maxConfigBytes = 4_000_000;

/** Opens a Hugging Face folder: config.json, safetensors (one file or shards), and a tokenizer where there is one. */
export async function openLanguageModel(folder: Folder): Promise<LanguageModel> {
  const rawConfig = await readObject(folder, 'config.json', maxConfigBytes);
  // Low-bit layouts are read back as float weights, and the model is then an ordinary one.
  const { quantization_config: _read, ...plain } = rawConfig;
  // Refused here, before any larger file is opened.
  const { shapes } = architectureOf(plain);
  const { tensors, close } = await openFolderTensors(folder);
  try {
    const name = folder.name.split(/[\\/]/).findLast((part) => part !== '' && part !== '.') ?? 'model';
    return languageModel({ name, rawConfig: plain, ...dequantized(rawConfig, tensors, shapes), tokenizer: await readTokenizerFiles(folder), close });
  } catch (error) {
    await close();
    throw error;
  }
}
