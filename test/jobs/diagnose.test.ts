import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import type { Feeds } from '../../src/engine/session.ts';
import { bindFeeds } from '../../src/evaluate/feeds.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { float32Tensor, GraphBuilder, int, int64Tensor } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { makeNode } from '../../src/graph/rewrite.ts';
import { bisect, diagnose } from '../../src/jobs/diagnose.ts';
import { diagnoseModel } from '../../src/jobs/diagnose-node.ts';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { openModern, openSource } from '../../src/jobs/source-node.ts';
import { openData } from '../../src/jobs/data-node.ts';
import { parseSettings } from '../../src/jobs/settings.ts';
import { matchLayers } from '../../src/observe/match-layers.ts';
import { distanceTo, type Outputs } from '../../src/observe/output-distance.ts';
import { quantizedLayers, unreadOperators, withPutBack } from '../../src/observe/quantized-layers.ts';
import { withWholeTables } from '../../src/observe/quantized-lookups.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';
import { addBranches } from '../../src/transform/add-branch.ts';
import { matmul } from '../../src/numeric/matrix.ts';
import { normal } from '../../src/numeric/random.ts';
import { elementCount, floatTensor, memoryTensor, type TensorType } from '../../src/tensor-ref.ts';

const root = new URL('../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const keywords = { against: `${root}assets/kws-dscnn/kws-dscnn.onnx`, data: `${root}assets/kws-dscnn/inputs.npy`, task: 'classify', evaluationSamples: 32 };
const found = (quantized: string) => diagnoseModel({ ...keywords, quantized }, silentProgress);

async function keywordSamples(): Promise<Feeds[]> {
  const model = await openModern(keywords.against);
  const { evaluation } = await openData(parseSettings({ model: keywords.against, output: '.', evalData: keywords.data, task: 'classify', evaluationSamples: 32 }), model);
  const { feeds } = await evaluation.batch(Array.from({ length: 32 }, (_, i) => i));
  return [{ [model.graph.inputs[0].name]: Object.values(feeds)[0] }];
}

/** The graph with every layer in one format and some in others. */
async function mixed(graph: Graph, usual: string, others: Readonly<Record<string, string>>): Promise<Graph> {
  const weights = linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat(others[site.id] ?? usual), { search: 'mse' })] as const);
  return (await exportWeightOnly(graph, new Map(weights))).graph;
}

test('two layers that were planted are named, and the smallest fix is fewer bits than floats', async () => {
  const { graph, close } = await openModern(keywords.against);
  const samples = await keywordSamples();
  const planted = { 'depthwise_conv2d_1.weight': 'uint2/channel', 'dense.weight': 'uint2/channel' };
  const { asIs, allBack, few, guilty, fix, unmatched } = await diagnose({
    quantized: await mixed(graph, 'int8/channel', planted), float: graph, engine: ortNode, distance: 'kl', feeds: { quantized: samples, float: samples },
  });
  await close();
  assert.deepEqual(unmatched, []);
  assert.ok(allBack < 1e-9, 'with every layer put back it is the float network');
  assert.deepEqual(guilty.filter(({ id }) => few.ids.includes(id)).map(({ site }) => site).sort(), Object.keys(planted).sort());
  assert.ok(few.recovered > 0.95 && few.distance < asIs / 10);
  assert.ok(fix !== undefined && fix.distance < asIs / 5 && fix.extraBits > 0);
  for (const { format, bitsPerWeight } of fix.layers) assert.ok(format !== 'as it is' && bitsPerWeight < 17, `${format}, ${bitsPerWeight} bits`);
});

test('files of other tools: QDQ, QOperator and dynamic integers of ONNX Runtime are taken apart and put back', async () => {
  for (const kind of ['qdq', 'qoperator', 'dynamic']) {
    const { layers, unmatched, asIs, allBack, few, fix } = await found(`${root}test/fixtures/onnxruntime/kws-dscnn-${kind}.onnx`);
    assert.equal(layers, 10, kind);
    assert.deepEqual(unmatched, [], kind);
    assert.ok(asIs > 5e-4 && allBack < asIs / 5, `${kind}: ${asIs} to ${allBack}`);
    assert.ok(few.recovered >= 0.5 && few.ids.length < 10 && fix!.distance < asIs, kind);
  }
});

