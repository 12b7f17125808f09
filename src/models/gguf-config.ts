/** The numbers of a model as GGUF metadata and back: `<architecture>.…` keys on one side, config.json on the other. */
import { defineErrors, shown } from '../errors.ts';
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import type { GgufValue } from '../files/gguf.ts';
import { architectureOf, ggufArchitectures, type GgufArchitecture } from './gguf-names.ts';
import { f32, numberOf, requiredNumber, text, textOf, u32, type GgufMetadata } from './gguf-values.ts';
import type { LlamaConfig } from './llama-config.ts';
import { inverseFrequencies, yarnAttentionFactor, type Rope } from './rope.ts';

const errors = defineErrors('ggufConfig', {
  architecture: (f: { found: string; known: string }) => [`GGUF architecture ${f.found} cannot be built`, `known: ${f.known}`] as const,
  missing: (f: { key: string }) => `metadata ${f.key} is missing`,
  feature: (f: { feature: string; architecture: string }) => [`GGUF architecture ${f.architecture} cannot express ${f.feature}`, 'choose another target for this model'] as const,
  unsupported: (f: { key: string; value: string }) => `metadata ${f.key} ${f.value} is not supported`,
});

/** Keys whose presence with another value changes the function of a model; only the neutral value is understood. */
const neutral: Readonly<Record<string, number>> = {
  expert_count: 0, expert_used_count: 0, 'attention.sliding_window': 0, embedding_scale: 1, residual_scale: 1, logit_scale: 1, 'attention.scale': 0,
};

/** Turns of the slowest and the fastest stretched pair that llama.cpp takes where nothing is written. */
const yarnBetas = { fast: 32, slow: 1 };

/** Metadata of a model's numbers, and the factors of its rotary frequencies where the file needs them as a tensor. */
export function configToGguf(config: LlamaConfig): { metadata: Map<string, GgufValue>; rotary: TensorRef | undefined; notes: string[] } {
  const architecture = architectureOf[config.family];
  const notes: string[] = [];
  if (config.activation !== 'silu') throw errors.feature({ architecture, feature: `the activation ${config.activation}` });
  const expectsRope = (index: number): boolean => architecture !== 'smollm3' || (index + 1) % 4 !== 0;
  if (config.layers.some(({ rope }, index) => rope !== expectsRope(index))) throw errors.feature({ architecture, feature: 'this choice of layers without rotary positions' });
  const windows = config.layers.flatMap(({ window }) => window ?? []);
  const context = Math.min(config.maxPositions, ...windows);
  if (context < config.maxPositions) notes.push(`context_length is ${context}, the sliding window: GGUF architecture ${architecture} has no window, and within it the model is the same`);
  const { rope, headDim } = config;
  const scaling = rope.kind === 'linear' ? { 'rope.scaling.type': text('linear'), 'rope.scaling.factor': f32(rope.factor) }
    : rope.kind === 'yarn' ? yarnToGguf(rope, architecture) : {};
  const values: Record<string, GgufValue> = {
    block_count: u32(config.layers.length), context_length: u32(context), embedding_length: u32(config.hiddenSize),
    feed_forward_length: u32(config.intermediateSize), 'attention.head_count': u32(config.heads), 'attention.head_count_kv': u32(config.kvHeads),
    'rope.freq_base': f32(rope.theta), ...scaling, 'attention.layer_norm_rms_epsilon': f32(config.epsilon),
    'attention.key_length': u32(headDim), 'attention.value_length': u32(headDim),
    vocab_size: u32(config.vocabSize), 'rope.dimension_count': u32(headDim),
  };
  const metadata = new Map<string, GgufValue>([['general.architecture', text(architecture)]]);
  for (const [key, value] of Object.entries(values)) metadata.set(`${architecture}.${key}`, value);
  return { metadata, rotary: rope.kind === 'llama3' ? rotaryFactors(rope, headDim) : undefined, notes };
}

