/** Which tensors a Mamba (Mamba-1) model has, and the check that they are there. */
import type { TensorRef } from '../tensor-ref.ts';
import { checkedTensors } from './checked-weights.ts';
import { headName } from './llama-weights.ts';
import { finalNormName, mambaLayer } from './mamba-backbone.ts';
import type { Mamba1Config } from './mamba1-config.ts';

/** Every tensor with its shape, in order of use; matrices are [out, in]. */
export function mamba1Shapes(config: Mamba1Config): Map<string, readonly number[]> {
  const { hiddenSize: hidden, innerSize: inner, stateSize, stepRank, kernel, vocabSize } = config;
  const shapes = new Map<string, readonly number[]>([[config.embeddingName, [vocabSize, hidden]]]);
  for (let index = 0; index < config.layerCount; index++) {
    const set = (part: string, shape: readonly number[]): void => { shapes.set(mambaLayer(index, part), shape); };
    set('norm.weight', [hidden]);
    set('mixer.in_proj.weight', [2 * inner, hidden]);
    if (config.projectionBias) set('mixer.in_proj.bias', [2 * inner]);
    set('mixer.conv1d.weight', [inner, 1, kernel]);
    if (config.convBias) set('mixer.conv1d.bias', [inner]);
    set('mixer.x_proj.weight', [stepRank + 2 * stateSize, inner]);
    set('mixer.dt_proj.weight', [inner, stepRank]);
    set('mixer.dt_proj.bias', [inner]);
    set('mixer.A_log', [inner, stateSize]);
    set('mixer.D', [inner]);
    set('mixer.out_proj.weight', [hidden, inner]);
    if (config.projectionBias) set('mixer.out_proj.bias', [hidden]);
  }
  shapes.set(finalNormName, [hidden]);
  if (!config.tied) shapes.set(headName, [vocabSize, hidden]);
  return shapes;
}

/** Names of the matrices that multiply activations, in order of use. */
export const mamba1Linears = (config: Mamba1Config): string[] =>
  [...mamba1Shapes(config)].filter(([name, shape]) => shape.length === 2 && name !== config.embeddingName && !name.endsWith('.A_log')).map(([name]) => name);

/** The tensors of the model in order of use; a head beside a tied table is not read. */
export const checkedMamba1Weights = (config: Mamba1Config, found: ReadonlyMap<string, TensorRef>): Map<string, TensorRef> =>
  checkedTensors(mamba1Shapes(config), found, (name) => config.tied && name === headName);
