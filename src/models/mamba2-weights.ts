/** Which tensors a Mamba-2 model has, and the check that they are there. */
import type { TensorRef } from '../tensor-ref.ts';
import { checkedTensors } from './checked-weights.ts';
import { headName } from './llama-weights.ts';
import { finalNormName, mambaLayer } from './mamba-backbone.ts';
import type { Mamba2Config } from './mamba2-config.ts';

/** Channels of the convolution: x, B and C. */
export const convChannels = ({ innerSize, groups, stateSize }: Mamba2Config): number => innerSize + 2 * groups * stateSize;

/** Rows of the input projection, in order: z, x, B, C, dt. */
export const projectionRows = (config: Mamba2Config): number => config.innerSize + convChannels(config) + config.heads;

/** Every tensor with its shape, in order of use; matrices are [out, in]. */
export function mamba2Shapes(config: Mamba2Config): Map<string, readonly number[]> {
  const { hiddenSize: hidden, innerSize: inner, heads, kernel, vocabSize } = config;
  const shapes = new Map<string, readonly number[]>([[config.embeddingName, [vocabSize, hidden]]]);
  for (let index = 0; index < config.layerCount; index++) {
    const set = (part: string, shape: readonly number[]): void => { shapes.set(mambaLayer(index, part), shape); };
    set('norm.weight', [hidden]);
    set('mixer.in_proj.weight', [projectionRows(config), hidden]);
    if (config.projectionBias) set('mixer.in_proj.bias', [projectionRows(config)]);
    set('mixer.conv1d.weight', [convChannels(config), 1, kernel]);
    if (config.convBias) set('mixer.conv1d.bias', [convChannels(config)]);
    for (const part of ['dt_bias', 'A_log', 'D']) set(`mixer.${part}`, [heads]);
    set('mixer.norm.weight', [inner]);
    set('mixer.out_proj.weight', [hidden, inner]);
    if (config.projectionBias) set('mixer.out_proj.bias', [hidden]);
  }
  shapes.set(finalNormName, [hidden]);
  if (!config.tied) shapes.set(headName, [vocabSize, hidden]);
  return shapes;
}

/** Names of the matrices that multiply activations, in order of use. */
export const mamba2Linears = (config: Mamba2Config): string[] =>
  [...mamba2Shapes(config)].filter(([name, shape]) => shape.length === 2 && name !== config.embeddingName).map(([name]) => name);

/** The tensors of the model in order of use; a head beside a tied table is not read. */
export const checkedMamba2Weights = (config: Mamba2Config, found: ReadonlyMap<string, TensorRef>): Map<string, TensorRef> =>
  checkedTensors(mamba2Shapes(config), found, (name) => config.tied && name === headName);
