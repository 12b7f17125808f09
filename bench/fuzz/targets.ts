/** The readers under attack: for each, small valid files to begin with and what is done with an input. */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { deflateSync } from 'fflate';
import { encode as encodeJpeg } from 'jpeg-js';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { openGguf, type GgufValue } from '../../src/files/gguf.ts';
import { makeImatrix, readImatrix, writeImatrix } from '../../src/files/imatrix.ts';
import { isJsonObject, parseJsonBytes } from '../../src/files/json.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySource, type Folder } from '../../src/files/source.ts';
import { blockTypes, copyTensor, elementTypes, floatTensor, memoryTensor, type BlockType, type ElementType, type TensorRef } from '../../src/tensor-ref.ts';
import { GraphBuilder, float, floats, int, ints, string, strings, subgraph, tensor } from '../../src/graph/build.ts';
import { readLlamaConfig } from '../../src/models/llama-config.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { decodeImage, encodePng } from '../../src/observe/data/image.ts';
import { readIdx } from '../../src/observe/data/idx.ts';
import { jsonLines } from '../../src/observe/data/jsonl.ts';
import { readNpy, writeNpy } from '../../src/observe/data/npy.ts';
import { readNpz, writeNpz } from '../../src/observe/data/npz.ts';
import { parsePreprocessorConfig } from '../../src/observe/data/preprocessor-config.ts';
import {
  ggufStructure, idxStructure, jpegStructure, jsonStructure, legacyImatrixStructure, npyStructure, pngStructure, protobufStructure, safetensorsStructure, zipStructure,
} from './structure.ts';
import { folder, ggufModel, onnxGraph } from './model-targets.ts';
import { touch, utf8, written, type Target } from './target.ts';

const values = Float32Array.from({ length: 64 }, (_, i) => i / 8 - 4);
const typed = (name: string, type: ElementType, shape: readonly number[]): TensorRef =>
  memoryTensor(name, type, shape, new Uint8Array(Math.ceil(shape.reduce((product, dim) => product * dim, 1) * elementTypes[type].bits / 8)));

const safetensors: Target = {
  structure: safetensorsStructure,
  seeds: async () => [
    await written((sink) => writeSafetensors(sink, [copyTensor(floatTensor('a', [8, 8], values))], new Map([['format', 'pt']]))),
    await written((sink) => writeSafetensors(sink, (['f16', 'bf16', 'i64', 'u8', 'bool', 'f8_e4m3', 'f8_e5m2', 'f8_e8m0', 'f4_e2m1'] as const).map((type) => copyTensor(typed(type, type, [2, 4]))))),
    await written((sink) => writeSafetensors(sink, [copyTensor(typed('empty', 'f32', [0, 4])), copyTensor(typed('scalar', 'f64', []))])),
    await written((sink) => writeSafetensors(sink, [])),
  ],
  run: async (bytes) => touch((await openSafetensors(memorySource('input', bytes))).tensors.values()),
};

const metadata = new Map<string, GgufValue>([
  ['general.architecture', { type: 'string', value: 'llama' }], ['general.alignment', { type: 'u32', value: 32 }],
  ['a.u8', { type: 'u8', value: 1 }], ['a.i16', { type: 'i16', value: -1 }], ['a.f64', { type: 'f64', value: 0.5 }], ['a.u64', { type: 'u64', value: 2n ** 40n }], ['a.bool', { type: 'bool', value: true }],
  ['a.list', { type: 'array', of: 'i32', value: Int32Array.of(1, 2, 3) }], ['a.flags', { type: 'array', of: 'bool', value: [true, false] }],
  ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: ['<s>', 'a', 'é', ''] }],
]);
const blocks = (Object.keys(blockTypes) as BlockType[]).map((type): TensorRef => {
  const { block, bytes } = blockTypes[type];
  return memoryTensor(type, type, [2, block], new Uint8Array(2 * bytes).fill(0x3c));
});
const gguf: Target = {
  structure: ggufStructure,
  seeds: async () => [
    await written((sink) => writeGguf(sink, metadata, [copyTensor(floatTensor('w', [8, 8], values)), copyTensor(typed('h', 'f16', [2, 2, 2, 2]))])),
    await written((sink) => writeGguf(sink, new Map(), blocks.map((block) => copyTensor(block)))),
    await written((sink) => writeGguf(sink, metadata, [])),
    await written((sink) => writeGguf(sink, new Map(), (['f32', 'bf16', 'i8', 'i16', 'i32', 'i64', 'f64'] as const).map((type) => copyTensor(typed(type, type, [3]))))),
  ],
  run: async (bytes) => touch((await openGguf(memorySource('input', bytes))).tensors.values()),
};

