/** A Llama that has learned nothing yet: configuration and seeded weights, as a model that the rest of the project reads. */
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import type { Graph } from '../graph/graph.ts';
import { normal } from '../numeric/random.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readLlamaConfig } from './llama-config.ts';
import { llamaShapes } from './llama-weights.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';
import { transposedView } from './weight-views.ts';

export interface LlamaSize {
  readonly vocabulary: number;
  readonly hidden: number;
  /** Width inside of the feed-forward layers. */
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  /** Default as many as heads. */
  readonly kvHeads?: number;
  /** Longest text, in tokens. */
  readonly context: number;
}

/** Standard deviation of matrices at the start, the family's default. */
const deviation = 0.02;

/** config.json of a model whose output head is its embedding table. */
export const llamaConfig = ({ vocabulary, hidden, intermediate, layers, heads, kvHeads = heads, context }: LlamaSize): Record<string, unknown> => ({
  architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: vocabulary, hidden_size: hidden, intermediate_size: intermediate,
  num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads, hidden_act: 'silu', max_position_embeddings: context,
  initializer_range: deviation, rms_norm_eps: 1e-5, rope_theta: 10_000, attention_bias: false, mlp_bias: false, tie_word_embeddings: true,
  bos_token_id: null, eos_token_id: null, torch_dtype: 'float32',
});

/** Matrices normal with deviation 0.02, gains one, biases zero; the same seed gives the same bytes. */
export function initialLlama(name: string, size: LlamaSize, { seed = 0, tokenizer }: { readonly seed?: number; readonly tokenizer?: TokenizerFiles } = {}): LanguageModel {
  const rawConfig = llamaConfig(size);
  const tensors = [...llamaShapes(readLlamaConfig(rawConfig))].map(([weight, shape], stream): [string, TensorRef] => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    const start = shape.length > 1 ? (i: number) => deviation * normal(seed, stream, i) : () => (weight.endsWith('.bias') ? 0 : 1);
    return [weight, floatTensor(weight, shape, Float32Array.from({ length: count }, (_, i) => start(i)))];
  });
  return languageModel({ name, rawConfig, tensors: new Map(tensors), tokenizer });
}

/** The model with the weights of its trained graph, back in the order of Hugging Face files. */
export function withTrainedWeights(model: LanguageModel, { weights }: Graph): LanguageModel {
  const linear = new Set(model.linears);
  const tensors = new Map([...model.tensors.keys()].map((name): [string, TensorRef] => {
    const weight = weights.get(name)!;
    return [name, linear.has(name) ? weight.transposeOf ?? transposedView(weight) : weight];
  }));
  return languageModel({ name: model.name, rawConfig: model.rawConfig, tensors, tokenizer: model.tokenizer });
}
