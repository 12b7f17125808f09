/**
 * config.json of the Llama family, checked and brought to one form: the families differ in defaults, biases, norms and
 * windows, and the rest of the project sees only the differences. Values are hostile until they have passed here.
 */
import { errors, flag, integer, limits, real, shown, type RawConfig } from './config-values.ts';
import { readRope } from './rope-config.ts';
import type { Rope } from './rope.ts';

export type Family = 'llama' | 'mistral' | 'qwen2' | 'qwen3' | 'smollm3';
export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu';

export interface LlamaLayer {
  /** Rotary positions; smollm3 leaves them out in every fourth layer. */
  readonly rope: boolean;
  /** A query sees this many positions, itself included; undefined for all. */
  readonly window: number | undefined;
}

export interface LlamaConfig {
  readonly family: Family;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  /** Divides `heads`. */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly maxPositions: number;
  readonly layers: readonly LlamaLayer[];
  readonly rope: Rope;
  /** Added to the mean square in every norm. */
  readonly epsilon: number;
  readonly activation: Activation;
  /** The output head is the embedding table. */
  readonly tied: boolean;
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** Queries and keys are normalised per head before they turn. */
  readonly qkNorm: boolean;
}

/** What a family means where config.json says nothing, and which options it has at all. */
interface FamilyTraits {
  readonly architecture: string;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly theta: number;
  readonly tied: boolean;
  /** Biases of q, k, v: always, never, or as `attention_bias` says; then o has one too. */
  readonly bias: 'option' | 'qkv' | 'none';
  readonly mlpBias: boolean;
  readonly qkNorm: boolean;
  readonly layer: (raw: RawConfig, index: number) => LlamaLayer;
}

const whole = (): LlamaLayer => ({ rope: true, window: undefined });

function qwenLayer(raw: RawConfig, index: number): LlamaLayer {
  if (!flag(raw, 'use_sliding_window', false)) return whole();
  const sliding = layerType(raw, index) ?? (index >= integer(raw, 'max_window_layers', 0, limits.layers, 28) ? 'sliding_attention' : 'full_attention');
  return { rope: true, window: sliding === 'sliding_attention' ? windowOf(raw, 4096) : undefined };
}

function smollm3Layer(raw: RawConfig, index: number): LlamaLayer {
  const listed = Array.isArray(raw.no_rope_layers) ? raw.no_rope_layers[index] as unknown : undefined;
  if (Array.isArray(raw.no_rope_layers) && listed !== 0 && listed !== 1) throw errors.value({ key: 'no_rope_layers', value: JSON.stringify(listed ?? null), allowed: '0 or 1 for every layer' });
  const rope = listed === undefined ? (index + 1) % integer(raw, 'no_rope_layer_interval', 1, limits.layers, 4) !== 0 : listed === 1;
  if (!flag(raw, 'use_sliding_window', false)) return { rope, window: undefined };
  const sliding = layerType(raw, index) ?? (rope ? 'full_attention' : 'sliding_attention');
  return { rope, window: sliding === 'sliding_attention' ? windowOf(raw, undefined) : undefined };
}

const families: Readonly<Record<Family, FamilyTraits>> = {
  llama: { architecture: 'LlamaForCausalLM', theta: 10_000, tied: false, bias: 'option', mlpBias: true, qkNorm: false, layer: whole },
  mistral: {
    architecture: 'MistralForCausalLM', kvHeads: 8, theta: 10_000, tied: false, bias: 'none', mlpBias: false, qkNorm: false,
    layer: (raw) => ({ rope: true, window: windowOf(raw, 4096) }),
  },
  qwen2: { architecture: 'Qwen2ForCausalLM', kvHeads: 32, theta: 10_000, tied: false, bias: 'qkv', mlpBias: false, qkNorm: false, layer: qwenLayer },
  qwen3: { architecture: 'Qwen3ForCausalLM', kvHeads: 32, headDim: 128, theta: 10_000, tied: false, bias: 'option', mlpBias: false, qkNorm: true, layer: qwenLayer },
  smollm3: { architecture: 'SmolLM3ForCausalLM', kvHeads: 4, theta: 2_000_000, tied: true, bias: 'option', mlpBias: true, qkNorm: false, layer: smollm3Layer },
};

