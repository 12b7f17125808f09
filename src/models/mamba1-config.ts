/**
 * config.json of a Mamba (Mamba-1) language model, in the spelling of the authors' library (`ssm_cfg`) and in that of
 * transformers (`model_type: mamba`), checked and brought to one form.
 */
import { isJsonObject } from '../files/json.ts';
import { errors, flag, integer, limits, real, shown, type RawConfig } from './config-values.ts';
import type { BackboneConfig } from './mamba-backbone.ts';
import { onlyEmpty, onlyNeutral } from './mamba2-config.ts';

export interface Mamba1Config extends BackboneConfig {
  readonly family: 'mamba';
  /** Channels of x, z and y. */
  readonly innerSize: number;
  /** Width N of the state of each channel. */
  readonly stateSize: number;
  /** Width of the bottleneck that step sizes come from. */
  readonly stepRank: number;
  /** No position is too late for a state. */
  readonly maxPositions: number;
}

/** The authors' spelling has no model_type, and no name of the layer or this one. */
export const isMamba1 = (raw: RawConfig): boolean =>
  raw.model_type === 'mamba' || (raw.model_type === undefined && isJsonObject(raw.ssm_cfg as never) && ['Mamba1', undefined].includes((raw.ssm_cfg as RawConfig).layer as string | undefined));

function rankOf(raw: RawConfig, key: string, hiddenSize: number): number {
  return raw[key] === 'auto' ? Math.ceil(hiddenSize / 16) : integer(raw, key, 1, limits.hidden, Math.ceil(hiddenSize / 16));
}

/** Checks a parsed config.json; one `config.*` error names the key and its value. */
export function readMamba1Config(raw: RawConfig): Mamba1Config {
  return raw.model_type === 'mamba' ? fromTransformers(raw) : fromAuthors(raw, raw.ssm_cfg as RawConfig);
}

function fromAuthors(raw: RawConfig, ssm: RawConfig): Mamba1Config {
  const named: unknown = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  if (named !== undefined && named !== 'MambaLMHeadModel') throw errors.architecture({ found: shown(named), expected: 'MambaLMHeadModel' });
  onlyNeutral(raw, { d_intermediate: [0], rms_norm: [true], quantization_config: [] });
  onlyEmpty(raw, 'attn_layer_idx');
  const hiddenSize = integer(raw, 'd_model', 1, limits.hidden);
  const multiple = integer(raw, 'pad_vocab_size_multiple', 1, 4096, 8);
  return {
    family: 'mamba', hiddenSize, innerSize: integer(ssm, 'expand', 1, 64, 2) * hiddenSize, stepRank: rankOf(ssm, 'dt_rank', hiddenSize),
    vocabSize: Math.ceil(integer(raw, 'vocab_size', 1, limits.vocabulary) / multiple) * multiple, layerCount: integer(raw, 'n_layer', 1, limits.layers),
    stateSize: integer(ssm, 'd_state', 1, limits.headDim, 16), kernel: integer(ssm, 'd_conv', 1, 64, 4), epsilon: real(raw, 'norm_epsilon', 0, 1, 1e-5),
    projectionBias: flag(ssm, 'bias', false), convBias: flag(ssm, 'conv_bias', true), tied: flag(raw, 'tie_embeddings', true),
    embeddingName: 'backbone.embedding.weight', maxPositions: limits.positions,
  };
}

function fromTransformers(raw: RawConfig): Mamba1Config {
  const named: unknown = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  if (named !== undefined && named !== 'MambaForCausalLM') throw errors.architecture({ found: shown(named), expected: 'MambaForCausalLM' });
  onlyNeutral(raw, { hidden_act: ['silu', 'swish'], quantization_config: [] });
  const hiddenSize = integer(raw, 'hidden_size', 1, limits.hidden, 768);
  return {
    family: 'mamba', hiddenSize, innerSize: integer(raw, 'intermediate_size', 1, limits.intermediate, integer(raw, 'expand', 1, 64, 2) * hiddenSize), stepRank: rankOf(raw, 'time_step_rank', hiddenSize),
    vocabSize: integer(raw, 'vocab_size', 1, limits.vocabulary, 50_280), layerCount: integer(raw, 'num_hidden_layers', 1, limits.layers, 32),
    stateSize: integer(raw, 'state_size', 1, limits.headDim, 16), kernel: integer(raw, 'conv_kernel', 1, 64, 4), epsilon: real(raw, 'layer_norm_epsilon', 0, 1, 1e-5),
    projectionBias: flag(raw, 'use_bias', false), convBias: flag(raw, 'use_conv_bias', true), tied: flag(raw, 'tie_word_embeddings', true),
    embeddingName: 'backbone.embeddings.weight', maxPositions: limits.positions,
  };
}
