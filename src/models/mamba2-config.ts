/**
 * config.json of a Mamba-2 language model, in the spelling of the authors' library (`ssm_cfg`) and in that of
 * transformers (`model_type: mamba2`), checked and brought to one form. The two differ in names of tensors, and in the
 * gated norm: the authors' takes each state group on its own, that of transformers all channels together.
 */
import { defineErrors } from '../errors.ts';
import { isJsonObject } from '../files/json.ts';
import { errors, flag, integer, limits, real, shown, type RawConfig } from './config-values.ts';
import type { BackboneConfig } from './mamba-backbone.ts';

export interface Mamba2Config extends BackboneConfig {
  readonly family: 'mamba2';
  /** Channels of x, z and y: heads × headDim. */
  readonly innerSize: number;
  readonly heads: number;
  readonly headDim: number;
  /** Width N of the state of each channel. */
  readonly stateSize: number;
  /** B and C of a group are shared by heads / groups heads. */
  readonly groups: number;
  /** Tokens that are multiplied in one piece; the result does not depend on it. */
  readonly chunk: number;
  /** Channels that the gated norm takes together. */
  readonly normGroup: number;
  /** Bounds of the step size dt. */
  readonly stepLimit: readonly [low: number, high: number];
  /** No position is too late for a state. */
  readonly maxPositions: number;
}

const own = defineErrors('mamba2', {
  heads: (f: { inner: number; heads: number; headDim: number }) => `config.json: ${f.heads} heads of ${f.headDim} channels are not the ${f.inner} inner channels`,
  groups: (f: { heads: number; groups: number }) => `config.json: ${f.heads} heads do not fall into ${f.groups} state groups`,
});

/** The authors' spelling has no model_type, and names the layer. */
export const isMamba2 = (raw: RawConfig): boolean =>
  raw.model_type === 'mamba2' || (raw.model_type === undefined && isJsonObject(raw.ssm_cfg as never) && (raw.ssm_cfg as RawConfig).layer === 'Mamba2');

/** Settings that change the result, of which only these values are understood. */
export function onlyNeutral(raw: RawConfig, neutral: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, allowed] of Object.entries(neutral)) {
    const value = raw[key];
    if (value !== undefined && value !== null && !allowed.includes(value)) throw errors.feature({ key, value: shown(value) });
  }
}

/** Settings that name parts of a network which are not built. */
export function onlyEmpty(raw: RawConfig, key: string): void {
  const value = raw[key];
  if (value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)) throw errors.feature({ key, value: shown(value) });
}

function stepLimit(value: unknown): readonly [number, number] {
  if (value === undefined || value === null) return [0, Infinity];
  const [low, high] = (Array.isArray(value) ? value : [value]).map((bound: unknown) => (bound === 'inf' || bound === 'Infinity' ? Infinity : bound));
  if (typeof low !== 'number' || typeof high !== 'number' || !(low >= 0 && high > low)) throw errors.value({ key: 'dt_limit', value: shown(value), allowed: 'two bounds from 0 upward' });
  return [low, high];
}

/** Checks a parsed config.json; one `config.*` or `mamba2.*` error names the key and its value. */
export function readMamba2Config(raw: RawConfig): Mamba2Config {
  return raw.model_type === 'mamba2' ? fromTransformers(raw) : fromAuthors(raw, raw.ssm_cfg as RawConfig);
}

function fromAuthors(raw: RawConfig, ssm: RawConfig): Mamba2Config {
  const named: unknown = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  if (named !== undefined && named !== 'MambaLMHeadModel') throw errors.architecture({ found: shown(named), expected: 'MambaLMHeadModel' });
  onlyNeutral(raw, { d_intermediate: [0], rms_norm: [true], quantization_config: [] });
  onlyEmpty(raw, 'attn_layer_idx');
  onlyNeutral(ssm, { rmsnorm: [true], norm_before_gate: [false], D_has_hdim: [false] });
  const hiddenSize = integer(raw, 'd_model', 1, limits.hidden);
  const innerSize = integer(ssm, 'd_ssm', 1, limits.hidden, integer(ssm, 'expand', 1, 64, 2) * hiddenSize);
  if (innerSize !== hiddenSize * integer(ssm, 'expand', 1, 64, 2)) throw errors.feature({ key: 'd_ssm', value: String(innerSize) });
  const headDim = integer(ssm, 'headdim', 1, limits.headDim, 64);
  const multiple = integer(raw, 'pad_vocab_size_multiple', 1, 4096, 8);
  const groups = integer(ssm, 'ngroups', 1, limits.heads, 1);
  return checked({
    family: 'mamba2', hiddenSize, innerSize, headDim, groups, heads: innerSize / headDim,
    vocabSize: Math.ceil(integer(raw, 'vocab_size', 1, limits.vocabulary) / multiple) * multiple,
    layerCount: integer(raw, 'n_layer', 1, limits.layers),
    stateSize: integer(ssm, 'd_state', 1, limits.headDim, 128), kernel: integer(ssm, 'd_conv', 1, 64, 4), chunk: integer(ssm, 'chunk_size', 1, 4096, 256),
    epsilon: real(raw, 'norm_epsilon', 0, 1, 1e-5), normGroup: innerSize / groups, stepLimit: stepLimit(ssm.dt_limit),
    projectionBias: flag(ssm, 'bias', false), convBias: flag(ssm, 'conv_bias', true), tied: flag(raw, 'tie_embeddings', true),
    embeddingName: 'backbone.embedding.weight', maxPositions: limits.positions,
  });
}

function fromTransformers(raw: RawConfig): Mamba2Config {
  const named: unknown = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  if (named !== undefined && named !== 'Mamba2ForCausalLM') throw errors.architecture({ found: shown(named), expected: 'Mamba2ForCausalLM' });
  onlyNeutral(raw, { hidden_act: ['silu', 'swish'], rms_norm: [true], norm_before_gate: [false], quantization_config: [] });
  const hiddenSize = integer(raw, 'hidden_size', 1, limits.hidden, 4096);
  const innerSize = integer(raw, 'expand', 1, 64, 2) * hiddenSize;
  return checked({
    family: 'mamba2', hiddenSize, innerSize, headDim: integer(raw, 'head_dim', 1, limits.headDim, 64), heads: integer(raw, 'num_heads', 1, limits.heads, 128),
    groups: integer(raw, 'n_groups', 1, limits.heads, 8),
    vocabSize: integer(raw, 'vocab_size', 1, limits.vocabulary, 32_768), layerCount: integer(raw, 'num_hidden_layers', 1, limits.layers, 64),
    stateSize: integer(raw, 'state_size', 1, limits.headDim, 128), kernel: integer(raw, 'conv_kernel', 1, 64, 4), chunk: integer(raw, 'chunk_size', 1, 4096, 256),
    epsilon: real(raw, 'layer_norm_epsilon', 0, 1, 1e-5), normGroup: innerSize, stepLimit: stepLimit(raw.time_step_limit),
    projectionBias: flag(raw, 'use_bias', false), convBias: flag(raw, 'use_conv_bias', true), tied: flag(raw, 'tie_word_embeddings', false),
    embeddingName: 'backbone.embeddings.weight', maxPositions: limits.positions,
  });
}

function checked(config: Mamba2Config): Mamba2Config {
  const { innerSize, heads, headDim, groups } = config;
  if (heads * headDim !== innerSize || !Number.isInteger(heads)) throw own.heads({ inner: innerSize, heads, headDim });
  if (heads % groups !== 0) throw own.groups({ heads, groups });
  return config;
}
