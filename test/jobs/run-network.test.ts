import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { f32 } from '../../src/engine/tensor.ts';
import { readOutput } from '../../src/evaluate/read-output.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import type { Graph, ValueInfo } from '../../src/graph/graph.ts';
import { makeNode } from '../../src/graph/rewrite.ts';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { runNetwork } from '../../src/jobs/run-network-node.ts';
import { decodeImage, encodePng } from '../../src/observe/data/index.ts';
import { networkText } from '../../src/report/network-text.ts';

const kws = new URL('../../assets/kws-dscnn/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const data = `${kws}inputs.npy`;

test('an int8 file runs on the integer kernels, float files on ONNX Runtime, and both say the same words', async () => {
  await quantize({ model: `${kws}kws-dscnn.onnx`, to: 'onnx', bits: '8', data, output: folder, overwrite: true, verdict: false });
  const names = join(folder, 'names.txt');
  writeFileSync(names, Array.from({ length: 12 }, (_, i) => `word ${i}\n`).join(''));
  const [ours, float] = [await runNetwork({ model: join(folder, 'kws-dscnn-int8.onnx'), data, names, top: 2 }), await runNetwork({ model: `${kws}kws-dscnn.onnx`, data, names, top: 2 })];
  assert.deepEqual([ours.engine, ours.reason, float.engine, float.reason], ['fewbit', undefined, 'onnxruntime-node', 'it computes in floats']);
  assert.equal(ours.samples.length, 8);
  for (const [i, { outputs: [output] }] of ours.samples.entries()) {
    const [mine, theirs] = [output, float.samples[i].outputs[0]];
    assert.ok(mine.kind === 'classes' && theirs.kind === 'classes');
    assert.equal(mine.classes.length, 2);
    assert.equal(mine.classes[0].name, `word ${theirs.classes[0].index}`);
    assert.ok(Math.abs(mine.classes[0].probability - theirs.classes[0].probability) < 0.05);
  }
  assert.match(networkText(ours), /^kws-dscnn-int8 on fewbit's integer kernels\nsample 0 {2}[\d.]+ ms\n {2}logits \[1, 12\] {2}word \d+ \d+\.\d %, word \d+ \d+\.\d %\nsample 1/);
});

test('pictures and numbers go to the folder that is named', async () => {
  const picture = join(folder, 'one.png');
  writeFileSync(picture, encodePng({ width: 12, height: 9, channels: 3, data: Uint8Array.from({ length: 324 }, (_, i) => i % 256) }));
  await assert.rejects(runNetwork({ model: `${kws}kws-dscnn.onnx`, data: picture }), { name: 'FewbitError' });
  const value = (name: string): ValueInfo => ({ name, type: 'f32', shape: [1, 3, 9, 12] });
  const graph: Graph = {
    name: 'brighten', inputs: [value('x')], outputs: [value('y'), value('z')], weights: new Map(), values: new Map(), opset: new Map([['', 21]]), metadata: new Map(),
    nodes: [makeNode('Relu', ['x'], ['y'], { name: 'y' }), makeNode('Relu', ['x'], ['z'], { name: 'z' })],
  };
  writeFileSync(join(folder, 'brighten.onnx'), await onnxBytes(graph));
  const out = join(folder, 'pictures');
  const { samples: [{ outputs }] } = await runNetwork({ model: join(folder, 'brighten.onnx'), data: picture, output: out });
  assert.deepEqual(outputs.map(({ kind, file }) => [kind, file]), [['picture', '0-y.png'], ['picture', '0-z.png']]);
  assert.deepEqual(decodeImage(readFileSync(join(out, '0-y.png'))).data, decodeImage(readFileSync(picture)).data);
  const likely = readOutput(f32([1, 3], Float32Array.from([0, Math.log(2), Math.log(5)])), { top: 1, names: ['a', 'b', ''] });
  assert.ok(likely.kind === 'classes' && likely.classes[0].index === 2 && likely.classes[0].name === undefined && Math.abs(likely.classes[0].probability - 5 / 8) < 1e-6);
  const gradient = readOutput(f32([1, 1, 8, 8], Float32Array.from({ length: 64 }, (_, i) => i / 63)), { top: 1 });
  assert.ok(gradient.kind === 'picture');
  assert.deepEqual([...decodeImage(encodePng(gradient.image)).data.filter((_, i) => i % 3 === 0)], Array.from({ length: 64 }, (_, i) => Math.round((255 * i) / 63)));
  assert.deepEqual(readOutput(f32([1, 2, 2], Float32Array.from([1, 2, 3, Infinity])), { top: 1 }), { kind: 'numbers', least: 1, mean: 2, most: 3 });
});

test('language models are refused, and what a network gives in numbers is kept', async () => {
  await assert.rejects(runNetwork({ model: new URL('../../assets/draft-llama-shakespeare', import.meta.url).pathname, data }), { code: 'runNetwork.language' });
  const { samples: [{ outputs }] } = await runNetwork({ model: `${kws}kws-dscnn.onnx`, data, samples: 1, output: join(folder, 'out') });
  assert.equal(outputs[0].file, undefined, 'classes are told in words');
});
