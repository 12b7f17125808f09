import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { onnxBytes } from '../src/files/onnx.ts';
import { ortNode } from '../src/engine/ort-node.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { normal } from '../src/numeric/random.ts';
import { openBrowser } from './browser.ts';
import { root } from './bundle.ts';
import { everything, withRounded } from '../test/engine/qdq.ts';
import { outputsOf, scoresOf } from './shared/integer-model.ts';

test('a file of --recipe hawqv3-int8 gives in Chromium the scores it gives in Node, those of ONNX Runtime', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-integers-'));
  const kws = (file: string): string => join(root, 'assets/kws-dscnn', file);
  const { outputs: [{ files: [{ path }] }] } = await quantize({ model: kws('kws-dscnn.onnx'), output: folder, data: kws('inputs.npy'), labels: kws('labels.npy'), recipe: 'hawqv3-int8', calibrationSamples: 32, verdict: false });
  const bytes = await readFile(join(folder, path));
  const samples = 4;
  const inputs = Float32Array.from({ length: samples * 490 }, (_, i) => normal(1, 0, i) * 10);
  const browser = await openBrowser('test-browser/shared/integer-model.ts', { files: new Map([['made/integers.onnx', bytes]]) });
  try {
    const ours = await scoresOf(bytes, inputs, samples);
    assert.deepEqual(await browser.call('scoresAt', 'made/integers.onnx', [...inputs], samples), ours);
    const session = await ortNode.open({ bytes });
    const [{ name }] = session.inputs;
    const theirs = Object.values(await session.run({ [name]: { type: 'f32', shape: [samples, 1, 49, 10], data: inputs } }))[0];
    await session.dispose();
    ours.forEach((score, i) => assert.ok(Math.abs(score - (theirs.data[i] as number)) < 1e-6, `${score} is not ${theirs.data[i]}`));
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test('files in QDQ form give in Chromium, in either build, the codes they give in Node', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-qdq-'));
  const kws = (file: string): string => join(root, 'assets/kws-dscnn', file);
  const { outputs: [{ files: [{ path }] }] } = await quantize({ model: kws('kws-dscnn.onnx'), output: folder, data: kws('inputs.npy'), labels: kws('labels.npy'), bits: '8', calibrationSamples: 32, verdict: false });
  const bytes = await readFile(join(folder, path));
  const all = await onnxBytes(withRounded(everything()));
  const samples = 4;
  const inputs = Float32Array.from({ length: samples * 490 }, (_, i) => normal(1, 0, i) * 10);
  const image = Float32Array.from({ length: 2 * 3 * 256 }, (_, i) => normal(2, 0, i));
  const browser = await openBrowser('test-browser/shared/integer-model.ts', { files: new Map([['made/static.onnx', bytes], ['made/everything.onnx', all]]) });
  try {
    assert.deepEqual(await browser.call('scoresAt', 'made/static.onnx', [...inputs], samples), await scoresOf(bytes, inputs, samples));
    const ours = await outputsOf(all, 'plain SIMD', [2, 3, 16, 16], image);
    assert.ok(ours.length > 10_000);
    for (const build of new Set(['plain SIMD', await browser.call('buildHere')])) assert.deepEqual(await browser.call('outputsAt', 'made/everything.onnx', build, [2, 3, 16, 16], [...image]), ours, String(build));
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
});
