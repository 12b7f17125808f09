import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { memorySink } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor } from '../../src/tensor-ref.ts';
import { inspect, type Inspection } from '../../src/jobs/inspect.ts';
import { openInspectables } from '../../src/jobs/inspect-open-node.ts';
import { inspectionText } from '../../src/report/inspection-text.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

async function inspected(model: string, tensor?: string): Promise<Inspection> {
  const [opened] = await openInspectables(model);
  try { return await inspect(opened, tensor === undefined ? {} : { tensor }); } finally { await opened.close(); }
}

/** Standard output, standard error and exit code of the command line. */
const fewbit = (...args: string[]): Promise<{ out: string; err: string; code: number }> => new Promise((resolve) => {
  execFile(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], { cwd: root, maxBuffer: 1 << 24 }, (error, out, err) =>
    resolve({ out, err, code: typeof error?.code === 'number' ? error.code : 0 }));
});

/** A float32 tensor out of a safetensors file, by this test's own reading. */
function rawTensor(file: string, name: string): Float32Array {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const [begin, end] = JSON.parse(bytes.subarray(8, 8 + length).toString())[name].data_offsets;
  return new Float32Array(Uint8Array.from(bytes.subarray(8 + length + begin, 8 + length + end)).buffer);
}

test('a language model: figures of a tensor are those of its values, bytes of formats those of their blocks', async () => {
  const folder = join(root, 'assets/host-llama-shakespeare');
  const found = await inspected(folder);
  assert.equal(found.kind, 'safetensors');
  assert.equal(found.tensorCount, 56);
  assert.equal(found.weights, 3_607_808);

  const name = 'model.layers.3.self_attn.k_proj.weight';
  const values = rawTensor(join(folder, 'model.safetensors'), name);
  const { shape, statistics } = found.tensors.find((tensor) => tensor.name === name)!;
  assert.deepEqual(shape, [64, 256]);
  assert.equal(statistics!.min, values.reduce((a, b) => Math.min(a, b)));
  assert.equal(statistics!.max, values.reduce((a, b) => Math.max(a, b)));
  assert.equal(statistics!.zeros, values.filter((x) => x === 0).length / values.length);
  const rms = Math.hypot(...values) / Math.sqrt(values.length);
  assert.ok(Math.abs(statistics!.outlierRatio - Math.max(...values.map(Math.abs)) / rms) < 1e-6);
  assert.ok(Math.abs(statistics!.meanMagnitude - values.reduce((sum, x) => sum + Math.abs(x), 0) / values.length) < 1e-9);

  // 13 norms of 256 weights stay float32; a block of 32 takes 34 bytes in q8_0, one of 256 takes 144 in q4_k.
  const norms = 13 * 256, matrices = 3_607_808 - norms;
  const bytes = new Map(found.costs.formats.map((cost) => [cost.format, cost.bytes]));
  assert.equal(bytes.get('q8_0'), (matrices / 32) * 34 + norms * 4);
  assert.equal(bytes.get('q4_k'), (matrices / 256) * 144 + norms * 4);
  assert.equal(bytes.get('mxfp4'), (matrices / 32) * 17 + norms * 4);
  assert.ok(found.costs.sampled.values < found.costs.sampled.of);
  assert.ok(found.metadata.some(([key, value]) => key === 'model_type' && value === 'llama'));
});

test('the error of a format is that of rounding all values where all are looked at', async () => {
  const name = 'model.layers.3.self_attn.k_proj.weight';
  const folder = join(root, 'assets/host-llama-shakespeare');
  const { costs } = await inspected(folder, name);
  const values = rawTensor(join(folder, 'model.safetensors'), name);
  assert.deepEqual(costs.sampled, { values: values.length, of: values.length });
  // Symmetric rounding to −127 … 127 per row, written out.
  let signal = 0, noise = 0;
  for (let row = 0; row < 64; row++) {
    const weights = values.subarray(row * 256, (row + 1) * 256);
    const scale = Math.fround(Math.max(...weights.map(Math.abs)) / 127);
    for (const x of weights) { signal += x * x; noise += (Math.round(x / scale) * scale - x) ** 2; }
  }
  const int8 = costs.formats.find(({ format }) => format === 'int8/channel')!;
  assert.ok(Math.abs(int8.sqnr! - 10 * Math.log10(signal / noise)) < 0.01, `${int8.sqnr} against ${10 * Math.log10(signal / noise)}`);
});

