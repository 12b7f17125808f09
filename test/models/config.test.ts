/** Configurations that are read, and those that are refused: one row per way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLlamaConfig } from '../../src/models/llama-config.ts';

const base = {
  model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 100, hidden_size: 64, intermediate_size: 96,
  num_hidden_layers: 3, num_attention_heads: 8, max_position_embeddings: 128,
};
const rope = (settings: object): object => ({ rope_scaling: settings });
const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

const refused: readonly (readonly [change: object, message: string])[] = [
  [{ model_type: undefined }, 'config.json: unknown model_type null'],
  [{ model_type: 7 }, 'config.json: unknown model_type 7'],
  [{ model_type: 'gemma3' }, 'config.json: unknown model_type "gemma3"'],
  [{ model_type: 'constructor' }, 'config.json: unknown model_type "constructor"'],
  [{ model_type: '__proto__' }, 'config.json: unknown model_type "__proto__"'],
  [{ architectures: ['LlamaForSequenceClassification'] }, 'config.json: architecture "LlamaForSequenceClassification" cannot be built, only LlamaForCausalLM'],
  [{ architectures: [null] }, 'config.json: architecture null cannot be built, only LlamaForCausalLM'],
  [{ vocab_size: undefined }, 'config.json: vocab_size is missing'],
  [{ vocab_size: 0 }, 'config.json: vocab_size is 0, must be a whole number from 1 to 16777216'],
  [{ vocab_size: 1e12 }, 'config.json: vocab_size is 1000000000000, must be a whole number from 1 to 16777216'],
  [{ vocab_size: '100' }, 'config.json: vocab_size is "100", must be a whole number from 1 to 16777216'],
  [{ hidden_size: -64 }, 'config.json: hidden_size is -64, must be a whole number from 1 to 1048576'],
  [{ hidden_size: 64.5 }, 'config.json: hidden_size is 64.5, must be a whole number from 1 to 1048576'],
  [{ hidden_size: null }, 'config.json: hidden_size is missing'],
  [{ hidden_size: 60 }, 'config.json: head_dim is 7.5, must be a whole number from 2 to 8192'],
  [{ hidden_size: 8 }, 'config.json: head_dim is 1, must be a whole number from 2 to 8192'],
  [{ head_dim: 9 }, 'config.json: head_dim is 9, must be even'],
  [{ intermediate_size: [96] }, 'config.json: intermediate_size is [96], must be a whole number from 1 to 4194304'],
  [{ num_hidden_layers: 1e9 }, 'config.json: num_hidden_layers is 1000000000, must be a whole number from 1 to 1024'],
  [{ num_hidden_layers: true }, 'config.json: num_hidden_layers is true, must be a whole number from 1 to 1024'],
  [{ num_attention_heads: 0 }, 'config.json: num_attention_heads is 0, must be a whole number from 1 to 4096'],
  [{ num_key_value_heads: 3 }, 'config.json: 8 query heads do not fall into 3 groups'],
  [{ num_key_value_heads: 16 }, 'config.json: 8 query heads do not fall into 16 groups'],
  [{ max_position_embeddings: 0 }, 'config.json: max_position_embeddings is 0, must be a whole number from 1 to 2147483648'],
  [{ rms_norm_eps: '1e-5' }, 'config.json: rms_norm_eps is "1e-5", must be a number from 0 to 1'],
  [{ rms_norm_eps: -1 }, 'config.json: rms_norm_eps is -1, must be a number from 0 to 1'],
  [{ tie_word_embeddings: 1 }, 'config.json: tie_word_embeddings is 1, must be true or false'],
  [{ attention_bias: 'yes' }, 'config.json: attention_bias is "yes", must be true or false'],
  [{ mlp_bias: 0 }, 'config.json: mlp_bias is 0, must be true or false'],
  [{ hidden_act: 'xielu' }, 'config.json: hidden_act "xielu" is not supported'],
  [{ hidden_act: 'toString' }, 'config.json: hidden_act "toString" is not supported'],
  [{ hidden_act: ['silu'] }, 'config.json: hidden_act ["silu"] is not supported'],
  [{ partial_rotary_factor: 0.5 }, 'config.json: partial_rotary_factor 0.5 is not supported'],
  [{ num_local_experts: 8 }, 'config.json: num_local_experts 8 is not supported'],
  [{ quantization_config: { quant_method: 'gptq' } }, 'config.json: quantization_config {"quant_method":"gptq"} is not supported'],
  [{ final_logit_softcapping: 30 }, 'config.json: final_logit_softcapping 30 is not supported'],
  [{ logits_scaling: 8 }, 'config.json: logits_scaling 8 is not supported'],
  [{ rope_theta: 0 }, 'config.json: rope_theta is 0, must be a number from 1 to 1000000000000'],
  [{ rope_theta: [10000] }, 'config.json: rope_theta is [10000], must be a number from 1 to 1000000000000'],
  [rope('linear' as never), 'config.json: rope_scaling "linear" is not supported'],
  [rope({ type: 'linear' }), 'config.json: factor is missing'],
  [rope({ type: 'linear', factor: 0 }), 'config.json: factor is 0, must be a number from 0.001 to 1000000'],
  [rope({ type: 'dynamic', factor: 2 }), 'config.json: rope_type "dynamic" is not supported'],
  [rope({ rope_type: 'longrope', short_factor: [1], long_factor: [1] }), 'config.json: rope_type "longrope" is not supported'],
  [rope({ rope_type: 'toString' }), 'config.json: rope_type "toString" is not supported'],
  [rope({ ...llama3, low_freq_factor: 4 }), 'config.json: low_freq_factor is 4, must be below high_freq_factor 4'],
  [rope({ ...llama3, original_max_position_embeddings: -1 }), 'config.json: original_max_position_embeddings is -1, must be a number from 1 to 2147483648'],
  [rope({ type: 'yarn', factor: 4, beta_fast: 'x' }), 'config.json: beta_fast is "x", must be a number from 0.001 to 1000000'],
  [rope({ type: 'yarn', factor: 4, truncate: 'no' }), 'config.json: truncate is "no", must be true or false'],
  [{ rope_parameters: { full_attention: { rope_type: 'default' } } }, 'config.json: rope_parameters.full_attention for a part of the layers is not supported'],
  [{ rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.25 } }, 'config.json: partial_rotary_factor 0.25 is not supported'],
  [{ model_type: 'mistral', architectures: undefined, num_key_value_heads: 2, sliding_window: 0 }, 'config.json: sliding_window is 0, must be a whole number from 1 to 2147483648'],
  [{ model_type: 'qwen2', architectures: undefined, num_key_value_heads: 2, use_sliding_window: true, layer_types: ['full_attention'] }, 'config.json: layer_types is null, must be full_attention or sliding_attention for every layer'],
  [{ model_type: 'qwen3', architectures: undefined, num_key_value_heads: 2, use_sliding_window: true, max_window_layers: -1 }, 'config.json: max_window_layers is -1, must be a whole number from 0 to 1024'],
  [{ model_type: 'smollm3', architectures: undefined, num_key_value_heads: 2, no_rope_layers: [1, 0] }, 'config.json: no_rope_layers is null, must be 0 or 1 for every layer'],
  [{ model_type: 'smollm3', architectures: undefined, num_key_value_heads: 2, no_rope_layer_interval: 0 }, 'config.json: no_rope_layer_interval is 0, must be a whole number from 1 to 1024'],
];

test('a configuration that cannot be built is refused with the key and its value', () => {
  for (const [change, message] of refused) assert.throws(() => readLlamaConfig({ ...base, ...change }), { name: 'FewbitError', message });
});

test('what config.json leaves out is as the family has it', () => {
  const llama = readLlamaConfig(base);
  assert.deepEqual(
    [llama.kvHeads, llama.headDim, llama.tied, llama.qkvBias, llama.activation, llama.epsilon, llama.rope],
    [8, 8, false, false, 'silu', 1e-6, { kind: 'default', theta: 10_000 }],
  );
  const { layers, qkvBias, outputBias, tied } = readLlamaConfig({ ...base, model_type: 'smollm3', architectures: undefined, num_hidden_layers: 4, num_key_value_heads: null });
  assert.deepEqual([layers.map((layer) => layer.rope), qkvBias, outputBias, tied], [[true, true, true, false], false, false, true]);
  const qwen2 = readLlamaConfig({ ...base, model_type: 'qwen2', architectures: undefined, num_key_value_heads: 2, sliding_window: 16 });
  assert.deepEqual([qwen2.qkvBias, qwen2.outputBias, qwen2.layers[0].window], [true, false, undefined]);
  const qwen3 = readLlamaConfig({ ...base, model_type: 'qwen3', architectures: undefined, num_key_value_heads: 2, attention_bias: true });
  assert.deepEqual([qwen3.qkNorm, qwen3.headDim, qwen3.outputBias], [true, 128, true]);
});

test('a window as long as the context is none', () => {
  const window = (sliding_window?: number | null): number | undefined =>
    readLlamaConfig({ ...base, model_type: 'mistral', architectures: undefined, num_key_value_heads: 2, sliding_window }).layers[0].window;
  assert.equal(window(64), 64);
  assert.equal(window(128), undefined);
  assert.equal(window(null), undefined);
  // Absent means 4096, beyond these 128 positions.
  assert.equal(window(), undefined);
});
