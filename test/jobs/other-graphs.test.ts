/** Graphs as other tools write them: floats of other widths, weights read in two directions, much outside of layers, none at all. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { onnxTypes } from '../../src/graph/data-types.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { viewOf } from '../../src/graph/traverse.ts';
import { encodeNumbers, numberTensor } from '../../src/graph/values.ts';
import { diagnoseModel } from '../../src/jobs/diagnose-node.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { planQuantize, quantize } from '../../src/jobs/quantize-node.ts';
import { openModern } from '../../src/jobs/source-node.ts';
import { normal } from '../../src/numeric/random.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const folder = mkdtempSync(join(tmpdir(), 'fewbit-graphs-'));
after(() => rmSync(folder, { recursive: true }));

const values = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(7, stream, i) / 4);
async function file(graph: Graph): Promise<string> {
  const path = join(folder, `${graph.name}.onnx`);
  writeFileSync(path, await onnxBytes(graph));
  return path;
}
function npy(type: string, shape: string, bytes: Uint8Array): Buffer {
  const header = `{'descr': '<${type}', 'fortran_order': False, 'shape': (${shape}), }`.padEnd(117) + '\n';
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([118, 0]), Buffer.from(header), bytes]);
}
const run = (name: string, model: string, weights: string) => quantize({ model, to: 'onnx', weights, output: join(folder, `${name}-${weights.replaceAll('/', '-')}`), evaluationSamples: 8 });

/** Two products and a mean over a cast to this type, with inputs and outputs of it. */
function perceptron(type: 'f16' | 'f64'): Graph {
  const g = new GraphBuilder(`perceptron-${type}`, 17);
  const x = g.input('x', type, ['N', 32]);
  const hidden = g.op('Relu', [g.op('MatMul', [x, g.weight(numberTensor('up', type, [32, 64], values(32 * 64, 1)))])]);
  const wide = g.op('Cast', [g.op('Cast', [hidden], { to: int(onnxTypes.f32) })], { to: int(onnxTypes[type]) });
  g.output(g.op('Gemm', [wide, g.weight(numberTensor('down', type, [16, 64], values(16 * 64, 2))), g.weight(numberTensor('bias', type, [16], values(16, 3)))], { transB: int(1) }), 'y', type, ['N', 16]);
  return g.graph();
}

for (const type of ['f16', 'f64'] as const) {
  test(`a network in ${type} is rounded in float32 and keeps the types of its ends`, async () => {
    const path = await file(perceptron(type));
    const model = await openModern(path);
    assert.deepEqual([...model.graph.weights.values()].map((weight) => weight.type), ['f32', 'f32', 'f32']);
    assert.deepEqual([model.graph.inputs[0].type, model.graph.outputs[0].type], [type, type]);
    await model.close();
    for (const weights of ['int8/channel', 'int4/g32']) {
      const { outputs: [{ file: name, verdict }] } = await run(type, path, weights);
      assert.ok(verdict.bitsPerWeight < 12, `${weights}: ${verdict.bitsPerWeight} bits`);
      assert.ok(verdict.score!.error.sqnr! > 15, `${weights}: ${verdict.score!.error.sqnr} dB`);
      const session = await ortNode.open({ path: join(folder, `${type}-${weights.replaceAll('/', '-')}`, name) });
      assert.deepEqual(session.inputs.map((input) => input.type), [type]);
      await session.dispose();
    }
  });
}

test('the plan tells values of half floats, not their bits', async () => {
  const data = join(folder, 'half.npy');
  writeFileSync(data, npy('f2', '4, 32', encodeNumbers('f16', values(4 * 32, 8))));
  const { inputs: [{ low, high }] } = await planQuantize({ model: await file(perceptron('f16')), to: 'onnx', weights: 'int8/channel', data, output: 'never-written' });
  assert.ok(low! > -2 && low! < 0 && high! > 0 && high! < 2, `${low} to ${high}`);
});