/** A graph with every kind of attribute, bodies inside bodies, and tensors of many types. */
function richGraph(): Promise<Uint8Array> {
  const g = new GraphBuilder('rich', 21);
  const x = g.input('x', 'f32', ['batch', 8]);
  const w = g.weight(floatTensor('w', [8, 8], values));
  const y = g.op('MatMul', [x, w]);
  const z = g.op('Custom', [y], {
    i: int(7), is: ints([1, -2, 3]), f: float(0.5), fs: floats([1, 2]), s: string('text'), ss: strings(['a', 'b']), t: tensor(typed('t', 'i8', [4])),
  }, { domain: 'test' });
  const body = new GraphBuilder('then', 21, g);
  body.output(body.op('Relu', [z]), 'b');
  const condition = g.weight(memoryTensor('c', 'bool', [], Uint8Array.of(1)));
  g.output(g.op('If', [condition], { then_branch: subgraph(body.graph()), else_branch: subgraph(body.graph()) }), 'out', 'f32', ['batch', 8]);
  return onnxBytes(g.graph());
}
function weightsGraph(): Promise<Uint8Array> {
  const g = new GraphBuilder('weights', 21);
  let sum = g.input('x', 'f32', [4]);
  for (const type of ['f64', 'f16', 'bf16', 'i64', 'i32', 'i16', 'u16', 'u32', 'u64', 'bool', 'i4', 'u4', 'f8_e4m3', 'f8_e5m2'] as const) sum = g.op('Mix', [sum, g.weight(typed(type, type, [4]))], {}, { domain: 'test' });
  g.output(sum, 'y', 'f32', [4]);
  return onnxBytes(g.graph());
}
/** A protobuf field that holds bytes, fewer than 128 of them. */
const held = (field: number, ...parts: (readonly number[] | string)[]): number[] => {
  const content = parts.flatMap((part) => (typeof part === 'string' ? [...utf8(part)] : part));
  return [field * 8 + 2, content.length, ...content];
};
/** A model by hand whose weight lies in a file beside it. */
function externalModel(): Uint8Array {
  const vector = (field: number, name: string): number[] => held(field, held(1, name), held(2, held(1, [8, 1], held(2, held(1, [8, 4])))));
  const weight = held(5, [8, 4, 16, 1], held(8, 'w'), held(13, held(1, 'location'), held(2, 'w.bin')), held(13, held(1, 'length'), held(2, '16')), [112, 1]);
  return Uint8Array.from([8, 8, ...held(8, [16, 17]), ...held(7, held(1, held(1, 'x'), held(1, 'w'), held(2, 'y'), held(4, 'Add')), held(2, 'g'), weight, vector(11, 'x'), vector(12, 'y'))]);
}
const beside: Folder = {
  name: 'folder', list: async () => ['w.bin'], has: async (file) => file === 'w.bin', open: async () => memorySource('w.bin', new Uint8Array(64)),
};
const onnx: Target = {
  structure: protobufStructure,
  seeds: async () => [await richGraph(), await weightsGraph(), externalModel(), readFileSync(new URL('../../test/fixtures/mnist.onnx', import.meta.url))],
  run: async (bytes) => {
    const graph = await openOnnx(memorySource('input', bytes), beside);
    const word = await touch(graph.weights.values());
    return `${word} ${Math.min(graph.nodes.length, 8)} nodes ${graph.inputs.length > 0 ? 'inputs' : ''}`;
  },
};