function yarnToGguf(rope: Rope & { kind: 'yarn' }, architecture: string): Record<string, GgufValue> {
  if (!rope.truncate) throw errors.feature({ architecture, feature: 'YaRN without truncation' });
  const extra = rope.attentionFactor / yarnAttentionFactor(rope.factor);
  return {
    'rope.scaling.type': text('yarn'), 'rope.scaling.factor': f32(rope.factor), 'rope.scaling.original_context_length': u32(rope.originalPositions),
    ...(Math.fround(extra) === 1 ? {} : { 'rope.scaling.attn_factor': f32(extra) }),
    ...(rope.betaFast === yarnBetas.fast ? {} : { 'rope.scaling.yarn_beta_fast': f32(rope.betaFast) }),
    ...(rope.betaSlow === yarnBetas.slow ? {} : { 'rope.scaling.yarn_beta_slow': f32(rope.betaSlow) }),
  };
}

export const rotaryName = 'rope_freqs.weight';

/** What the plain frequency of each pair is divided by, [headDim / 2]. */
function rotaryFactors(rope: Rope, headDim: number): TensorRef {
  const plain = inverseFrequencies({ kind: 'default', theta: rope.theta }, headDim);
  const scaled = inverseFrequencies(rope, headDim);
  return floatTensor(rotaryName, [headDim / 2], Float32Array.from(plain, (frequency, i) => frequency / scaled[i]));
}

export interface GgufFacts {
  readonly tied: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly vocabSize: number;
  /** Values of `rope_freqs.weight`. */
  readonly rotary: Float32Array | undefined;
}

export function ggufArchitecture(metadata: GgufMetadata): GgufArchitecture {
  const found = textOf(metadata, 'general.architecture');
  if (found === undefined) throw errors.missing({ key: 'general.architecture' });
  if (!Object.hasOwn(ggufArchitectures, found)) throw errors.architecture({ found: shown(found), known: Object.keys(ggufArchitectures).join(', ') });
  return found as GgufArchitecture;
}

/** config.json of a GGUF file; what only the tensors tell comes as facts. */
export function configFromGguf(metadata: GgufMetadata, facts: GgufFacts): Record<string, unknown> {
  const architecture = ggufArchitecture(metadata);
  const key = (name: string): string => `${architecture}.${name}`;
  for (const [name, value] of Object.entries(neutral)) {
    const found = numberOf(metadata, key(name));
    if (found !== undefined && found !== value) throw errors.unsupported({ key: key(name), value: String(found) });
  }
  const hidden = requiredNumber(metadata, key('embedding_length'));
  const heads = requiredNumber(metadata, key('attention.head_count'));
  const headDim = numberOf(metadata, key('attention.key_length')) ?? hidden / heads;
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const found = numberOf(metadata, key(name));
    if (found !== undefined && found !== headDim) throw errors.unsupported({ key: key(name), value: `${found} beside heads of ${headDim}` });
  }
  const context = requiredNumber(metadata, key('context_length'));
  const theta = numberOf(metadata, key('rope.freq_base')) ?? 10_000;
  const { family, architecture: named } = ggufArchitectures[architecture];
  return {
    architectures: [named], model_type: family,
    vocab_size: facts.vocabSize, hidden_size: hidden, intermediate_size: requiredNumber(metadata, key('feed_forward_length')),
    num_hidden_layers: requiredNumber(metadata, key('block_count')), num_attention_heads: heads,
    num_key_value_heads: numberOf(metadata, key('attention.head_count_kv')) ?? heads, head_dim: headDim, hidden_act: 'silu',
    max_position_embeddings: context, rms_norm_eps: requiredNumber(metadata, key('attention.layer_norm_rms_epsilon')),
    rope_theta: theta, rope_scaling: ropeScaling(metadata, key, theta, headDim, context, facts.rotary),
    attention_bias: facts.attentionBias, mlp_bias: facts.mlpBias, tie_word_embeddings: facts.tied,
    bos_token_id: numberOf(metadata, 'tokenizer.ggml.bos_token_id') ?? null, eos_token_id: numberOf(metadata, 'tokenizer.ggml.eos_token_id') ?? null,
    torch_dtype: 'float32', use_cache: true,
  };
}