test('a weight that two layers read in two directions is rounded for each', async () => {
  const g = new GraphBuilder('two-directions', 17);
  const x = g.input('x', 'f32', ['N', 32]);
  const weight = g.weight(floatTensor('w', [64, 32], values(64 * 32, 4)));
  g.output(g.op('MatMul', [g.op('Relu', [g.op('Gemm', [x, weight], { transB: int(1) })]), weight]), 'y', 'f32', ['N', 32]);
  const path = await file(g.graph());
  for (const weights of ['int8/channel', 'uint4/g32']) {
    const { outputs: [{ verdict, tensors }] } = await run('two', path, weights);
    assert.deepEqual(tensors.map(({ name, target }) => [name, target]), [['w', weights], ['w_turned', weights]]);
    assert.ok(verdict.score!.error.sqnr! > 15, `${weights}: ${verdict.score!.error.sqnr} dB`);
  }
});

test('a weight that two layers read in the same direction stays one', async () => {
  const g = new GraphBuilder('tied', 17);
  const weight = g.weight(floatTensor('w', [32, 32], values(32 * 32, 5)));
  g.output(g.op('MatMul', [g.op('Relu', [g.op('MatMul', [g.input('x', 'f32', ['N', 32]), weight])]), weight]), 'y', 'f32', ['N', 32]);
  const model = await openModern(await file(g.graph()));
  assert.deepEqual([...model.graph.weights.keys()], ['w']);
  await model.close();
});

test('shapes are known where attention is unflattened over an axis counted with Mod', async () => {
  const g = new GraphBuilder('unflatten', 18);
  const shape = g.op('Shape', [g.input('x', 'f32', [2, 5, 12])]);
  const axis = g.op('Reshape', [g.op('Mod', [g.ints([-1]), g.ints([3])]), g.ints([-1])]);
  const after = g.op('Reshape', [g.op('Add', [g.op('Mod', [g.ints([-1]), g.ints([3])]), g.ints([1])]), g.ints([-1])]);
  const target = g.op('Concat', [g.op('Slice', [shape, g.ints([0]), axis]), g.ints([3, -1]), g.op('Slice', [shape, after, g.ints([9])])], { axis: int(0) });
  g.output(g.op('Reshape', ['x', target]), 'y', 'f32', undefined);
  assert.deepEqual(viewOf(await inferTypes(g.graph())).info('y')?.shape, [2, 5, 3, 4]);
});

test('what is in no layer is named, and a graph without layers refused', async () => {
  const planned = async (graph: Graph) => planQuantize({ model: await file(graph), to: 'onnx', weights: 'int8/channel', output: 'never-written' });
  const batched = (name: string, more: (g: GraphBuilder, value: string) => string) => {
    const g = new GraphBuilder(name, 17);
    g.output(more(g, g.op('MatMul', [g.input('x', 'f32', ['N', 1, 32]), g.weight(floatTensor('experts', [4, 32, 32], values(4 * 32 * 32, 6)))])), 'y', 'f32', undefined);
    return g.graph();
  };
  await assert.rejects(planned(batched('none', (_, value) => value)), { message: /^none: no layer to round: those are MatMul/, wayOut: /--bits 16/ });
  const { warnings } = await planned(batched('some', (g, value) => g.op('MatMul', [value, g.weight(floatTensor('w', [32, 32], values(32 * 32, 7)))])));
  assert.match(warnings.join(), /80 % of the weights are in no layer and stay float, above all experts \(MatMul\)/);
});

