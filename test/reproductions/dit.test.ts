/** The diffusion host: the sampler against its definition, and, where the assets are at hand, against the samples of the original. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNpy } from '../../src/observe/data/npy.ts';
import { ddimSample, ddimTimes, linearAlphaBar, pointsOf, type Asked } from '../../src/reproductions/data/ddim.ts';
import { openDit, samplePsnr } from '../../src/reproductions/data/dit.ts';

const alphaBar = linearAlphaBar(1000, 1e-4, 2e-2);
const assets = process.env.FEWBIT_ASSETS;

test('time steps end every equal part of the schedule', () => {
  assert.deepEqual(ddimTimes(1000, 50).slice(0, 2), [999, 979]);
  assert.equal(ddimTimes(1000, 50).at(-1), 19);
  assert.deepEqual(ddimTimes(1000, 4), [999, 749, 499, 249]);
  assert.equal(alphaBar[0], 1 - 1e-4);
});

test('a network that knows the image leads to it, whatever the guidance', async () => {
  const target = [0.5, -1, 0.25, 1];
  const visited: Asked[] = [];
  const samples = await ddimSample(async (x, t) => (x.data as Float32Array).map((value, i) => (value - Math.sqrt(alphaBar[t]) * target[i % 4]) / Math.sqrt(1 - alphaBar[t])),
    { type: 'f32', shape: [2, 4], data: Float32Array.of(1, 2, 3, 4, -1, 0, 1, 2) }, [3, 4], { alphaBar, steps: 5, guidance: 2, noLabel: 10 }, (asked) => visited.push(asked));
  samples.forEach((value, i) => assert.ok(Math.abs(value - target[i % 4]) < 1e-5));
  assert.deepEqual(visited[0].labels, [3, 4, 10, 10]);
  const points = pointsOf(visited, 7, (_, rows) => Array.from({ length: rows }, (_, i) => rows - 1 - i), [4]);
  assert.deepEqual(Array.from(points.t.data as BigInt64Array), [999n, 799n, 799n, 599n, 399n, 399n, 199n]);
  assert.deepEqual(Array.from(points.y.data as BigInt64Array, Number).slice(0, 3), [10, 10, 10]);
  assert.deepEqual(Array.from((points.x.data as Float32Array).subarray(0, 4)), [-1, 0, 1, 2]);
});

test('samples of the host are those of its original', { skip: assets === undefined }, async () => {
  const asset = (path: string): string => join(assets!, path);
  const host = await openDit(asset, { threads: 2 });
  const stored = readNpy(await readFile(asset('host-dit-mnist/samples.npy')), 'samples.npy').data as Float32Array;
  const samples = await host.sample(host.graph, { images: 2, steps: 50 });
  assert.ok(samples.every((value, i) => Math.abs(value - stored[(i < 784 ? 0 : 50 * 784) + (i % 784)]) < 1e-3));
  assert.equal(await host.labelMatch(samples), 1);
  assert.equal((await host.noiseError(host.graph)).relative, 0);
  assert.ok(samplePsnr(stored.subarray(0, 784), samples.subarray(0, 784))[0] > 60);
  const points = await host.points(64, 1);
  assert.deepEqual(points.x.shape, [64, 1, 28, 28]);
  await host.close();
});