const imatrixSample = makeImatrix(new Map([
  ['a.weight', { sums: Float32Array.of(1, 2, 3, 4), counts: Float32Array.of(2) }], ['b.weight', { sums: Float32Array.of(1, 2, 3, 4), counts: Float32Array.of(2, 0) }],
]), { datasets: ['text'], chunkCount: 1, chunkSize: 512 });
const imatrix: Target = {
  structure: ggufStructure,
  seeds: async () => [await written((sink) => writeImatrix(sink, imatrixSample))],
  run: async (bytes) => `${(await readImatrix(memorySource('input', bytes))).entries.size} entries`,
};
const legacyImatrix: Target = {
  ...imatrix,
  structure: legacyImatrixStructure,
  seeds: async () => [Uint8Array.from([2, 0, 0, 0, 1, 0, 0, 0, 97, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64, 1, 0, 0, 0, 98, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 128, 63, 5, 0, 0, 0, 1, 0, 0, 0, 116])],
};

const json: Target = {
  structure: jsonStructure,
  seeds: async () => ['{"a":[1,-2.5e3,true,false,null,"\\u00e9\\n\\"x"],"b":{"c":{},"d":[]}}', '[]', '"text"', '[[1,2],[3,4]]'].map(utf8),
  run: async (bytes) => { parseJsonBytes(bytes); return 'value'; },
};
const config: Target = {
  structure: jsonStructure,
  seeds: async () => [
    { model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 100, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3, num_attention_heads: 8, rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 } },
    { model_type: 'qwen2', vocab_size: 100, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 8, num_key_value_heads: 2, use_sliding_window: true, layer_types: ['full_attention', 'sliding_attention'] },
    { model_type: 'smollm3', vocab_size: 100, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 8, no_rope_layers: [0, 1], rope_parameters: { rope_type: 'yarn', rope_theta: 10000, factor: 4 } },
  ].map((value) => utf8(JSON.stringify(value))),
  run: async (bytes) => {
    const raw = parseJsonBytes(bytes);
    if (!isJsonObject(raw)) return 'no object';
    readLlamaConfig(raw);
    return 'configuration';
  },
};
const tokenizer: Target = {
  structure: jsonStructure,
  seeds: async () => [
    {
      added_tokens: [{ id: 3, content: '<s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
      normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { String: ' ' }, content: '_' }] },
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex: '\\s+|\\w+' }, behavior: 'Isolated', invert: false }, { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }] },
      post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [], special_tokens: { '<s>': { id: '<s>', ids: [3], tokens: ['<s>'] } } },
      decoder: { type: 'ByteLevel' }, model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'], unk_token: null },
    },
    { model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1], ['ab', -2]] }, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' }, decoder: { type: 'Metaspace', replacement: '▁' } },
    { model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: { '[UNK]': 0, a: 1, '##b': 2 } }, normalizer: { type: 'BertNormalizer', clean_text: true, lowercase: true }, pre_tokenizer: { type: 'BertPreTokenizer' }, decoder: { type: 'WordPiece', prefix: '##', cleanup: true } },
  ].map((value) => utf8(JSON.stringify(value))),
  run: async (bytes) => {
    const raw = parseJsonBytes(bytes);
    if (!isJsonObject(raw)) return 'no object';
    const made = openTokenizer({ tokenizer: raw, config: {}, others: new Map() });
    made.decode(made.encode('ab a é <s>\n'));
    return 'tokenizer';
  },
};

