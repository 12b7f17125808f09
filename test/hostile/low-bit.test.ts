/** Folders in low-bit layouts whose tensors do not fit each other, or are not what the layout says. */
import { writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySink, memorySource, type Folder } from '../../src/files/source.ts';
import { copyTensor, elementTypes, floatTensor, memoryTensor, type ElementType, type TensorRef } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { readLlamaConfig } from '../../src/models/llama-config.ts';
import { llamaShapes } from '../../src/models/llama-weights.ts';
import { answers } from './answers.ts';

const config = { model_type: 'llama', vocab_size: 8, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 };
const count = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);
const layer = 'model.layers.0.self_attn.q_proj';
type Part = readonly [part: string, type: ElementType, shape: readonly number[]];
const made = ([part, type, shape]: Part): TensorRef => memoryTensor(`${layer}.${part}`, type, shape, new Uint8Array(Math.ceil((count(shape) * elementTypes[type].bits) / 8)));

/** A model whose one query matrix [32, 32] consists of these parts. */
async function folderOf(quantization: object, parts: readonly Part[]): Promise<Folder> {
  const sink = memorySink();
  const floats = [...llamaShapes(readLlamaConfig(config))].filter(([name]) => name !== `${layer}.weight`).map(([name, shape]) => floatTensor(name, shape, new Float32Array(count(shape))));
  await writeSafetensors(sink, [...floats, ...parts.map(made)].map((tensor) => copyTensor(tensor)));
  const files = new Map([['config.json', new TextEncoder().encode(JSON.stringify({ ...config, quantization_config: quantization }))], ['model.safetensors', sink.bytes()]]);
  return { name: 'folder', list: async () => [...files.keys()], has: async (file) => files.has(file), open: async (file) => memorySource(file, files.get(file)!) };
}
/** Opens the folder and reads the matrix. */
async function read(folder: Promise<Folder>): Promise<unknown> {
  const { tensors } = await openLanguageModel(await folder);
  return readFloats(tensors.get(`${layer}.weight`)!);
}

const gptq = { quant_method: 'gptq', bits: 4 };
const awq = { quant_method: 'awq', bits: 4 };
const packed = { quant_method: 'compressed-tensors', config_groups: { g: { weights: { num_bits: 4 } } } };
const table = { quant_method: 'bitsandbytes', load_in_4bit: true };
const state: Part = ['weight.quant_state.bitsandbytes__nf4', 'u8', [20]];
const tableParts: readonly Part[] = [['weight.absmax', 'f32', [16]], ['weight.quant_map', 'f32', [16]], state];
const qweight: Part = ['qweight', 'i32', [4, 32]];
const qzeros: Part = ['qzeros', 'i32', [2, 4]];
const scales: Part = ['scales', 'f16', [2, 32]];

const cases: readonly (readonly [name: string, quantization: object, parts: readonly Part[], expect: RegExp])[] = [
  ['GPTQ codes without scales', gptq, [qweight, qzeros], /has no tensor scales/],
  ['GPTQ codes without zero points', gptq, [qweight, scales], /has no tensor qzeros/],
  ['GPTQ codes of single bytes', gptq, [['qweight', 'u8', [4, 32]], qzeros, scales], /qweight has type u8/],
  ['GPTQ zero points of 3 bytes', gptq, [qweight, ['qzeros', 'u8', [1, 3]], scales], /qzeros has type u8/],
  ['GPTQ zero points for other groups', gptq, [qweight, ['qzeros', 'i32', [3, 4]], scales], /12 elements where 8 belong/],
  ['GPTQ codes of three dimensions', gptq, [['qweight', 'i32', [2, 2, 32]], qzeros, scales], /qweight has shape/],
  ['GPTQ codes of no rows', gptq, [['qweight', 'i32', [0, 32]], qzeros, scales], /qweight has shape \[0, 32\]/],
  ['GPTQ scales of no groups', gptq, [qweight, qzeros, ['scales', 'f16', [0, 32]]], /scales has shape \[0, 32\]/],
  ['GPTQ scales for other rows', gptq, [qweight, qzeros, ['scales', 'f16', [2, 16]]], /scales has shape \[2, 16\]/],
  ['a GPTQ order of fewer columns', gptq, [qweight, qzeros, scales, ['g_idx', 'i32', [5]]], /g_idx has shape \[5\]/],
  ['a GPTQ order of 64 bits', gptq, [qweight, qzeros, scales, ['g_idx', 'i64', [32]]], /g_idx has type i64/],
  ['AWQ codes of half precision', awq, [['qweight', 'f16', [32, 4]], qzeros, scales], /qweight has type f16/],
  ['AWQ zero points of one word', awq, [['qweight', 'i32', [32, 4]], ['qzeros', 'i32', [1]], scales], /1 elements where 8 belong/],
  ['packed codes for other columns', packed, [['weight_packed', 'i32', [32, 9]], ['weight_scale', 'f16', [32, 2]]], /weight_packed has shape/],
  ['packed codes of 64 bits', packed, [['weight_packed', 'i64', [32, 4]], ['weight_scale', 'f16', [32, 2]]], /weight_packed has type i64/],
  ['packed zero points of 5 bytes', packed, [['weight_packed', 'i32', [32, 4]], ['weight_scale', 'f16', [32, 2]], ['weight_zero_point', 'i8', [5]]], /weight_zero_point has type i8/],
  ['FP4 with groups that do not divide', packed, [['weight_packed', 'u8', [32, 16]], ['weight_scale', 'f8_e4m3', [32, 3]]], /weight_scale has shape/],
  ['FP4 with a global scale of nothing', packed, [['weight_packed', 'u8', [32, 16]], ['weight_scale', 'f8_e4m3', [32, 2]], ['weight_global_scale', 'f32', [0]]], /weight_global_scale has shape \[0\]/],
  ['codes with more scales than values', packed, [['weight', 'i8', [32, 32]], ['weight_scale', 'f16', [64, 64]]], /weight_scale has shape/],
  ['NF4 codes of other columns', table, [['weight', 'u8', [500, 1]], ...tableParts], /weight has shape \[500, 1\]/],
  ['NF4 whose state is no JSON', table, [['weight', 'u8', [512, 1]], ['weight.absmax', 'f32', [16]], state], /expected a value at character 0/],
  ['NF4 without its state', table, [['weight', 'u8', [512, 1]], ...tableParts.slice(0, 2)], /has no tensor quant_state/],
  ['bytes with a scale for other rows', table, [['weight', 'i8', [32, 32]], ['SCB', 'f32', [31]]], /SCB has shape \[31\]/],
];
for (const [name, quantization, parts, expect] of cases) answers(name, () => folderOf(quantization, parts), read, expect);
