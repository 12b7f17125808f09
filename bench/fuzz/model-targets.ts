/** Attacks on what lies behind the parsers: graphs brought up to date, GGUF files as models, low-bit folders read back as float. */
import { readFileSync } from 'node:fs';
import { ggufParts } from '../../src/export/gguf.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySource, type Folder } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor, type ElementType, type TensorRef } from '../../src/tensor-ref.ts';
import { foldConstants, removeIdentities } from '../../src/graph/constant-fold.ts';
import { GraphBuilder, int, int64Tensor, ints } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { upgradeOpset } from '../../src/graph/upgrade.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import { languageModel, openLanguageModel, type LanguageModel } from '../../src/models/language-model.ts';
import { readLlamaConfig } from '../../src/models/llama-config.ts';
import { llamaShapes } from '../../src/models/llama-weights.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { folderStructure, ggufStructure, protobufStructure } from './structure.ts';
import { touch, utf8, written, type Target } from './target.ts';

const count = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);
const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 41 + 7) & 255);
const plain = (name: string, shape: readonly number[]): TensorRef => floatTensor(name, shape, Float32Array.from({ length: count(shape) }, (_, i) => ((i % 17) - 8) / 16));

/** Movements and small arithmetic on weights, as exporters leave them: each is folded away. */
function foldedGraph(): Promise<Uint8Array> {
  const g = new GraphBuilder('folded', 13);
  const x = g.input('x', 'f32', ['batch', 4]);
  const numbers = (name: string, values: readonly number[]): string => g.weight(int64Tensor(name, values));
  const [w, v] = [g.weight(plain('w', [4, 6])), g.weight(plain('v', [4, 6]))];
  const joined = g.op('Concat', [w, v], { axis: int(1) });
  const turned = g.op('Transpose', [joined], { perm: ints([1, 0]) });
  const picked = g.op('Gather', [turned, numbers('rows', [0, -1, 3, 5])], { axis: int(0) });
  const sum = g.op('Add', [g.op('Mul', [picked, picked]), g.op('Cast', [g.op('ConstantOfShape', [numbers('size', [4, 4])])], { to: int(1) })]);
  const shaped = g.op('Reshape', [g.op('Unsqueeze', [g.op('Squeeze', [sum, numbers('none', [])]), numbers('first', [0])]), g.op('Concat', [numbers('minus', [-1]), numbers('four', [4])], { axis: int(0) })]);
  const y = g.op('Gemm', [g.op('Dropout', [g.op('Identity', [x])]), shaped], { transB: int(1) });
  const slice = g.op('Slice', [y, numbers('begin', [0]), numbers('end', [2]), numbers('axis', [1]), numbers('step', [1])]);
  const sizes = g.op('Gather', [g.op('Shape', [x]), numbers('zero', [0])], { axis: int(0) });
  g.output(g.op('Reshape', [slice, g.op('Concat', [sizes, numbers('two', [2])], { axis: int(0) })]), 'y', 'f32', ['batch', 2]);
  return onnxBytes(g.graph());
}
/** A convolution, pooling and a resize: shapes with strides and pads. */
function imageGraph(): Promise<Uint8Array> {
  const g = new GraphBuilder('image', 11);
  const x = g.input('x', 'f32', [1, 2, 8, 8]);
  const y = g.op('Conv', [x, g.weight(plain('k', [4, 2, 3, 3])), g.weight(plain('b', [4]))], { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]), kernel_shape: ints([3, 3]), dilations: ints([1, 1]), group: int(1) });
  const z = g.op('MaxPool', [g.op('Clip', [y])], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
  const grown = g.op('Resize', [z, g.weight(floatTensor('roi', [0], new Float32Array(0))), g.weight(floatTensor('scales', [4], Float32Array.of(1, 1, 2, 2)))]);
  g.output(g.op('Flatten', [g.op('ConvTranspose', [grown, g.weight(plain('t', [4, 1, 2, 2]))])], { axis: int(1) }), 'y', 'f32', [1, 25]);
  return onnxBytes(g.graph());
}
export const onnxGraph: Target = {
  structure: protobufStructure,
  seeds: async () => [await foldedGraph(), await imageGraph(), readFileSync(new URL('../../test/fixtures/mnist.onnx', import.meta.url))],
  run: async (bytes) => {
    const graph = await openOnnx(memorySource('input', bytes));
    const modern = await removeIdentities(await foldConstants(await upgradeOpset(graph, Math.max(21, graph.opset.get('') ?? 21))));
    const sites = linearSites(modern, { gather: true });
    for (const site of sites.slice(0, 8)) if (site.rows * site.cols < 2 ** 18) await site.readRows(0, site.rows);
    return `${await touch(modern.weights.values())} ${Math.min(sites.length, 8)} sites ${Math.min(modern.nodes.length, 8)} nodes`;
  },
};

const config = { model_type: 'llama', vocab_size: 8, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1 };
const tokenizer = { model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] }, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }, decoder: { type: 'ByteLevel' } };
const weights = (raw: Readonly<Record<string, unknown>>): TensorRef[] => [...llamaShapes(readLlamaConfig(raw))].map(([name, shape]) => plain(name, shape));