const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu', swish: 'silu', gelu: 'gelu', gelu_python: 'gelu', gelu_new: 'gelu_tanh', gelu_fast: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh', relu: 'relu',
};

/** Settings of relatives of Llama that change the result; only their neutral value is understood. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  partial_rotary_factor: [1], num_local_experts: [0, 1], num_experts: [0, 1], quantization_config: [],
  embedding_multiplier: [1], residual_multiplier: [1], logits_scaling: [1], attention_multiplier: [], attn_logit_softcapping: [], final_logit_softcapping: [],
  is_encoder_decoder: [false], add_cross_attention: [false], alibi: [false],
};

/** `absent` is the family's default; null switches the window off. A window as long as the context is none. */
function windowOf(raw: RawConfig, absent: number | undefined): number | undefined {
  const value = raw.sliding_window === undefined ? absent : raw.sliding_window;
  if (value === null || value === undefined) return undefined;
  const window = integer({ sliding_window: value }, 'sliding_window', 1, limits.positions);
  return window >= integer(raw, 'max_position_embeddings', 1, limits.positions, limits.positions) ? undefined : window;
}

function layerType(raw: RawConfig, index: number): string | undefined {
  const types = raw.layer_types;
  if (types === undefined || types === null) return undefined;
  const type: unknown = Array.isArray(types) ? types[index] : undefined;
  if (type !== 'full_attention' && type !== 'sliding_attention') throw errors.value({ key: 'layer_types', value: shown(type ?? null), allowed: 'full_attention or sliding_attention for every layer' });
  return type;
}

/** Checks a parsed config.json; one `config.*` error names the key and its value. */
export function readLlamaConfig(raw: RawConfig): LlamaConfig {
  const type = raw.model_type;
  if (typeof type !== 'string' || !Object.hasOwn(families, type)) throw errors.family({ found: shown(type ?? null), known: Object.keys(families).join(', ') });
  const family = type as Family;
  const traits = families[family];
  const named: unknown = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined;
  if (named !== undefined && named !== traits.architecture) throw errors.architecture({ found: shown(named), expected: traits.architecture });
  for (const [key, allowed] of Object.entries(neutral)) {
    const value = raw[key];
    if (value !== undefined && value !== null && !allowed.includes(value)) throw errors.feature({ key, value: shown(value) });
  }

  const layerCount = integer(raw, 'num_hidden_layers', 1, limits.layers);
  const hiddenSize = integer(raw, 'hidden_size', 1, limits.hidden);
  const heads = integer(raw, 'num_attention_heads', 1, limits.heads);
  const kvHeads = integer(raw, 'num_key_value_heads', 1, limits.heads, raw.num_key_value_heads === null ? heads : traits.kvHeads ?? heads);
  if (heads % kvHeads !== 0) throw errors.grouping({ heads, kvHeads });
  const headDim = integer(raw, 'head_dim', 2, limits.headDim, traits.headDim ?? hiddenSize / heads);
  if (headDim % 2 !== 0) throw errors.value({ key: 'head_dim', value: String(headDim), allowed: 'even' });
  const act = raw.hidden_act ?? 'silu';
  if (typeof act !== 'string' || !Object.hasOwn(activations, act)) throw errors.feature({ key: 'hidden_act', value: shown(act) });
  const maxPositions = integer(raw, 'max_position_embeddings', 1, limits.positions, 2048);
  const bias = traits.bias === 'option' && flag(raw, 'attention_bias', false);
  return {
    family, hiddenSize, heads, kvHeads, headDim, maxPositions,
    vocabSize: integer(raw, 'vocab_size', 1, limits.vocabulary),
    intermediateSize: integer(raw, 'intermediate_size', 1, limits.intermediate),
    layers: Array.from({ length: layerCount }, (_, index) => traits.layer(raw, index)),
    rope: readRope(raw, traits.theta, maxPositions),
    epsilon: real(raw, 'rms_norm_eps', 0, 1, 1e-6),
    activation: activations[act],
    tied: flag(raw, 'tie_word_embeddings', traits.tied),
    qkvBias: traits.bias === 'qkv' || bias,
    outputBias: bias,
    mlpBias: traits.mlpBias && flag(raw, 'mlp_bias', false),
    qkNorm: traits.qkNorm,
  };
}