const arrays = [f32([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)), i64([2], [1, -2]), f32([], Float32Array.of(1)), f32([0, 4], new Float32Array(0))];
const npy: Target = { structure: npyStructure, seeds: async () => arrays.map((array) => writeNpy(array)), run: async (bytes) => readNpy(bytes).type };
const npz: Target = {
  structure: zipStructure,
  seeds: async () => [writeNpz(new Map(arrays.map((array, i) => [`a${i}`, array]))), writeNpz(new Map(arrays.map((array, i) => [`a${i}`, array])), { compress: true })],
  run: async (bytes) => `${Math.min(8, readNpz(bytes).size)} arrays`,
};
const picture = (channels: 1 | 3) => ({ width: 9, height: 7, channels, data: Uint8Array.from({ length: 63 * channels }, (_, i) => (i * 37) & 255) });
/** A PNG with a palette, interlaced or not, of any depth: written chunk by chunk. */
function pngOf(depth: number, colour: number, interlace: number, rows: Uint8Array, extra: readonly (readonly [string, Uint8Array])[] = []): Uint8Array {
  const chunk = (name: string, content: Uint8Array): Uint8Array => {
    const out = new Uint8Array(12 + content.length);
    new DataView(out.buffer).setUint32(0, content.length);
    out.set(utf8(name), 4);
    out.set(content, 8);
    return out;
  };
  const parts = [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), chunk('IHDR', Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 8, depth, colour, 0, 0, interlace)),
    ...extra.map(([name, content]) => chunk(name, content)), chunk('IDAT', zlib(rows)), chunk('IEND', new Uint8Array(0))];
  return pngStructure.repair!(Uint8Array.from(parts.flatMap((part) => [...part])));
}
function zlib(bytes: Uint8Array): Uint8Array {
  let [a, b] = [1, 0];
  for (const byte of bytes) { a = (a + byte) % 65521; b = (b + a) % 65521; }
  return Uint8Array.from([0x78, 0x9c, ...deflateSync(bytes), b >> 8, b & 255, a >> 8, a & 255]);
}
const png: Target = {
  structure: pngStructure,
  seeds: async () => [
    encodePng(picture(3)), encodePng(picture(1)), pngOf(1, 3, 0, new Uint8Array(16), [['PLTE', Uint8Array.of(0, 0, 0, 255, 255, 255)]]),
    pngOf(16, 6, 0, new Uint8Array(8 * 65)), pngOf(8, 4, 0, new Uint8Array(8 * 17)), pngOf(8, 2, 1, new Uint8Array(300)), pngOf(2, 0, 0, new Uint8Array(24)),
  ],
  run: async (bytes) => { const { width, height } = decodeImage(bytes); return `${Math.min(width, 16)}x${Math.min(height, 16)}`; },
};
const rgba = (size: number): Buffer => Buffer.from(Uint8Array.from({ length: size * size * 4 }, (_, i) => (i * 53) & 255));
const jpeg: Target = {
  ...png,
  structure: jpegStructure,
  seeds: async () => [encodeJpeg({ width: 16, height: 16, data: rgba(16) }, 80).data, encodeJpeg({ width: 9, height: 9, data: rgba(9) }, 20).data],
};
const idxSeeds = [Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8), Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 1, 63, 128, 0, 0)];
const idx: Target = { structure: idxStructure, seeds: async () => [...idxSeeds, ...idxSeeds.map((seed) => new Uint8Array(gzipSync(seed)))], run: async (bytes) => readIdx(bytes).type };
const jsonl: Target = {
  structure: jsonStructure,
  seeds: async () => [utf8('{"x":[[1,2],[3,4]],"label":1}\n{"x":[[5,6],[7,8]],"label":0}\n')],
  run: async (bytes) => { jsonLines('input', bytes, new Set(['x'])); return 'rows'; },
};
const preprocessor: Target = {
  structure: jsonStructure,
  seeds: async () => [utf8('{"do_resize":true,"size":{"shortest_edge":256},"do_center_crop":true,"crop_size":{"height":224,"width":224},"do_rescale":true,"rescale_factor":0.00392156862745098,"do_normalize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":3}')],
  run: async (bytes) => { parsePreprocessorConfig(new TextDecoder().decode(bytes)); return 'steps'; },
};

export const targets: Readonly<Record<string, Target>> = {
  safetensors, gguf, 'gguf-model': ggufModel, onnx, 'onnx-graph': onnxGraph, folder, imatrix, 'imatrix-legacy': legacyImatrix, json, config, tokenizer, npy, npz, png, jpeg, idx, jsonl, preprocessor,
};
