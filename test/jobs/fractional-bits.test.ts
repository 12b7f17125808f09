import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFile } from '../../src/files/fs-node.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { clearCache, cacheSize, measurementsNode } from '../../src/jobs/measurements-node.ts';
import { planQuantize, quantize, writeBeside } from '../../src/jobs/quantize-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const assets = new URL('../../assets/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
process.env.FEWBIT_CACHE = join(folder, 'cache');
after(() => rmSync(folder, { recursive: true, force: true }));

const keywords: QuantizeRequest = {
  model: `${assets}kws-dscnn/kws-dscnn.onnx`, to: 'onnx', output: join(folder, 'kws'), overwrite: true,
  data: `${assets}kws-dscnn/inputs.npy`, labels: `${assets}kws-dscnn/labels.npy`, calibrationSamples: 64, evaluationSamples: 200,
};

/** Bits of all tensors of a written file by the weights of the float model: counted by the reader, not by the job. */
async function bitsOf(path: string, weights: number): Promise<number> {
  const source = await openFile(path);
  try {
    const { weights: tensors } = await openOnnx(source);
    return [...tensors.values()].reduce((sum, { byteLength }) => sum + 8 * byteLength, 0) / weights;
  } finally {
    await source.close();
  }
}

test('a fraction of bits takes a format per layer by measurement, and the written file keeps the budget', async () => {
  // uint4 in every layer takes 5.70.
  const result = await quantize({ ...keywords, bits: '5.65' });
  const [{ allocation, tensors, verdict, label }] = result.outputs;
  assert.equal(label, '5.65bit');
  const reached = await bitsOf(join(folder, 'kws', 'kws-dscnn-5.65bit.onnx'), result.model.parameters);
  assert.ok(reached <= 5.65 && reached > 5.5, `${reached} bits per weight`);
  assert.ok(Math.abs(verdict.bitsPerWeight - reached) < 0.02, 'the table says what the file holds');
  assert.ok(new Set(tensors.map(({ target }) => target)).size > 2, 'layers differ');
  assert.equal(allocation!.measure, 'mean KL to the float model, nats');
  for (const { bitsPerWeight, measured } of allocation!.uniform) if (bitsPerWeight <= 5.65) assert.ok(allocation!.measured! <= measured!, 'never worse than one format within the budget');
  const beaten = allocation!.front.find(({ bitsPerWeight, loss }) => bitsPerWeight <= 5.65 && loss < allocation!.loss * (1 - 1e-9));
  assert.equal(beaten, undefined, 'the choice lies on the front');
  assert.ok((await writeBeside(result, join(folder, 'kws'))).includes('report.html'));
  assert.match(readFileSync(join(folder, 'kws', 'report.html'), 'utf8'), /ringed: taken for 5\.65 bits/);
});

test('bit operations and bits are kept together, from figures that were measured before, and both fronts are drawn', async () => {
  const result = await quantize({ ...keywords, bits: '6', bops: 0.4, verdict: false });
  const [{ allocation, label }] = result.outputs;
  assert.equal(label, '6bit-0.4gbops');
  // 2 656 768 products by 32 bits of inputs: the float layers take 2.72 · 10⁹, four bits everywhere 0.34.
  assert.ok(Math.abs(allocation!.limits![0].float - 2.720530432) < 1e-9);
  assert.ok(allocation!.limits![0].reached <= 0.4 && allocation!.limits![0].reached > 0.3);
  assert.ok(await bitsOf(join(folder, 'kws', 'kws-dscnn-6bit-0.4gbops.onnx'), result.model.parameters) <= 6);
  await writeBeside(result, join(folder, 'kws'));
  const html = readFileSync(join(folder, 'kws', 'report.html'), 'utf8');
  assert.equal(html.match(/ringed: taken for 6 bits and 0\.4 · 10⁹ bit operations/g)?.length, 2);
  await assert.rejects(quantize({ ...keywords, latency: 1, activations: 'static', verdict: false }), /--latency is measured of layers with float inputs, not static/);
  await assert.rejects(quantize({ ...keywords, model: `${assets}host-llama-shakespeare`, to: 'gguf', latency: 1, verdict: false }), /layers of gguf files are not timed/);
  const { data: _data, labels: _labels, ...rest } = keywords;
  await assert.rejects(quantize({ ...rest, bops: 1, verdict: false }), /--bops and --latency ask what layers do for one sample, and there is none/);
  await assert.rejects(quantize({ ...keywords, weights: 'int4/channel', candidates: 'trellis', verdict: false }), /--candidates are what a budget of bits chooses among/);
});

