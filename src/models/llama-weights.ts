/** Which tensors a model of the Llama family has, under their Hugging Face names, and the check that they are there. */
import type { TensorRef } from '../tensor-ref.ts';
import { checkedTensors } from './checked-weights.ts';
import type { LlamaConfig } from './llama-config.ts';

export const embeddingName = 'model.embed_tokens.weight';
export const headName = 'lm_head.weight';
export const layerName = (index: number, part: string): string => `model.layers.${index}.${part}`;

/** Every tensor with its shape, in order of use; matrices are [out, in]. */
export function llamaShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const { hiddenSize: hidden, intermediateSize: inner, vocabSize, headDim } = config;
  const [query, keyValue] = [config.heads * headDim, config.kvHeads * headDim];
  const shapes = new Map<string, readonly number[]>([[embeddingName, [vocabSize, hidden]]]);
  config.layers.forEach((_, index) => {
    const linear = (part: string, out: number, into: number, bias: boolean): void => {
      shapes.set(layerName(index, `${part}.weight`), [out, into]);
      if (bias) shapes.set(layerName(index, `${part}.bias`), [out]);
    };
    shapes.set(layerName(index, 'input_layernorm.weight'), [hidden]);
    linear('self_attn.q_proj', query, hidden, config.qkvBias);
    linear('self_attn.k_proj', keyValue, hidden, config.qkvBias);
    linear('self_attn.v_proj', keyValue, hidden, config.qkvBias);
    if (config.qkNorm) for (const part of ['q_norm', 'k_norm']) shapes.set(layerName(index, `self_attn.${part}.weight`), [headDim]);
    linear('self_attn.o_proj', hidden, query, config.outputBias);
    shapes.set(layerName(index, 'post_attention_layernorm.weight'), [hidden]);
    linear('mlp.gate_proj', inner, hidden, config.mlpBias);
    linear('mlp.up_proj', inner, hidden, config.mlpBias);
    linear('mlp.down_proj', hidden, inner, config.mlpBias);
  });
  shapes.set('model.norm.weight', [hidden]);
  if (!config.tied) shapes.set(headName, [vocabSize, hidden]);
  return shapes;
}

/** Names of the matrices that multiply activations, in order of use. */
export const linearNames = (config: LlamaConfig): string[] =>
  [...llamaShapes(config)].filter(([name, shape]) => shape.length === 2 && name !== embeddingName).map(([name]) => name);

/** Tensors that older files carry and nobody reads: constants of the rotary embedding, and a head beside a tied table. */
const ignored = (name: string, config: LlamaConfig): boolean => name.endsWith('.rotary_emb.inv_freq') || (config.tied && name === headName);

/** The tensors of the model in order of use; throws one `weights.*` error where the file and the configuration disagree. */
export const checkedWeights = (config: LlamaConfig, found: ReadonlyMap<string, TensorRef>): Map<string, TensorRef> =>
  checkedTensors(llamaShapes(config), found, (name) => ignored(name, config));