test('weights that are read out are those that the engine multiplies by, in every form that we write', async () => {
  const model = `${root}assets/host-llama-shakespeare`;
  const { graph, close } = await openModern(model);
  const sites = linearSites(graph).slice(0, 4);
  const formats = ['int4/g32', 'uint4/g32', 'uint3/g64', 'nf4/b64'];
  const weights = sites.map((site, i) => [site.id, quantizedLazily(site, parseFormat(formats[i]))] as const);
  const layers = await quantizedLayers((await exportWeightOnly(graph, new Map(weights))).graph, ortNode);
  for (const [i, site] of sites.entries()) {
    const format = parseFormat(formats[i]);
    const expected = format.decode(format.encode(await site.weightMatrix(), site.rows, site.cols, { search: 'amax' }));
    const best = Math.min(...layers.filter(({ rows, cols }) => rows === site.rows && cols === site.cols).map(({ matrix }) => matrix.reduce((most, value, at) => Math.max(most, Math.abs(value - expected[at])), 0)));
    assert.ok(best < 1e-6, `${format.name}: ${best}`);
  }
  await close();
});

test('codes of other tools, packed products and tables of rows, are what the engine multiplies by and looks up', async () => {
  const [rows, cols, block] = [24, 32, 16];
  const bytes = (count: number, seed: number) => Uint8Array.from({ length: count }, (_, i) => (i * 73 + seed * 31 + (i >> 3) * 11) & 255);
  const stored = (name: string, type: TensorType, shape: readonly number[], data: Uint8Array) => memoryTensor(name, type, shape, data);
  const scales = (name: string, shape: readonly number[]) => floatTensor(name, shape, Float32Array.from({ length: elementCount(shape) }, (_, i) => (0.5 + (i % 7)) / 64));
  const blocks = (rows * cols) / block;
  const packed = [2, 4, 8].flatMap((bits) => [stored(`nbits${bits}`, 'u8', [rows, cols / block, (block * bits) / 8], bytes((rows * cols * bits) / 8, bits)), stored(`zero${bits}`, 'u8', [rows, Math.ceil((cols / block) * bits / 8)], bytes(rows * Math.ceil((cols / block) * bits / 8), 3))]);
  const weights = [
    ...['nf4', 'fp4'].map((name, i) => stored(name, 'u8', [(rows * cols) / 2], bytes((rows * cols) / 2, i))), scales('absmax', [blocks]), ...packed, scales('step', [blocks]),
    stored('half', 'u4', [rows, cols], bytes((rows * cols) / 2, 5)), stored('signed', 'i4', [rows, cols], bytes((rows * cols) / 2, 6)), scales('steps', [rows, cols / block]),
    stored('table', 'u8', [rows, cols], bytes(rows * cols, 7)), float32Tensor('one', 0.03), stored('middle', 'u8', [], Uint8Array.of(121)),
  ];
  const ms = 'com.microsoft';
  const common = { N: int(rows), K: int(cols), block_size: int(block) };
  const blocked = { block_size: int(block), gather_axis: int(0), quantize_axis: int(1) };
  const nodes = [
    makeNode('MatMulBnb4', ['x', 'nf4', 'absmax'], ['by nf4'], { domain: ms, attributes: { ...common, quant_type: int(1) } }),
    makeNode('MatMulBnb4', ['x', 'fp4', 'absmax'], ['by fp4'], { domain: ms, attributes: { ...common, quant_type: int(0) } }),
    ...[2, 4, 8].map((bits) => makeNode('MatMulNBits', ['x', `nbits${bits}`, 'step', `zero${bits}`], [`by nbits${bits}`], { domain: ms, attributes: { ...common, bits: int(bits) } })),
    makeNode('GatherBlockQuantized', ['half', 'ids', 'steps'], ['by half'], { domain: ms, attributes: blocked }),
    makeNode('GatherBlockQuantized', ['signed', 'ids', 'steps'], ['by signed'], { domain: ms, attributes: blocked }),
    makeNode('Gather', ['table', 'ids'], ['found']), makeNode('DequantizeLinear', ['found', 'one', 'middle'], ['by table']),
  ];
  const outputs = nodes.map(({ outputs: [name] }) => name).filter((name) => name !== 'found');
  const graph: Graph = {
    name: 'others', nodes, weights: new Map(weights.map((weight) => [weight.name, weight])), values: new Map(), opset: new Map([['', 21], [ms, 1]]), metadata: new Map(),
    inputs: [{ name: 'x', type: 'f32', shape: [cols, cols] }, { name: 'ids', type: 'i64', shape: [rows] }], outputs: outputs.map((name) => ({ name, type: 'f32', shape: undefined })),
  };
  const identity = Float32Array.from({ length: cols * cols }, (_, i) => Number(i % (cols + 1) === 0));
  const feeds: Feeds = { x: { type: 'f32', shape: [cols, cols], data: identity }, ids: { type: 'i64', shape: [rows], data: BigInt64Array.from({ length: rows }, (_, i) => BigInt(i)) } };
  const session = await openGraph(graph, ortNode);
  const results = await session.run(feeds, outputs);
  await session.dispose();
  // Engines want names of nodes to differ.
  const whole = withWholeTables({ ...graph, nodes: nodes.map((node, i) => ({ ...node, name: `node ${i}` })) });
  assert.equal(new Set(whole.nodes.map(({ name }) => name)).size, whole.nodes.length);
  const layers = await quantizedLayers(whole, ortNode);
  assert.deepEqual(layers.map(({ output }) => output).sort(), [...outputs].sort());
  assert.deepEqual(unreadOperators(whole, layers), new Map());
  for (const { output, op, matrix } of layers) {
    const seen = results[output].data as Float32Array;
    const gap = matrix.reduce((most, value, i) => Math.max(most, Math.abs(value - seen[op === 'Gather' ? i : (i % cols) * rows + Math.floor(i / cols)])), 0);
    assert.ok(gap < 1e-6, `${output}: ${gap}`);
  }
});

