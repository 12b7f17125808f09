/** Hugging Face folders whose config.json, tokenizer.json or index was made to harm or to confuse. */
import { writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySink } from '../../src/files/source.ts';
import { copyTensor, floatTensor } from '../../src/tensor-ref.ts';
import { readLlamaConfig } from '../../src/models/llama-config.ts';
import { llamaShapes } from '../../src/models/llama-weights.ts';

const config = { model_type: 'llama', vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 };
const vocab = { a: 0, b: 1, ab: 2 };
const tokenizer = { model: { type: 'BPE', vocab, merges: ['a b'] } };

const sink = memorySink();
await writeSafetensors(sink, [...llamaShapes(readLlamaConfig(config))].map(([name, shape]) =>
  copyTensor(floatTensor(name, shape, new Float32Array(shape.reduce((product, dim) => product * dim, 1))))));

export type Files = Readonly<Record<string, string | Uint8Array>>;
/** A model with which nothing is wrong. */
export const fine: Files = { 'config.json': JSON.stringify(config), 'tokenizer.json': JSON.stringify(tokenizer), 'model.safetensors': sink.bytes() };

const configured = (change: object): Files => ({ ...fine, 'config.json': JSON.stringify({ ...config, ...change }) });
const tokenized = (change: object): Files => ({ ...fine, 'tokenizer.json': JSON.stringify({ ...tokenizer, ...change }) });
const modelled = (change: object): Files => tokenized({ model: { ...tokenizer.model, ...change } });
const { 'model.safetensors': weights, ...bare } = fine;
const indexed = (index: unknown): Files => ({ ...bare, 'a.safetensors': weights, 'model.safetensors.index.json': typeof index === 'string' ? index : JSON.stringify(index) });
const split = (pattern: string): object => ({ pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated' } });

/** A sequence in a sequence in a sequence …, around nothing. */
const sequences = (depth: number): object => (depth === 0 ? { type: 'Nothing' } : { type: 'Sequence', normalizers: [sequences(depth - 1)] });

export type Row = readonly [name: string, files: Files | (() => Files), expect: RegExp];

export const hostileConfigs: readonly Row[] = [
  ['a configuration that is a list', { ...fine, 'config.json': '[]' }, /object expected/],
  ['a configuration that is null', { ...fine, 'config.json': 'null' }, /object expected/],
  ['a configuration that is cut', { ...fine, 'config.json': '{"model_type":"lla' }, /expected the end of a string/],
  ['a configuration of 5 MB', () => ({ ...fine, 'config.json': `{"a":"${'x'.repeat(5_000_000)}"}` }), /exceed/],
  ['a configuration nested 100 deep', () => ({ ...fine, 'config.json': `{"a":${'['.repeat(100)}${']'.repeat(100)}}` }), /nests deeper/],
  ['a configuration with a key twice', { ...fine, 'config.json': '{"model_type":"llama","model_type":"gpt2"}' }, /duplicate/],
  ['a family named like a method', configured({ model_type: 'toString' }), /unknown model_type/],
  ['a family named __proto__', configured({ model_type: '__proto__' }), /unknown model_type/],
  ['a family with an escape sequence', configured({ model_type: '\u001b[2J\n' }), /unknown model_type/],
  ['a family of a megabyte', () => configured({ model_type: 'x'.repeat(1_000_000) }), /unknown model_type/],
  ['a billion layers', configured({ num_hidden_layers: 1e9 }), /num_hidden_layers/],
  ['−1 layers', configured({ num_hidden_layers: -1 }), /num_hidden_layers/],
  ['half a layer', configured({ num_hidden_layers: 0.5 }), /num_hidden_layers/],
  ['a width of 2^53', configured({ hidden_size: 2 ** 53 }), /hidden_size/],
  ['a width that is a text', configured({ hidden_size: '8' }), /hidden_size/],
  ['a vocabulary of 10^300', configured({ vocab_size: 1e300 }), /vocab_size/],
  ['no heads', configured({ num_attention_heads: 0 }), /num_attention_heads/],
  ['heads that do not divide the width', configured({ num_attention_heads: 3 }), /head_dim/],
  ['more key heads than heads', configured({ num_key_value_heads: 4 }), /groups/],
  ['a rope base of zero', configured({ rope_theta: 0 }), /rope_theta/],
  ['a rope scaling that is a text', configured({ rope_scaling: 'linear' }), /rope_scaling/],
  ['a rope scaling of a billion', configured({ rope_scaling: { type: 'linear', factor: 1e9 } }), /factor/],
  ['an activation named like a method', configured({ hidden_act: 'valueOf' }), /hidden_act/],
  ['layers of the largest size and no weights for them', configured({ num_hidden_layers: 1024 }), /missing/],
  ['a width that the weights do not have', configured({ hidden_size: 16 }), /shape/],
  ['quantization of a kind nobody knows', configured({ quantization_config: { quant_method: '../../x' } }), /quant/],
  ['quantization that is an object without a prototype', configured({ quantization_config: { quant_method: {} } }), /quant_method \{\} is not read/],
  ['quantization that is a list', configured({ quantization_config: [] }), /not an object/],
  ['quantization of 77 bits', configured({ quantization_config: { quant_method: 'gptq', bits: 77 } }), /bits is 77/],
  ['quantization whose bits are a text', configured({ quantization_config: { quant_method: 'gptq', bits: '4' } }), /bits is "4"/],
  ['a version of AWQ that is an object', configured({ quantization_config: { quant_method: 'awq', bits: 4, version: {} } }), /version is \{\}/],
  ['compressed tensors in a thousand groups', configured({ quantization_config: { quant_method: 'compressed-tensors', config_groups: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`g${i}`, {}])) } }), /1000 groups/],
  ['compressed tensors without groups', configured({ quantization_config: { quant_method: 'compressed-tensors', config_groups: null } }), /0 groups/],
  ['no family', configured({ model_type: null }), /unknown model_type null/],
  ['a family that is a list', configured({ model_type: ['llama'] }), /unknown model_type/],
  ['an architecture of another family', configured({ architectures: ['GPT2LMHeadModel'] }), /architecture .* cannot be built/],
  ['architectures that hold an object', configured({ architectures: [{}] }), /architecture/],
  ['65 experts', configured({ num_local_experts: 65 }), /num_local_experts 65 is not supported/],
  ['a cap on attention logits', configured({ attn_logit_softcapping: 30 }), /attn_logit_softcapping/],
  ['a head of an odd width', configured({ head_dim: 3 }), /head_dim is 3, must be even/],
  ['a head of 2^20', configured({ head_dim: 2 ** 20 }), /head_dim/],
  ['an epsilon of −1', configured({ rms_norm_eps: -1 }), /rms_norm_eps/],
  ['an epsilon that is a list', configured({ rms_norm_eps: [1e-5] }), /rms_norm_eps/],
  ['a context of 2^40 positions', configured({ max_position_embeddings: 2 ** 40 }), /max_position_embeddings/],
  ['a tie that is neither true nor false', configured({ tie_word_embeddings: 'yes' }), /tie_word_embeddings/],
  ['a rope of an unknown kind', configured({ rope_scaling: { rope_type: 'constructor', factor: 2 } }), /rope_type "constructor" is not supported/],
  ['a rope without a factor', configured({ rope_scaling: { rope_type: 'linear' } }), /factor is missing/],
  ['a rope whose ramp is upside down', configured({ rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 1 } }), /low_freq_factor/],
  ['a rope for a part of the layers', configured({ rope_parameters: { full_attention: {}, sliding_attention: {} } }), /for a part of the layers/],
  ['layer types for none of the layers', configured({ model_type: 'qwen2', num_key_value_heads: 2, use_sliding_window: true, layer_types: [] }), /layer_types/],
  ['weights that nobody asked for', configured({ tie_word_embeddings: true, intermediate_size: 4 }), /shape|no place/],
];

