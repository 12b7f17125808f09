/** Which tensors a model of the Llama family has, under their Hugging Face names, and the check that they are there. */
import { defineErrors } from '../errors.ts';
import { isBlockType, type TensorRef } from '../tensor-ref.ts';
import { isFloatType } from '../graph/values.ts';
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

const errors = defineErrors('weights', {
  missing: (f: { name: string; others: number }) => `tensor ${f.name} is missing${f.others > 0 ? ` and so are ${f.others} others` : ''}`,
  extra: (f: { name: string; others: number }) => `tensor ${f.name} has no place in the architecture${f.others > 0 ? `, nor have ${f.others} others` : ''}`,
  shape: (f: { name: string; found: readonly number[]; expected: readonly number[] }) =>
    `tensor ${f.name} has shape [${f.found.join(', ')}], config.json asks for [${f.expected.join(', ')}]`,
  type: (f: { name: string; type: string }) => `tensor ${f.name} has type ${f.type}, weights must be float`,
});

/** Tensors that older files carry and nobody reads: constants of the rotary embedding, and a head beside a tied table. */
const ignored = (name: string, config: LlamaConfig): boolean => name.endsWith('.rotary_emb.inv_freq') || (config.tied && name === headName);

/** The tensors of the model in order of use; throws one `weights.*` error where the file and the configuration disagree. */
export function checkedWeights(config: LlamaConfig, found: ReadonlyMap<string, TensorRef>): Map<string, TensorRef> {
  const shapes = llamaShapes(config);
  const missing = [...shapes.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) throw errors.missing({ name: missing[0], others: missing.length - 1 });
  const extra = [...found.keys()].filter((name) => !shapes.has(name) && !ignored(name, config));
  if (extra.length > 0) throw errors.extra({ name: extra[0], others: extra.length - 1 });
  const weights = new Map<string, TensorRef>();
  for (const [name, expected] of shapes) {
    const tensor = found.get(name)!;
    if (!isBlockType(tensor.type) && !isFloatType(tensor.type)) throw errors.type({ name, type: tensor.type });
    if (tensor.shape.length !== expected.length || tensor.shape.some((dim, i) => dim !== expected[i])) throw errors.shape({ name, found: tensor.shape, expected });
    weights.set(name, tensor);
  }
  return weights;
}
