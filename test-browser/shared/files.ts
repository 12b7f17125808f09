/** Files written and read back, as hashes; runs in Node and in a page. */
import { openGguf, type GgufValue } from '../../src/files/gguf.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { openUrl } from '../../src/files/http.ts';
import { openOnnx, writeOnnx } from '../../src/files/onnx.ts';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { blobSource, memorySink, type ByteSource, type Folder } from '../../src/files/source.ts';
import { blockTypes, byteLengthOf, copyTensor, floatTensor, memoryTensor, type TensorRef, type TensorType } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';
import { GraphBuilder, float, floats, int, ints, string, strings, subgraph, tensor } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeTensor } from '../../src/round/encode-tensor.ts';
import { inlinePool } from '../../src/round/pool.ts';
import { digest } from './digest.ts';

const matrix = (name: string, rows: number, cols: number, seed: number): TensorRef =>
  floatTensor(name, [rows, cols], Float32Array.from({ length: rows * cols }, (_, i) => normal(seed, 0, i) * 0.1));

function bytesOf(name: string, type: TensorType, shape: readonly number[]): TensorRef {
  const byteLength = byteLengthOf(type, shape);
  return memoryTensor(name, type, shape, Uint8Array.from({ length: byteLength }, (_, i) => (i * 37 + 11) & 1));
}

/** A source over a Blob made of the bytes, as a page has files. */
const blobOf = (name: string, bytes: Uint8Array): ByteSource => blobSource(name, new Blob([bytes.slice()]));

const valuesOf = async (tensors: ReadonlyMap<string, TensorRef>): Promise<string> =>
  digest(...await Promise.all([...tensors.values()].map((ref) => readFloats(ref))));

/** Every element type, names outside ASCII, metadata; and what a reader makes of it. */
export async function safetensorsHashes(): Promise<Record<string, string>> {
  const types = ['f64', 'f32', 'f16', 'bf16', 'i64', 'i32', 'i16', 'i8', 'u8', 'bool'] as const;
  const sink = memorySink();
  await writeSafetensors(sink, [...types.map((type) => copyTensor(bytesOf(`tensor.${type}`, type, [3, 8]))), copyTensor(matrix('größe', 5, 7, 1))],
    new Map([['format', 'pt'], ['note', 'zwölf ✓']]));
  const { tensors } = await openSafetensors(blobOf('made.safetensors', sink.bytes()));
  return { bytes: await digest(sink.bytes()), names: [...tensors.keys()].join(), größe: await digest(await readFloats(tensors.get('größe')!)) };
}

/** Every metadata type, and one tensor of every block type, encoded as it is written. */
export async function ggufHashes(): Promise<Record<string, string>> {
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'llama' }], ['a.u8', { type: 'u8', value: 200 }], ['a.i16', { type: 'i16', value: -300 }],
    ['a.u32', { type: 'u32', value: 4e9 }], ['a.f32', { type: 'f32', value: 1e-5 }], ['a.f64', { type: 'f64', value: 0.1 }], ['a.bool', { type: 'bool', value: true }],
    ['a.u64', { type: 'u64', value: 2n ** 60n }], ['a.tokens', { type: 'array', of: 'string', value: ['é', '', '▁the'] }],
    ['a.scores', { type: 'array', of: 'f32', value: new Float32Array([-1.5, 2]) }],
  ]);
  const pool = inlinePool();
  const tensors = Object.keys(blockTypes).filter((type) => !/^iq[123]|^q8_1|^q8_k/.test(type)).map((type, i) =>
    encodeTensor(matrix(`blk.${type}`, 4, 512, i), type as TensorType, { pool }));
  const sink = memorySink();
  await writeGguf(sink, metadata, [copyTensor(matrix('norm', 1, 9, 50)), ...tensors]);
  const file = await openGguf(blobOf('made.gguf', sink.bytes()));
  return { bytes: await digest(sink.bytes()), names: [...file.tensors.keys()].join(), values: await valuesOf(file.tensors) };
}

/** A graph with every kind of attribute, a body, and weights inside and outside the file. */
function madeGraph(): Graph {
  const graph = new GraphBuilder('made');
  const x = graph.input('x', 'f32', ['batch', 16]);
  const hidden = graph.op('MatMul', [x, graph.weight(matrix('w', 16, 32, 3))]);
  const condition = graph.weight(bytesOf('condition', 'bool', [1]));
  const branch = (name: string, alpha: number) => {
    const body = new GraphBuilder(name, 21, graph);
    body.output(body.op('LeakyRelu', [hidden], { alpha: float(alpha) }), name, 'f32', ['batch', 32]);
    return body.graph();
  };
  const chosen = graph.op('If', [condition], { then_branch: subgraph(branch('yes', 0.1)), else_branch: subgraph(branch('no', 0.2)) });
  const made = graph.op('Custom', [chosen], {
    count: int(-3), sizes: ints([1, 2 ** 40]), ratio: floats([0.1, -2]), mode: string('größe'), names: strings(['a', 'ß']), table: tensor(matrix('table', 2, 3, 4)),
  }, { domain: 'made.domain' });
  graph.output(made, 'made', 'f32', ['batch', 32]);
  return graph.graph();
}

export async function onnxHashes(): Promise<Record<string, string>> {
  const [model, data] = [memorySink(), memorySink()];
  const graph = madeGraph();
  await writeOnnx(graph, model, { external: { location: 'made.onnx_data', sink: data, threshold: 256 } });
  const folder: Folder = {
    name: 'made', list: async () => ['made.onnx_data'], has: async (file) => file === 'made.onnx_data', open: async (file) => blobOf(file, data.bytes()),
  };
  const again = memorySink();
  const read = await openOnnx(blobOf('made.onnx', model.bytes()), folder);
  await writeOnnx(read, again);
  return {
    model: await digest(model.bytes()), data: await digest(data.bytes()), whole: await digest(again.bytes()),
    weights: await valuesOf(new Map([...read.weights].filter(([, { type }]) => type === 'f32'))),
  };
}

export interface Sources { readonly onnx: ByteSource; readonly safetensors: ByteSource }

/** Real files read and written again. */
export async function rewritten({ onnx, safetensors }: Sources): Promise<Record<string, string>> {
  const [first, second] = [memorySink(), memorySink()];
  await writeOnnx(await openOnnx(onnx), first);
  const { tensors } = await openSafetensors(safetensors);
  await writeSafetensors(second, [...tensors.values()].map((ref) => copyTensor(ref)));
  return { onnx: await digest(first.bytes()), safetensors: await digest(second.bytes()) };
}

export const realFiles = { onnx: 'assets/kws-dscnn/kws-dscnn.onnx', safetensors: 'assets/host-llama-shakespeare/model.safetensors' };

const fetched = async (path: string): Promise<ByteSource> => blobSource(path, await (await fetch(`/${path}`)).blob());
const linked = (path: string): Promise<ByteSource> => openUrl(new URL(`/${path}`, location.href).href);

/** In the page: the same of Blobs, and of URLs that are read range by range. */
export const rewrittenBlobs = async () => rewritten({ onnx: await fetched(realFiles.onnx), safetensors: await fetched(realFiles.safetensors) });
export const rewrittenUrls = async () => rewritten({ onnx: await linked(realFiles.onnx), safetensors: await linked(realFiles.safetensors) });