test('tables and rotations that layers share count once: the written file takes what the choice says', async () => {
  const result = await quantize({ ...keywords, bits: '5', candidates: 'vector', verdict: false });
  const [{ allocation }] = result.outputs;
  const reached = await bitsOf(join(folder, 'kws', 'kws-dscnn-5bit-vector.onnx'), result.model.parameters);
  assert.ok(reached <= 5 && reached > 4, `${reached} bits per weight`);
  assert.ok(Math.abs(reached - allocation!.bitsPerWeight) < 0.02, `${allocation!.bitsPerWeight} chosen, ${reached} written`);
});

test('another budget is solved from what was measured, and a damaged file of figures is measured again', async () => {
  const lines: string[] = [];
  const progress = { phase() {}, advance() {}, line: (text: string) => lines.push(text), end() {} };
  const again = async (bits: string) => (await quantize({ ...keywords, bits, verdict: false }, { progress })).outputs[0].allocation!;
  const { layers } = await again('6.5');
  assert.ok(lines.some((line) => line.includes('every figure was measured before')) && !lines.some((line) => line.includes('measured in')));
  const [file] = readdirSync(join(folder, 'cache'));
  const path = join(folder, 'cache', file);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/0\.\d+/, '0.123'));
  lines.length = 0;
  assert.deepEqual((await again('6.5')).layers, layers);
  assert.ok(lines.some((line) => line.includes('measured in')), 'figures that do not match their hash are not believed');
  assert.ok((await cacheSize()).files > 0);
  await clearCache();
  assert.equal((await cacheSize()).files, 0);
});

test('without data the weights alone are looked at, and the result says so', async () => {
  const { data: _data, labels: _labels, ...rest } = keywords;
  const { outputs: [{ allocation, notes }] } = await quantize({ ...rest, bits: '6.25', verdict: false });
  assert.match(allocation!.measure, /^squared error of the weights/);
  assert.ok(notes.some((note) => /because no data were given/.test(note)));
  assert.ok(await bitsOf(join(folder, 'kws', 'kws-dscnn-6.25bit.onnx'), 22604) <= 6.25);
});

test('the plan of a dry run keeps the budget too, and budgets below what stays float are refused', async () => {
  const plan = await planQuantize({ ...keywords, bits: '5.5', dryRun: true });
  assert.ok(Math.abs(plan.outputs[0].bitsPerWeight - 5.5) < 0.05);
  assert.equal(plan.outputs[0].format, '5.5 bits, a format per layer');
  await assert.rejects(quantize({ ...keywords, bits: '2.5', verdict: false }), /2\.5 bits per weight cannot be reached: the smallest choice takes 3\.\d+, of which 0\.\d+ are embeddings and what else is not chosen/);
});

test('a recipe that is named rounds in the formats that were measured', async () => {
  const { outputs: [{ recipe, allocation }] } = await quantize({ ...keywords, bits: '6.5', recipe: 'equalize+scale-search', verdict: false });
  assert.equal(recipe, 'equalize+scale-search');
  assert.ok(allocation!.bitsPerWeight <= 6.5);
});

test('figures of one model and data are not those of another', async () => {
  const of = (model: string, data: string) => measurementsNode({ model: [model], location: '', data, keep: [] }, join(folder, 'own'));
  await of('a', 'x').write('losses', { layer: 1 });
  assert.deepEqual(await of('a', 'x').read('losses'), { layer: 1 });
  for (const other of [of('b', 'x'), of('a', 'y')]) assert.equal(await other.read('losses'), undefined);
  assert.equal(await of('a', 'x').read('others'), undefined);
});

test('a GGUF file takes a block type per tensor within the budget', async () => {
  const { data: _data, labels: _labels, ...rest } = keywords;
  const { model, outputs: [{ allocation, tensors, files }] } = await quantize({ ...rest, model: `${assets}host-llama-shakespeare`, to: 'gguf', bits: '4.25', output: join(folder, 'gguf'), verdict: false });
  const types = new Set(tensors.map(({ target }) => target));
  assert.ok(types.has('q3_k') || types.has('q4_k'), [...types].join(' '));
  assert.ok(types.size >= 3, 'norms, and at least two block types');
  const bits = (8 * tensors.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0)) / model.parameters;
  assert.ok(bits <= 4.25 && bits > 4 && Math.abs(bits - allocation!.bitsPerWeight) < 1e-6, `${bits}`);
  const { graph, close } = await openSource(join(folder, 'gguf', files[0].path));
  assert.ok(graph.weights.size > 0);
  await close();
});