export const hostileTokenizers: readonly Row[] = [
  ['a tokenizer that is a list', { ...fine, 'tokenizer.json': '[]' }, /object expected/],
  ['a tokenizer without a model', { ...fine, 'tokenizer.json': '{}' }, /model must be an object/],
  ['a tokenizer of 60 MB', () => ({ ...fine, 'tokenizer.json': new Uint8Array(60_000_000) }), /exceed/],
  ['a tokenizer of an unknown kind', modelled({ type: '__proto__' }), /unknown model type/],
  ['a vocabulary that is a list', modelled({ vocab: ['a'] }), /vocab must be/],
  ['an empty vocabulary', modelled({ vocab: {}, merges: [] }), /vocab must be/],
  ['a token id of 2^40', modelled({ vocab: { ...vocab, c: 2 ** 40 } }), /whole number below/],
  ['a token id of −1', modelled({ vocab: { ...vocab, c: -1 } }), /whole number below/],
  ['a token id of a half', modelled({ vocab: { ...vocab, c: 0.5 } }), /whole number below/],
  ['two tokens of one id', modelled({ vocab: { ...vocab, c: 2 } }), /another token has too/],
  ['a token of a megabyte', () => modelled({ vocab: { ...vocab, ['c'.repeat(1_000_000)]: -1 } }), /whole number below/],
  ['merges that are a text', modelled({ merges: 'a b' }), /merges must be/],
  ['a merge of one', modelled({ merges: ['a'] }), /merge 0/],
  ['a merge of three', modelled({ merges: ['a b ab'] }), /merge 0/],
  ['a merge of strangers', modelled({ merges: ['a z'] }), /merge 0/],
  ['a merge with a number', modelled({ merges: [['a', 1]] }), /merge 0/],
  ['Unigram pieces that are numbers', modelled({ type: 'Unigram', vocab: [1, 2] }), /pairs of piece and score/],
  ['a Unigram model with an unknown id beyond its pieces', modelled({ type: 'Unigram', vocab: [['a', 0]], unk_id: 7 }), /unk_id/],
  ['an added token without text', tokenized({ added_tokens: [{ id: 3 }] }), /added_tokens/],
  ['an added token of id 10^12', tokenized({ added_tokens: [{ id: 1e12, content: 'x' }] }), /whole number below/],
  ['a pattern of exponential time', tokenized(split('(a+)+$')), /exponential/],
  ['a pattern of exponential time in a group without a name', tokenized(split('(?:a|a)*b')), /exponential/],
  ['a pattern of 10 000 characters', tokenized(split('a'.repeat(10_000))), /longer than/],
  ['a pattern that does not close', tokenized(split('(a')), /cannot be used|pattern/],
  ['a pattern that is a number', tokenized({ pre_tokenizer: { type: 'Split', pattern: { Regex: 7 }, behavior: 'Isolated' } }), /pattern/],
  ['a pattern whose time is the fourth power of the text', tokenized(split('.*.*.*.*~')), /repeats 4 parts/],
  ['a pattern of bounds that are as good as none', tokenized(split('a{1,9999}a{1,9999}a{2,}a+~')), /repeats 4 parts/],
  ['a split without a pattern', tokenized({ pre_tokenizer: { type: 'Split', behavior: 'Isolated' } }), /pattern must be/],
  ['a replacement without a pattern', tokenized({ normalizer: { type: 'Replace', content: 'x' } }), /pattern must be/],
  ['a pattern that is an empty object', tokenized({ pre_tokenizer: { type: 'Split', pattern: {}, behavior: 'Isolated' } }), /pattern must be/],
  ['a model that is null', tokenized({ model: null }), /model must be an object/],
  ['a vocabulary that is null', modelled({ vocab: null }), /vocab must be/],
  ['a token id that is a text', modelled({ vocab: { ...vocab, c: '3' } }), /whole number below/],
  ['a token called __proto__ with an object for id', { ...fine, 'tokenizer.json': '{"model":{"type":"BPE","vocab":{"a":0,"__proto__":{}},"merges":[]}}' }, /"__proto__" has id/],
  ['merges of two kinds', modelled({ merges: ['a b', ['a', 'b']] }), /merge 1/],
  ['a merge whose result is no token', modelled({ merges: ['b a'] }), /merge 0/],
  ['pieces whose score is a text', modelled({ type: 'Unigram', vocab: [['a', '0']], unk_id: 0 }), /pairs of piece and score/],
  ['pieces and no unknown id', modelled({ type: 'Unigram', vocab: [['a', 0]] }), /unk_id/],
  ['added tokens that are an object', tokenized({ added_tokens: {} }), /added_tokens must be a list/],
  ['an added token without characters', tokenized({ added_tokens: [{ id: 3, content: '' }] }), /added_tokens/],
  ['steps that hold themselves 60 deep', tokenized({ normalizer: sequences(29) }), /cannot be used|nests deeper|steps/],
  ['a sequence whose steps are an object', tokenized({ pre_tokenizer: { type: 'Sequence', pretokenizers: {} } }), /must be a list/],
  ['a template of texts', tokenized({ post_processor: { type: 'TemplateProcessing', single: ['<s>'] } }), /single must be/],
  ['a cut of length 0', tokenized({ pre_tokenizer: { type: 'FixedLength', length: 0 } }), /length must be/],
  ['special tokens that are a text', { ...fine, 'tokenizer_config.json': '{"additional_special_tokens":"<s>"}' }, /additional_special_tokens must be a list/],
  ['settings of the tokenizer that are a list', { ...fine, 'tokenizer_config.json': '[]' }, /object expected/],
  ['a side file that is no JSON', { ...fine, 'special_tokens_map.json': '{' }, /expected/],
  ['a pre-tokenizer of an unknown kind', tokenized({ pre_tokenizer: { type: 'Rewrite' } }), /cannot be used|pre_tokenizer/],
  ['a normalizer without a kind', tokenized({ normalizer: {} }), /normalizer/],
  ['a normalizer of 100 steps', tokenized({ normalizer: { type: 'Sequence', normalizers: Array.from({ length: 100 }, () => ({ type: 'Lowercase' })) } }), /100 steps|65 steps/],
  ['replacements that multiply', tokenized({ normalizer: { type: 'Sequence', normalizers: Array.from({ length: 5 }, () => ({ type: 'Replace', pattern: { String: 'a' }, content: 'a'.repeat(100) })) } }), /lengthens/],
];

export const hostileIndexes: readonly Row[] = [
  ['an index without a map', indexed({}), /no weight_map/],
  ['an index that is a list', indexed('[]'), /no weight_map/],
  ['an index whose map is a list', indexed({ weight_map: [] }), /no weight_map/],
  ['an index with a number for a file', indexed({ weight_map: { a: 1 } }), /no weight_map/],
  ['an index that names another kind of file', indexed({ weight_map: { a: '../secret.bin' } }), /not a .safetensors/],
  ['an index of 3 000 shards', indexed({ weight_map: Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`t${i}`, `${i}.safetensors`])) }), /3000 shards exceed/],
  ['an index that leaves the folder', indexed({ weight_map: { a: '../a.safetensors' } }), /leaves the folder|not found/],
  ['an index that names a file that is not there', indexed({ weight_map: { a: 'b.safetensors' } }), /not found/],
  ['an index with a key twice', indexed('{"weight_map":{},"weight_map":{}}'), /duplicate/],
  ['an index that names a tensor that is not there', indexed({ weight_map: { ghost: 'a.safetensors' } }), /ghost is not in/],
];