test('operators with codes that are not taken apart are named, and float layers among them accuse nobody', async () => {
  const model = `${root}assets/kws-dscnn/kws-dscnn.onnx`;
  const { graph, close } = await openModern(model);
  const samples = await keywordSamples();
  const codes = memoryTensor('lookup', 'u8', [512], new Uint8Array(512));
  const strange = makeNode('Expand', ['lookup', 'shape'], ['spread']);
  const shape = int64Tensor('shape', [512]);
  const given: Graph = { ...graph, nodes: [...graph.nodes, makeNode('Shape', [graph.inputs[0].name], ['size']), makeNode('TfIdf', ['size', 'lookup'], ['unused']), strange], weights: new Map([...graph.weights, ['lookup', codes], ['shape', shape]]) };
  assert.deepEqual(unreadOperators(given, await quantizedLayers(given, ortNode)), new Map([['TfIdf', 1]]));
  const { guilty, few, fix, layers } = await diagnose({ quantized: graph, float: graph, engine: ortNode, distance: 'kl', feeds: { quantized: samples, float: samples } });
  assert.deepEqual([guilty, few.ids, fix, layers], [[], [], undefined, 10]);
  await close();
});

test('layers of a GGUF file, its embeddings and tied head among them, are put back as a whole', async () => {
  const model = `${root}assets/host-llama-shakespeare`;
  await quantize({ model, to: 'gguf', weights: 'q3_k', output: join(folder, 'gguf'), allowFallback: true, verdict: false });
  const [float, low] = [await openModern(model), await openSource(join(folder, 'gguf', 'host-llama-shakespeare-Q3_K.gguf'))];
  const layers = await quantizedLayers(low.graph, ortNode);
  const { matched, unmatched } = matchLayers(layers, await quantizedLayers(float.graph, ortNode));
  assert.deepEqual(unmatched, []);
  for (const { layer, partner, error } of matched) assert.ok(layer.id === partner.id && error > 1e-4 && error < 0.05, `${layer.id}: ${error}`);
  const ids = { type: 'i64' as const, shape: [1, 16], data: BigInt64Array.from({ length: 16 }, (_, i) => BigInt(3 * i + 1)) };
  const run = async (graph: Graph): Promise<Outputs[]> => {
    const session = await openGraph(graph, ortNode);
    const outputs = await session.run(bindFeeds({ input_ids: ids }, graph.inputs), ['logits']);
    await session.dispose();
    return [outputs];
  };
  const distance = distanceTo('kl', await run(float.graph));
  const whole = withPutBack(low.graph, layers, new Map(matched.map(({ layer, float: matrix }) => [layer.id, { matrix, floatInput: true }])));
  assert.ok(distance(await run(low.graph)) > 1e-3);
  assert.ok(distance(await run(whole)) < 1e-9);
  await Promise.all([float.close(), low.close()]);
});

