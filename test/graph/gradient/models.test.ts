/** Gradients of the models that ship with the repository, on their own data, through ONNX Runtime. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../../src/engine/ort-node.ts';
import { f32, i64, type Tensor } from '../../../src/engine/tensor.ts';
import { openFolder } from '../../../src/files/fs-node.ts';
import { onnxBytes, openOnnx } from '../../../src/files/onnx.ts';
import { memorySource } from '../../../src/files/source.ts';
import { floatTensor } from '../../../src/tensor-ref.ts';
import { bindDimensions } from '../../../src/graph/bind.ts';
import { GraphBuilder, int, ints, string } from '../../../src/graph/build.ts';
import { foldConstants } from '../../../src/graph/constant-fold.ts';
import { extend } from '../../../src/graph/extend.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import { lower } from '../../../src/graph/composite.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { inferTypes } from '../../../src/graph/infer.ts';
import { upgradeOpset } from '../../../src/graph/upgrade.ts';
import { readNumbers } from '../../../src/graph/values.ts';
import { openLanguageModel } from '../../../src/models/language-model.ts';
import { openTokenizer } from '../../../src/models/tokenizer.ts';
import { readNpy } from '../../../src/observe/data/npy.ts';
import { Random } from './random.ts';

const assets = join(import.meta.dirname, '../../../assets');
const seen = (graph: Graph, names: readonly string[]): Graph => ({ ...graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) });

/** Mean cross-entropy of logits [rows, classes] against labels, appended as `loss`. */
function withLoss(graph: Graph, logits: string, rows: number, classes: number): Graph {
  const labelled = { ...graph, inputs: [...graph.inputs, { name: 'labels', type: 'i64' as const, shape: [rows, 1] }] };
  return extend(labelled, (tape) => {
    const logs = tape.op('LogSoftmax', [tape.op('Reshape', [logits, tape.ints([rows, classes])])]);
    return tape.named('Neg', [tape.op('ReduceMean', [tape.op('GatherElements', [logs, 'labels'], { axis: int(1) })], { keepdims: int(0) })], 'loss');
  }).graph;
}

/** Float weights that the loss depends on through standard operators: those with at least two entries. */
const trainable = (graph: Graph): string[] => [...graph.weights].filter(([, { type, shape }]) => type === 'f32' && shape.reduce((a, b) => a * b, 1) > 1).map(([name]) => name);

/** Loss along the normalised gradient of all weights must climb by the gradient's length. */
async function climbs(graph: Graph, feeds: Readonly<Record<string, Tensor>>, step: number, tolerance: number): Promise<void> {
  const typed = await inferTypes(graph);
  const names: string[] = [];
  for (const name of trainable(typed)) {
    try {
      await gradient(typed, 'loss', [name]);
      names.push(name);
    } catch (error) {
      if ((error as { code?: string }).code !== 'gradient.unused') throw error;
    }
  }
  const made = await gradient(typed, 'loss', names);
  const values = names.map((name) => made.gradients.get(name)!);
  const session = await ortNode.open({ bytes: await onnxBytes(lower(seen(made.graph, ['loss', ...new Set(values)]))) });
  const found = await session.run(feeds);
  await session.dispose();
  const slopes = values.map((value) => found[value].data as Float32Array);
  const length = Math.sqrt(slopes.reduce((sum, data) => sum + data.reduce((a, b) => a + b * b, 0), 0));
  assert.ok(length > 0 && Number.isFinite(length), `length of the gradient ${length}`);
  const lossAt = async (distance: number): Promise<number> => {
    const moved = new Map(graph.weights);
    for (const [i, name] of names.entries()) {
      const weight = graph.weights.get(name)!;
      const data = Float32Array.from(await readNumbers(weight), (w, j) => w + (distance / length) * slopes[i][j]);
      moved.set(name, floatTensor(name, weight.shape, data));
    }
    const other = await ortNode.open({ bytes: await onnxBytes(seen({ ...graph, weights: moved }, ['loss'])) });
    const { loss } = await other.run(feeds);
    await other.dispose();
    return (loss.data as Float32Array)[0];
  };
  const slope = (await lossAt(step) - await lossAt(-step)) / (2 * step);
  assert.ok(Math.abs(slope - length) < tolerance * length, `slope ${slope}, length of the gradient ${length}`);
}

