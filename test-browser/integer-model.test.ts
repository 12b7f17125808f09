import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../src/engine/ort-node.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { normal } from '../src/numeric/random.ts';
import { openBrowser } from './browser.ts';
import { root } from './bundle.ts';
import { scoresOf } from './shared/integer-model.ts';

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
