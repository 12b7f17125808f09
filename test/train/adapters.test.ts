import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { readFloats } from '../../src/graph/values.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { insertAdapters, mergeAdapters } from '../../src/train/adapters.ts';
import { freezeBase } from '../../src/train/frozen-base.ts';
import { composites } from '../../src/train/composites/index.ts';
import { insertFakeQuantize } from '../../src/train/quantization-aware.ts';
import { assertClose, differences, gradients } from '../graph/gradient/check.ts';

const values = (count: number, stream: number, scale = 1) => Float32Array.from({ length: count }, (_, i) => scale * normal(3, stream, i));
const [rows, inputs, hidden, classes, rank] = [4, 5, 7, 3, 2];

/** A product of a stack of matrices, one with a bias, one stored [out, in]; then a weighted sum. */
function network(): Graph {
  const g = new GraphBuilder('small', 21);
  const matrix = (name: string, shape: readonly [number, number], stream: number): string => g.weight(floatTensor(name, shape, values(shape[0] * shape[1], stream, 0.5)));
  const h = g.op('Tanh', [g.op('MatMul', [g.input('x', 'f32', [2, rows / 2, inputs]), matrix('w1', [inputs, hidden], 1)])]);
  const flat = g.op('Reshape', [h, g.ints([rows, hidden])]);
  const second = g.op('Tanh', [g.op('Gemm', [flat, matrix('w2', [hidden, 6], 2), g.weight(floatTensor('b2', [6], values(6, 3)))])]);
  g.output(g.op('Gemm', [second, matrix('w3', [classes, 6], 4), g.weight(floatTensor('b3', [classes], values(classes, 5)))], { transB: int(1) }), 'logits', 'f32', [rows, classes]);
  g.output(g.op('ReduceSum', [g.op('Mul', ['logits', g.weight(floatTensor('c', [rows, classes], values(rows * classes, 6)))])], { keepdims: int(0) }), 'loss', 'f32', []);
  return g.graph();
}

const base = network();
const sites = linearSites(base);
const { graph, adapters } = insertAdapters(base, sites, { rank, alpha: 4, seed: 1 });
const names = adapters.flatMap(({ a, b }) => [a, b]);
/** Numbers for A and B, where B no longer is zero. */
const trained = new Map(adapters.flatMap(({ a, b, shape }, k) => [[a, values(shape[0] * rank, 20 + k)], [b, values(rank * shape[1], 30 + k, 0.3)]] as const));
const withTrained: Graph = { ...graph, weights: new Map([...graph.weights].map(([name, tensor]) => [name, trained.has(name) ? floatTensor(name, tensor.shape, trained.get(name)!) : tensor])) };

async function logits(what: Graph): Promise<Float32Array> {
  const session = await openGraph({ ...lower(what, composites), outputs: [base.outputs[0]] }, ortNode);
  const result = await session.run({ x: f32([2, rows / 2, inputs], values(rows * inputs, 9)) });
  await session.dispose();
  return result.logits.data as Float32Array;
}

test('adapters start at the model, and merged they compute what the branches computed', async () => {
  assert.deepEqual(adapters.map(({ id, scale }) => [id, scale]), [['w1', 2], ['w2', 2], ['w3', 2]]);
  assert.deepEqual(await logits(graph), await logits(base));
  const merged = await mergeAdapters(base, adapters, (name) => trained.get(name)!);
  assert.notDeepEqual(await readFloats(merged.weights.get('w1')!), await readFloats(base.weights.get('w1')!));
  assertClose(await logits(withTrained), await logits(merged), 1e-5, 'logits');
});

/** The graph with A and B as inputs, and their values in float64. */
const open = (): { readonly graph: Graph; readonly feeds: Readonly<Record<string, { type: 'f32'; shape: readonly number[]; data: Float64Array }>> } => {
  const known = { x: { type: 'f32' as const, shape: [2, rows / 2, inputs], data: Float64Array.from(values(rows * inputs, 9)) } };
  const fed = names.map((name) => [name, { type: 'f32' as const, shape: graph.weights.get(name)!.shape, data: Float64Array.from(trained.get(name)!) }] as const);
  const weights = new Map([...graph.weights].filter(([name]) => !trained.has(name)));
  return { feeds: { ...known, ...Object.fromEntries(fed) }, graph: { ...graph, weights, inputs: [...graph.inputs, ...fed.map(([name, { shape }]) => ({ name, type: 'f32' as const, shape }))] } };
};

test('gradients of adapters and inputs are those of the sum written out', async () => {
  const { graph: opened, feeds } = open();
  const wrt = [...names, 'x'];
  const { exact, engine } = await gradients(opened, 'loss', wrt, feeds, { composites });
  const written = await gradients(lower(opened, composites), 'loss', wrt, feeds);
  for (const name of wrt) {
    assertClose(exact.get(name)!.data, written.exact.get(name)!.data, 1e-12, name);
    assertClose(exact.get(name)!.data, await differences(lower(opened, composites), 'loss', name, feeds), 1e-6, name);
    assertClose(engine!.get(name)!.data, exact.get(name)!.data, 1e-4, name);
  }
});

test('no gradient of the size of a frozen weight is computed, unless a quantizer lies between', async () => {
  /** Values of a weight's shape that are neither the sum nor part of it. */
  const large = async (what: Graph): Promise<string[]> => {
    const { graph: whole, gradients: found } = await gradient(what, 'loss', names, { composites });
    const typed = await inferTypes(lower({ ...whole, outputs: [...new Set(found.values())].map((name) => ({ name, type: 'f32', shape: undefined })) }, composites));
    const shapes = adapters.map(({ shape }) => shape.join());
    return typed.nodes.flatMap(({ op, outputs: [name], inputs: [left] }) => (
      shapes.includes(typed.values.get(name)?.shape?.join() ?? '') && !['Add', 'Mul', 'Identity'].includes(op) && !names.includes(left) ? [op] : []));
  };
  assert.deepEqual(await large(graph), []);
  const quantized = insertFakeQuantize(base, () => ({ weight: 4, activation: undefined }), () => ({ mean: 0, meanAbs: 1, min: -1, max: 1 }) as never);
  const { graph: aware } = insertAdapters((await quantized).graph, sites, { rank, alpha: 4, seed: 1 });
  assert.ok((await large(aware)).some((op) => op === 'Gemm' || op === 'FusedMatMul'));
});

test('adapters that start with a lower rank than was asked for keep it', async () => {
  const frozen = await freezeBase(base, sites, parseFormat('int4/tensor'), { rank: 6, rounds: 2 });
  const made = insertAdapters(frozen.graph, linearSites(frozen.graph), { rank: 6, alpha: 6, start: frozen.start });
  for (const { a, b, shape } of made.adapters) {
    const least = Math.min(6, ...shape);
    assert.deepEqual([made.graph.weights.get(a)!.shape, made.graph.weights.get(b)!.shape], [[shape[0], least], [least, shape[1]]]);
    for (const name of [a, b]) assert.equal((await readFloats(made.graph.weights.get(name)!)).length, made.graph.weights.get(name)!.shape.reduce((x, y) => x * y, 1));
  }
});