function ropeScaling(
  metadata: GgufMetadata, key: (name: string) => string, theta: number, headDim: number, context: number, rotary: Float32Array | undefined,
): Record<string, unknown> | null {
  const kind = textOf(metadata, key('rope.scaling.type')) ?? 'none';
  const factor = numberOf(metadata, key('rope.scaling.factor')) ?? numberOf(metadata, key('rope.scale_linear')) ?? 1;
  if (rotary !== undefined && rotary.some((value) => value !== 1)) {
    if (kind !== 'none') throw errors.unsupported({ key: rotaryName, value: `beside rope scaling ${shown(kind)}` });
    return llama3From(rotary, theta, headDim);
  }
  switch (kind) {
    case 'none': return null;
    case 'linear': return factor === 1 ? null : { rope_type: 'linear', factor };
    case 'yarn': return {
      rope_type: 'yarn', factor,
      original_max_position_embeddings: numberOf(metadata, key('rope.scaling.original_context_length')) ?? context,
      attention_factor: yarnAttentionFactor(factor) * (numberOf(metadata, key('rope.scaling.attn_factor')) ?? 1),
      beta_fast: numberOf(metadata, key('rope.scaling.yarn_beta_fast')) ?? yarnBetas.fast,
      beta_slow: numberOf(metadata, key('rope.scaling.yarn_beta_slow')) ?? yarnBetas.slow,
    };
    default: throw errors.unsupported({ key: key('rope.scaling.type'), value: shown(kind) });
  }
}

/** Context that frequencies of Llama 3 were trained for. */
const llama3Context = 8192;

/**
 * The settings behind frequency factors of the Llama 3 kind. The factors tell the ends of the ramp only in proportion to
 * the context, so the published numbers are tried first, then their ends with the context that a pair on the ramp
 * gives, then ends that fit in the published context.
 */
function llama3From(factors: Float32Array, theta: number, headDim: number): Record<string, unknown> {
  const refused = (): never => { throw errors.unsupported({ key: rotaryName, value: 'is not of the Llama 3 kind' }); };
  if (factors.length !== headDim / 2) refused();
  const factor = Math.max(...factors);
  const plain = inverseFrequencies({ kind: 'default', theta }, headDim);
  const pairs = [...factors].map((value, i) => ({ frequency: plain[i], share: (1 / value - 1 / factor) / (1 - 1 / factor) }));
  const ramp = pairs.filter(({ share }) => share > 1e-4 && share < 1 - 1e-4);
  const turns = llama3Context / (2 * Math.PI);
  const candidates: [low: number, high: number, context: number][] = [[1, 4, llama3Context]];
  if (ramp.length >= 1) candidates.push([1, 4, Math.round(((1 + 3 * ramp[0].share) * 2 * Math.PI) / ramp[0].frequency)]);
  if (ramp.length >= 2) {
    // Between its ends the ramp is linear in the frequency: two pairs on it give both.
    const [first, last] = [ramp[0], ramp.at(-1)!];
    const slope = (first.share - last.share) / (first.frequency - last.frequency);
    const low = (first.frequency - first.share / slope) * turns;
    candidates.push([Number(low.toPrecision(4)), Number((low + turns / slope).toPrecision(4)), llama3Context], [low, low + turns / slope, llama3Context]);
  }
  if (ramp.length === 0) {
    // No pair lies on the ramp: any ramp between the slow pairs and the fast ones does.
    const slow = Math.max(...pairs.filter(({ share }) => share < 0.5).map(({ frequency }) => frequency)) * turns;
    const fast = Math.min(4 * slow, ...pairs.filter(({ share }) => share > 0.5).map(({ frequency }) => frequency * turns));
    candidates.push([(2 * slow + fast) / 3, (slow + 2 * fast) / 3, llama3Context]);
  }
  for (const [low, high, context] of candidates) {
    if (!(low > 0 && low < high && context >= 1)) continue;
    const rope: Rope = { kind: 'llama3', theta, factor, lowFreqFactor: low, highFreqFactor: high, originalPositions: context };
    const scaled = inverseFrequencies(rope, headDim);
    if (factors.every((value, i) => Math.abs(plain[i] / scaled[i] / value - 1) < 1e-5)) {
      return { rope_type: 'llama3', factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context };
    }
  }
  return refused();
}