test('the keyword-spotting network climbs along its gradient', async () => {
  const read = await openOnnx(memorySource('kws-dscnn.onnx', await readFile(join(assets, 'kws-dscnn/kws-dscnn.onnx'))));
  const inputs = readNpy(await readFile(join(assets, 'kws-dscnn/inputs.npy')));
  const labels = readNpy(await readFile(join(assets, 'kws-dscnn/labels.npy')));
  const graph = await foldConstants(await upgradeOpset(read, 21));
  const rows = 8;
  const size = inputs.shape.slice(1).reduce((a, b) => a * b, 1);
  const [input] = graph.inputs;
  const sizes = Object.fromEntries((input.shape ?? []).filter((dim) => typeof dim === 'string').map((dim) => [dim, rows]));
  const bound = await bindDimensions({ ...graph, inputs: [{ ...input, shape: [rows, ...inputs.shape.slice(1)] }], outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) }, sizes);
  await climbs(withLoss(bound, graph.outputs[0].name, rows, 12), {
    [input.name]: f32([rows, ...inputs.shape.slice(1)], Float32Array.from((inputs.data as Float32Array).subarray(0, rows * size))),
    labels: i64([rows, 1], Array.from({ length: rows }, (_, i) => Number((labels.data as ArrayLike<number | bigint>)[i]))),
  }, 1e-3, 5e-3);
});

test('the language model climbs along its gradient', async () => {
  const model = await openLanguageModel(await openFolder(join(assets, 'host-llama-shakespeare')));
  try {
    const ids = openTokenizer(model.tokenizer!).encode((await readFile(join(assets, 'shakespeare/heldout.txt'), 'utf8')).slice(0, 400));
    const length = 32;
    const graph = model.graph();
    const [{ name, shape }] = graph.inputs;
    const sizes = Object.fromEntries((shape ?? []).map((dim, i) => [String(dim), i === 0 ? 1 : length]));
    const bound = await bindDimensions(graph, sizes);
    await climbs(withLoss(bound, graph.outputs[0].name, length, model.config.vocabSize), { [name]: i64([1, length], ids.slice(0, length)), labels: i64([length, 1], ids.slice(1, length + 1)) }, 1e-2, 5e-3);
  } finally {
    await model.close();
  }
});

test('a hundred runs on two threads give the same bytes, with repeated indices', async () => {
  const g = new GraphBuilder('repeated', 21);
  const shapes = { table: [8, 32], wide: [32, 512], x: [8, 8, 16, 16], w: [16, 8, 3, 3], v: [16, 16, 3, 3], scale: [16], bias: [16] };
  for (const [name, shape] of Object.entries(shapes)) g.input(name, 'f32', shape);
  g.input('ids', 'i64', [2048]);
  const tokens = g.op('Softmax', [g.op('MatMul', [g.op('Gather', ['table', 'ids']), 'wide'])]);
  const elements = g.op('GatherElements', [tokens, g.op('Expand', [g.op('Unsqueeze', ['ids', g.ints([1])]), g.ints([2048, 16])])], { axis: int(1) });
  const convolved = g.op('Conv', [g.op('Conv', ['x', 'w'], { pads: ints([1, 1, 1, 1]) }), 'v'], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) });
  const [normal] = g.op('BatchNormalization', [convolved, 'scale', 'bias', g.weight(floatTensor('mean', [16], new Float32Array(16))), g.weight(floatTensor('variance', [16], new Float32Array(16)))], { training_mode: int(1) }, { outputs: 3 });
  const pooled = g.op('MaxPool', [g.op('Relu', [normal])], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) });
  const scattered = g.op('ScatterElements', [g.weight(floatTensor('zeros', [8], new Float32Array(8))), 'ids', g.op('ReduceSum', [elements, g.ints([1])], { keepdims: int(0) })], { reduction: string('add') });
  const sum = (value: string): string => g.op('ReduceSum', [g.op('Mul', [value, value])], { keepdims: int(0) });
  g.output(g.op('Sum', [sum(elements), sum(pooled), sum(scattered)]), 'loss');
  const made = await gradient(g.graph(), 'loss', Object.keys(shapes));
  const names = [...made.gradients.values()];
  const session = await ortNode.open({ bytes: await onnxBytes(lower(seen(made.graph, names))) }, { threads: 2 });
  const random = new Random(9);
  const feeds: Record<string, Tensor> = { ids: i64([2048], Array.from({ length: 2048 }, () => Math.floor(random.next() * 8))) };
  for (const [name, shape] of Object.entries(shapes)) feeds[name] = f32(shape, random.floats(shape.reduce((a, b) => a * b, 1)));
  const bytes = (tensor: Tensor): Buffer => Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  const first = await session.run(feeds);
  for (let run = 1; run < 100; run++) {
    const again = await session.run(feeds);
    for (const name of names) assert.ok(bytes(again[name]).equals(bytes(first[name])), `run ${run}: ${name}`);
  }
  await session.dispose();
});