test('recipes for matrix products, and input formats of several scales, are refused where all layers are convolutions', async () => {
  const network = (head: boolean): Promise<string> => {
    const tail = new GraphBuilder('convolutions', 17);
    const made = tail.op('Conv', [tail.input('x', 'f32', ['N', 3, 8, 8]), tail.weight(floatTensor('first', [16, 3, 3, 3], values(16 * 27, 9)))]);
    tail.output(head ? tail.op('MatMul', [tail.op('GlobalAveragePool', [made]), tail.weight(floatTensor('head', [1, 8], values(8, 10)))]) : made, 'y', 'f32', undefined);
    return file(tail.graph());
  };
  const data = join(folder, 'pictures.npy');
  writeFileSync(data, npy('f4', '4, 3, 8, 8', encodeNumbers('f32', values(4 * 192, 11))));
  const planned = async (head: boolean, settings: object) => planQuantize({ model: await network(head), to: 'onnx', data, output: 'never-written', ...settings });
  for (const recipe of ['svdquant', 'arcquant', 'lq-lora', 'quantvggt', 'comet', 'vidit-q']) await assert.rejects(planned(false, { recipe }), /no MatMul or Gemm with a weight of its own/, recipe);
  await assert.rejects(planned(false, { weights: 'int4/channel', activations: 'int8/token' }), { wayOut: /int8\/tensor/ });
  const { warnings } = await planned(true, { weights: 'int4/channel', activations: 'int8/token' });
  assert.match(warnings.join(), /inputs of 1 of 2 layers stay float: int8\/token has several scales.*\(first\)/);
});

test('data that the inputs cannot take are refused with the plan', async () => {
  const taking = async (shape: readonly (number | string)[]) => {
    const g = new GraphBuilder(`taking-${shape.length}`, 17);
    g.output(g.op('MatMul', [g.input('x', 'f32', shape), g.weight(floatTensor('w', [32, 16], values(32 * 16, 12)))]), 'y', 'f32', undefined);
    return file(g.graph());
  };
  const data = join(folder, 'rows.npy');
  writeFileSync(data, npy('f4', '8, 32', encodeNumbers('f32', values(8 * 32, 13))));
  const planned = async (shape: readonly (number | string)[]) => planQuantize({ model: await taking(shape), to: 'onnx', weights: 'int8/channel', data, output: 'never-written' });
  assert.equal((await planned(['N', 32])).outputs.length, 1);
  await assert.rejects(planned(['N', 5, 32]), { message: /^input x: a sample of the data is \[\d+, 32\], and the model takes \[N, 5, 32\]/, wayOut: /samples along the first axis/ });
  await assert.rejects(planned([16, 32]), { message: /^input x: the model takes 16 samples at a time, and there are fewer/, wayOut: /more data/ });
});

test('a network with a fixed batch is calibrated, judged, timed and taken apart by whole batches', async () => {
  const g = new GraphBuilder('four-at-once', 17);
  const hidden = g.op('Relu', [g.op('MatMul', [g.input('x', 'f32', [4, 32]), g.weight(floatTensor('first', [32, 64], values(32 * 64, 14)))])]);
  g.output(g.op('MatMul', [hidden, g.weight(floatTensor('last', [64, 16], values(64 * 16, 15)))]), 'y', 'f32', [4, 16]);
  const model = await file(g.graph());
  const data = join(folder, 'thirty.npy');
  writeFileSync(data, npy('f4', '30, 32', encodeNumbers('f32', values(30 * 32, 16).map((value) => 4 * value))));
  for (const [bits, recipe] of [['8', undefined], ['4', 'gptq']] as const) {
    const { outputs: [{ file: name, verdict }] } = await quantize({ model, to: 'onnx', bits, ...(recipe === undefined ? {} : { recipe }), data, calibrationSamples: 10, output: join(folder, `four-${bits}`) });
    assert.deepEqual([verdict.score!.samples, verdict.latency.length], [20, 1]);
    assert.ok(verdict.score!.error.sqnr! > 12, `${bits} bits: ${verdict.score!.error.sqnr} dB`);
    assert.equal((await diagnoseModel({ quantized: join(folder, `four-${bits}`, name), against: model, data, task: 'generic', evaluationSamples: 9 }, silentProgress)).layers, 2);
  }
});