test('a network: inputs, layers, and formats whose blocks do not fit', async () => {
  const found = await inspected(join(root, 'assets/kws-dscnn/kws-dscnn.onnx'));
  assert.deepEqual(found.graph!.inputs, [{ name: 'input', type: 'f32', shape: ['N', 1, 49, 10] }]);
  assert.deepEqual(found.graph!.outputs, [{ name: 'logits', type: 'f32', shape: ['N', 12] }]);
  assert.deepEqual(found.graph!.operators[0], ['Conv', 9]);
  assert.equal(found.graph!.sites.length, 10);
  assert.deepEqual(found.graph!.sites[1], { weight: 'depthwise_conv2d_1.weight', kind: 'Conv', node: found.graph!.sites[1].node, rows: 64, cols: 9, groups: 64, kernel: [3, 3], bias: true });
  const q4k = found.costs.formats.find(({ format }) => format === 'q4_k')!;
  assert.equal(q4k.refused, 10);
  assert.match(q4k.refusal!, /conv2d\.weight: .*256/);
  const text = inspectionText(found, { width: 100 });
  assert.ok(text.split('\n').filter((line) => line.startsWith('depthwise') || line.startsWith('conv2d')).every((line) => line.length <= 100));
});

test('block types that are not decoded are named and sized; values that are not finite are counted', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fewbit-inspect-'));
  try {
    const sink = memorySink();
    await writeGguf(sink, new Map([['general.architecture', { type: 'string', value: 'llama' }], ['long', { type: 'array', of: 'string', value: Array.from({ length: 40 }, () => 'word') }]]), [
      copyTensor(memoryTensor('coded', 'iq2_xxs', [2, 256], new Uint8Array(132))),
      copyTensor(floatTensor('broken', [2, 32], Float32Array.from({ length: 64 }, (_, i) => (i === 5 ? NaN : i === 6 ? Infinity : i === 7 ? 0 : 1)))),
    ]);
    writeFileSync(join(folder, 'm.gguf'), sink.bytes());
    const found = await inspected(folder);
    const [coded, broken] = found.tensors;
    assert.deepEqual([coded.type, coded.bytes, coded.statistics], ['iq2_xxs', 132, undefined]);
    assert.equal(broken.statistics!.notFinite, 2);
    assert.deepEqual([broken.statistics!.min, broken.statistics!.max, broken.statistics!.zeros], [0, 1, 1 / 62]);
    assert.deepEqual(found.costs.notFinite, ['broken']);
    assert.ok(found.metadata.some(([key, value]) => key === 'long' && value === '40 of type string'));
    assert.match(inspectionText(found), /coded .*not decoded/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the command prints JSON, and one line where nothing matches', async () => {
  const [json, wrong] = await Promise.all([
    fewbit('inspect', 'assets/kws-dscnn', '--json', '--tensor', '*.bias'), fewbit('inspect', 'assets/kws-dscnn', '--tensor', 'nothing*'),
  ]);
  assert.equal(json.code, 0);
  const found = JSON.parse(json.out) as Inspection;
  assert.deepEqual(new Set(found.tensors.map(({ name }) => name.split('.').at(-1))), new Set(['bias']));
  assert.equal(found.tensors.length, 10);
  assert.equal(wrong.code, 1);
  assert.equal(wrong.out, '');
  assert.match(wrong.err, /^fewbit: assets\/kws-dscnn\/kws-dscnn\.onnx: no tensor is called nothing\*\n {2}.*\n$/);
});