/** What is done with a model: its graph, its tokenizer, its weights. */
async function use(model: LanguageModel): Promise<string> {
  try {
    model.graph({ cache: true });
    if (model.tokenizer !== undefined) openTokenizer(model.tokenizer).encode('ab a');
    return await touch(model.tensors.values());
  } finally {
    await model.close();
  }
}

async function ggufBytes(raw: Readonly<Record<string, unknown>>, words = true): Promise<Uint8Array> {
  const model = languageModel({ name: 'm', rawConfig: raw, tensors: new Map(weights(raw).map((tensor) => [tensor.name, tensor])), tokenizer: words ? { tokenizer, config: {}, others: new Map() } : undefined });
  const { metadata, tensors } = ggufParts(model);
  return written((sink) => writeGguf(sink, metadata, tensors.map(({ tensor }) => copyTensor(tensor))));
}
export const ggufModel: Target = {
  structure: ggufStructure,
  seeds: async () => [
    await ggufBytes(config), await ggufBytes({ ...config, model_type: 'qwen2' }), await ggufBytes({ ...config, model_type: 'qwen3', head_dim: 16 }),
    await ggufBytes({ ...config, rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } }, false),
  ],
  run: async (bytes) => use(await openGgufLanguageModel(memorySource('input.gguf', bytes))),
};

type Parts = (layer: string, out: number, into: number) => TensorRef[];
const typed = (name: string, type: ElementType, shape: readonly number[], bytesEach: number): TensorRef => memoryTensor(name, type, shape, pattern(count(shape) * bytesEach));
const halves = (name: string, shape: readonly number[]): TensorRef => memoryTensor(name, 'f16', shape, Uint8Array.from({ length: count(shape) * 2 }, (_, i) => (i % 2 === 0 ? 0 : 0x2c)));
const layouts: readonly (readonly [quantization: object, parts: Parts])[] = [
  [{ quant_method: 'gptq', bits: 4, group_size: 16, checkpoint_format: 'gptq' }, (layer, out, into) => [
    typed(`${layer}.qweight`, 'i32', [into / 8, out], 4), typed(`${layer}.qzeros`, 'i32', [into / 16, out / 8], 4), halves(`${layer}.scales`, [into / 16, out]),
    memoryTensor(`${layer}.g_idx`, 'i32', [into], new Uint8Array(Int32Array.from({ length: into }, (_, i) => i >> 4).buffer))]],
  [{ quant_method: 'awq', bits: 4, version: 'gemm' }, (layer, out, into) => [typed(`${layer}.qweight`, 'i32', [into, out / 8], 4), typed(`${layer}.qzeros`, 'i32', [into / 16, out / 8], 4), halves(`${layer}.scales`, [into / 16, out])]],
  [compressed(4), (layer, out, into) => [typed(`${layer}.weight_packed`, 'i32', [out, into / 8], 4), halves(`${layer}.weight_scale`, [out, into / 16]), typed(`${layer}.weight_zero_point`, 'i32', [out / 8, into / 16], 4)]],
  [compressed(4), (layer, out, into) => [typed(`${layer}.weight_packed`, 'u8', [out, into / 2], 1), typed(`${layer}.weight_scale`, 'f8_e4m3', [out, into / 16], 1), plain(`${layer}.weight_global_scale`, [1])]],
  [compressed(8), (layer, out, into) => [typed(`${layer}.weight`, 'i8', [out, into], 1), halves(`${layer}.weight_scale`, [out, 1]), typed(`${layer}.weight_zero_point`, 'i8', [out, 1], 1)]],
];
function compressed(num_bits: number): object {
  return { quant_method: 'compressed-tensors', config_groups: { group_0: { weights: { num_bits, type: 'int', strategy: 'group', group_size: 16 }, targets: ['Linear'] } } };
}
async function lowBitFolder([quantization, parts]: (typeof layouts)[number]): Promise<Uint8Array> {
  const tensors = weights(config).flatMap((tensor) => (/_proj\.weight$/.test(tensor.name) ? parts(tensor.name.slice(0, -'.weight'.length), tensor.shape[0], tensor.shape[1]) : [tensor]));
  const head = utf8(JSON.stringify({ ...config, quantization_config: quantization }));
  const body = await written((sink) => writeSafetensors(sink, tensors.map((tensor) => copyTensor(tensor))));
  const out = new Uint8Array(4 + head.length + body.length);
  new DataView(out.buffer).setUint32(0, head.length, true);
  out.set(head, 4);
  out.set(body, 4 + head.length);
  return out;
}
/** The length of config.json, config.json, model.safetensors. */
export const folder: Target = {
  structure: folderStructure,
  seeds: () => Promise.all(layouts.map(lowBitFolder)),
  run: async (bytes) => {
    const length = bytes.length < 4 ? 0 : Math.min(bytes.length - 4, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));
    const files = new Map([['config.json', bytes.subarray(4, 4 + length)], ['model.safetensors', bytes.subarray(4 + length)], ['tokenizer.json', utf8(JSON.stringify(tokenizer))]]);
    const opened: Folder = { name: 'folder', list: async () => [...files.keys()], has: async (file) => files.has(file), open: async (file) => memorySource(file, files.get(file)!) };
    return use(await openLanguageModel(opened));
  },
};