test('bisection finds what gains alone, and opens the better half of what gains only together', async () => {
  const additive = (gains: Readonly<Record<string, number>>) => async (group: readonly string[]) => group.reduce((sum, name) => sum + (gains[name] ?? 0), 0);
  const names = Array.from({ length: 16 }, (_, i) => `l${i}`);
  let asked = 0;
  const count = additive({ l3: 5, l12: 2 });
  const alone = await bisect(names, async (group) => { asked++; return count(group); }, 0.5);
  assert.deepEqual(alone.map(({ item }) => item), ['l3', 'l12']);
  assert.ok(asked < 40, `${asked} questions for two of sixteen`);
  const pair = await bisect(names, async (group) => (group.includes('l0') && group.includes('l15') ? 1 : group.includes('l0') ? 0.1 : 0), 0.5);
  assert.deepEqual(pair.map(({ item }) => item), ['l0']);
});

test('what cannot be diagnosed is said', async () => {
  await assert.rejects(diagnoseModel({ quantized: keywords.against, against: keywords.against }, silentProgress), /nothing to run the networks on/);
});

test('a product of low rank beside a layer belongs to it: with every layer put back it is the float network', async () => {
  const values = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(11, stream, i) / 6);
  const g = new GraphBuilder('branched', 21);
  const x = g.input('x', 'f32', ['N', 64]);
  const hidden = g.op('Relu', [g.op('Gemm', [x, g.weight(floatTensor('up', [48, 64], values(48 * 64, 1))), g.weight(floatTensor('bias', [48], values(48, 2)))], { transB: int(1) })]);
  g.output(g.op('MatMul', [hidden, g.weight(floatTensor('down', [48, 64], values(48 * 64, 3)))]), 'y', 'f32', ['N', 64]);
  const float = g.graph();
  const split = await Promise.all(linearSites(float).map(async (site, i) => {
    // Halves, which the branch is kept in.
    const [down, up] = [values(4 * site.cols, 4 + i), values(4 * site.rows, 6 + i)].map((numbers) => numbers.map((value) => Math.fround(Math.round(value * 64) / 64)));
    const product = matmul(up, down, site.rows, 4, site.cols);
    return { sites: [site], branch: { rank: 4, down, ups: [up] }, residuals: [(await site.weightMatrix()).map((value, j) => value - product[j])] };
  }));
  const branched = addBranches(float, split).graph;
  const weights = linearSites(branched).filter(({ id }) => id === 'up' || id === 'down').map((site) => [site.id, quantizedLazily(site, parseFormat('int3/channel'))] as const);
  const samples: Feeds[] = [{ x: { type: 'f32', shape: [16, 64], data: values(16 * 64, 8) } }];
  const { asIs, allBack, layers, unmatched, guilty } = await diagnose({
    quantized: (await exportWeightOnly(branched, new Map(weights))).graph, float, engine: ortNode, distance: 'noise', feeds: { quantized: samples, float: samples },
  });
  assert.deepEqual([layers, unmatched, guilty.map(({ site }) => site).sort()], [2, [], ['down', 'up']]);
  assert.ok(asIs > 1e-3 && allBack < 1e-9, `${asIs}, ${allBack} with all layers put back`);
});
