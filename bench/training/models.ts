/** The models whose training step is timed: forward graphs with logits, and a batch for each. */
import { fileURLToPath } from 'node:url';
import { i64, type Tensor } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { bindToShapes } from '../../src/graph/bind.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { foldConstants } from '../../src/graph/constant-fold.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { openModern } from '../../src/jobs/source-node.ts';
import { normal } from '../../src/numeric/random.ts';

export interface BenchModel {
  readonly name: string;
  readonly graph: Graph;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly labels: Tensor;
}

const random = (shape: readonly number[], stream: number, scale = 1): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => scale * normal(1, stream, i));
const images = (shape: readonly number[]): Tensor => ({ type: 'f32', shape, data: random(shape, 99) });
const classes = (rows: number, count: number): Tensor => i64([rows], Array.from({ length: rows }, (_, i) => i % count));

class Layers {
  readonly g: GraphBuilder;
  #stream = 0;
  constructor(name: string) { this.g = new GraphBuilder(name, 21); }
  weight(shape: readonly number[], scale: number): string { return this.g.weight(floatTensor(`w${++this.#stream}`, shape, random(shape, this.#stream, scale))); }
  filled(count: number, value: number): string { return this.g.weight(floatTensor(`v${++this.#stream}`, [count], new Float32Array(count).fill(value))); }
  dense(x: string, from: number, to: number): string { return this.g.op('Add', [this.g.op('MatMul', [x, this.weight([from, to], 1 / Math.sqrt(from))]), this.filled(to, 0)]); }
  conv(x: string, from: number, to: number, stride: number): string {
    return this.g.op('Conv', [x, this.weight([to, from, 3, 3], Math.sqrt(2 / (9 * from))), this.filled(to, 0)], { pads: ints([1, 1, 1, 1]), strides: ints([stride, stride]) });
  }
  norm(x: string, width: number): string { return this.g.op('LayerNormalization', [x, this.filled(width, 1), this.filled(width, 0)]); }
}

function perceptron(): BenchModel {
  const l = new Layers('mlp');
  const x = l.g.input('x', 'f32', [128, 784]);
  l.g.output(l.dense(l.g.op('Relu', [l.dense(x, 784, 512)]), 512, 10), 'logits', 'f32', [128, 10]);
  return { name: 'mlp', graph: l.g.graph(), feeds: { x: images([128, 784]) }, labels: classes(128, 10) };
}

function smallCnn(): BenchModel {
  const l = new Layers('cnn');
  const x = l.g.input('x', 'f32', [32, 1, 28, 28]);
  const first = l.g.op('Relu', [l.conv(x, 1, 16, 1)]);
  const flat = l.g.op('Reshape', [l.g.op('Relu', [l.conv(first, 16, 32, 2)]), l.g.ints([32, 32 * 14 * 14])]);
  l.g.output(l.dense(flat, 32 * 14 * 14, 10), 'logits', 'f32', [32, 10]);
  return { name: 'cnn', graph: l.g.graph(), feeds: { x: images([32, 1, 28, 28]) }, labels: classes(32, 10) };
}

function transformer(): BenchModel {
  const [batch, length, width, heads, inner, vocabulary] = [8, 64, 128, 4, 512, 256];
  const l = new Layers('transformer');
  const { g } = l;
  const size = width / heads;
  let x = g.op('Gather', [l.weight([vocabulary, width], 0.02), g.input('ids', 'i64', [batch, length])]);
  const mask = g.weight(floatTensor('mask', [length, length], Float32Array.from({ length: length ** 2 }, (_, i) => (i % length > Math.floor(i / length) ? -1e4 : 0))));
  const split = (value: string): string => g.op('Transpose', [g.op('Reshape', [value, g.ints([batch, length, heads, size])])], { perm: ints([0, 2, 1, 3]) });
  for (let layer = 0; layer < 4; layer++) {
    const parts = g.op('Split', [l.dense(l.norm(x, width), width, 3 * width)], { axis: int(-1), num_outputs: int(3) }, { outputs: 3 });
    const [q, k, v] = parts.map(split);
    const scores = g.op('Mul', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: ints([0, 1, 3, 2]) })]), g.floats(1 / Math.sqrt(size))]);
    const mixed = g.op('MatMul', [g.op('Softmax', [g.op('Add', [scores, mask])]), v]);
    x = g.op('Add', [x, l.dense(g.op('Reshape', [g.op('Transpose', [mixed], { perm: ints([0, 2, 1, 3]) }), g.ints([batch, length, width])]), width, width)]);
    x = g.op('Add', [x, l.dense(g.op('Gelu', [l.dense(l.norm(x, width), width, inner)]), inner, width)]);
  }
  g.output(l.dense(l.norm(x, width), width, vocabulary), 'logits', 'f32', [batch, length, vocabulary]);
  const ids = i64([batch, length], Array.from({ length: batch * length }, (_, i) => i % vocabulary));
  return { name: 'transformer', graph: g.graph(), feeds: { ids }, labels: classes(batch * length, vocabulary) };
}

async function resnet20(assets: string): Promise<BenchModel> {
  const { graph } = await openModern(`${assets}/cnn-resnet-cifar10/derived_resnet20.onnx`);
  const shape = [64, 3, 32, 32];
  return { name: 'resnet20', graph: await foldConstants(await bindToShapes(graph, new Map([[graph.inputs[0].name, shape]]))), feeds: { [graph.inputs[0].name]: images(shape) }, labels: classes(64, 10) };
}

async function llama(): Promise<BenchModel> {
  const { language } = await openModern(fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url)));
  const graph = await foldConstants(await bindToShapes(language!.graph(), new Map([['input_ids', [8, 256]]])));
  const ids = i64([8, 256], Array.from({ length: 8 * 256 }, (_, i) => i % language!.config.vocabSize));
  return { name: 'llama', graph, feeds: { input_ids: ids }, labels: classes(8 * 256, language!.config.vocabSize) };
}

/** All models; ResNet-20 only where the assets are. */
export async function models(assets: string | undefined): Promise<BenchModel[]> {
  return [perceptron(), smallCnn(), transformer(), ...(assets === undefined ? [] : [await resnet20(assets)]), await llama()];
}
