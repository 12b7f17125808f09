import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillBits } from '../../src/allocate/bit-filling.ts';
import { chooseOptions } from '../../src/allocate/choose.ts';
import { fusedCandidates, partitions, type FusedLayer, type Latency } from '../../src/allocate/fusion.ts';
import { gaussianError } from '../../src/allocate/gaussian-error.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { codeLoss, noiseSensitivities } from '../../src/observe/noise-sensitivity.ts';
import { weightTrials } from '../../src/observe/weight-trials.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const close = (found: readonly number[], expected: readonly number[]) => found.forEach((x, i) => assert.ok(Math.abs(x - expected[i]) < 1e-12, `${found}`));

test('bits of any width go where sensitivity per weight is, as worked out in the card', () => {
  close(fillBits([1, 4, 16].map((slope) => ({ slope, weights: 7 })), 3), [2, 3, 4]);
  close(fillBits([{ slope: 1, weights: 2 }, { slope: 4, weights: 1 }], 3), [2.5, 4]);
  // A layer that would fall below zero gets none: 1 and 4^8 at 2 bits would be −2 and 6.
  close(fillBits([{ slope: 1, weights: 1 }, { slope: 4 ** 8, weights: 1 }], 2), [0, 4]);
});

test('groups of one to four layers have the Bell numbers of partitions', () => {
  assert.deepEqual([1, 2, 3, 4].map((n) => partitions(n).length), [1, 2, 5, 15]);
  assert.deepEqual(partitions(2), [[[0, 1]], [[0], [1]]]);
});

const names = ['tcq2', 'tcq3', 'tcq4'];
const layer = (weights: number, slope: number): FusedLayer => ({ weights, candidates: names.map((format, i) => ({ format, bits: (2 + i) * weights, loss: slope * 4 ** -(2 + i) })) });
const latency = (start: number): Latency => ({ start, perWeight: new Map(names.map((name, i) => [name, 2 + i])) });

test('layers run as one where starts cost much, apart where they cost nothing', async () => {
  const group = [layer(100, 1), layer(10, 500), layer(10, 1)];
  const solve = async (start: number, seconds: number) => {
    const candidates = fusedCandidates(group, latency(start));
    return candidates[(await chooseOptions([candidates], [Infinity, seconds])).choice[0]];
  };
  const apart = await solve(0, 270);
  assert.deepEqual(apart.formats, ['tcq2', 'tcq4', 'tcq3']);
  const fused = await solve(1000, 1380);
  assert.deepEqual(fused.parts, [[0, 1, 2]]);
  assert.deepEqual(new Set(fused.formats), new Set(['tcq3']));
});

test('the best way to run a group is the best of all ways, looked at one by one', async () => {
  const group = [layer(30, 3), layer(20, 40), layer(50, 1)];
  const { start, perWeight } = latency(25);
  const [bits, seconds] = [330, 400];
  let best = Infinity;
  for (const parts of partitions(3)) {
    for (let code = 0; code < 3 ** parts.length; code++) {
      const option = group.map((_, i) => Math.floor(code / 3 ** parts.findIndex((part) => part.includes(i))) % 3);
      const sum = (of: (i: number) => number) => group.reduce((total, _, i) => total + of(i), 0);
      const time = parts.length * start + sum((i) => group[i].weights * perWeight.get(names[option[i]])!);
      if (time <= seconds && sum((i) => group[i].candidates[option[i]].bits) <= bits) best = Math.min(best, sum((i) => group[i].candidates[option[i]].loss));
    }
  }
  const found = await chooseOptions([fusedCandidates(group, { start, perWeight })], [bits, seconds]);
  assert.equal(found.loss, best);
});

test('the error on normal weights orders trellises before vectors before scalars', () => {
  for (const bits of [2, 3]) {
    const [trellis, vector, scalar] = [`tcq${bits}`, `vq${bits}`, `lloydmax${bits}`].map((name) => gaussianError(parseFormat(name)));
    assert.ok(trellis < vector && vector < scalar && trellis > 4 ** -bits);
  }
});

function network() {
  const g = new GraphBuilder('two', 21);
  const random = (count: number, seed: number, scale: number) => Float32Array.from({ length: count }, (_, i) => scale * normal(seed, 0, i));
  const x = g.input('x', 'f32', ['n', 64]);
  const h = g.op('Tanh', [g.op('MatMul', [x, g.weight(floatTensor('a', [64, 96], random(64 * 96, 1, 0.02)))])]);
  g.output(g.op('MatMul', [h, g.weight(floatTensor('b', [96, 32], random(96 * 32, 2, 0.3)))]), 'y', 'f32', ['n', 32]);
  return g.graph();
}
const feeds = { x: { type: 'f32' as const, shape: [64, 64], data: Float32Array.from({ length: 4096 }, (_, i) => normal(3, 0, i)) } };

test('sensitivities are slopes: noise of the last layer moves the outputs by its own power', async () => {
  const graph = network();
  const sites = linearSites(graph);
  const trials = await weightTrials(graph, ortNode, [feeds], sites, 'noise');
  const found = await noiseSensitivities(trials, sites);
  await trials.dispose();
  for (const { slope, losses } of found) {
    assert.ok(Math.abs(slope - 1) < 0.35, `${slope}`);
    assert.ok(Math.abs(losses[1] / losses[0] - 4) < 0.2, `${losses}`);
  }
  // Shrinking the last layer by t moves its outputs by t² of their power, exactly.
  assert.ok(Math.abs(found[1].shrinkage - 1) < 1e-5);
});

test('a code of relative error D is noise of D(1 − D) and shrinking by D: true of Lloyd and Max on normal values', () => {
  const format = parseFormat('lloydmax2/channel');
  const values = Float32Array.from({ length: 65536 }, (_, i) => normal(9, 0, i));
  const decoded = format.decode(format.encode(values, 1, values.length));
  const inner = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i], 0) / values.length;
  const error = inner(values, values) - 2 * inner(values, decoded) + inner(decoded, decoded);
  assert.ok(Math.abs(inner(values, decoded) - (1 - error)) < 0.01, 'what is decoded keeps 1 − D of the value');
  close([codeLoss({ slope: 3, shrinkage: 5 }, 0.1)], [3 * 0.1 * 0.9 + 5 * 0.01]);
});

test('the recipe spends the bits of the format that was asked for, and is never worse than it', async () => {
  const graph = network();
  const format = parseFormat('tcq2.5+had');
  const { allocation, weights, notes } = await applyRecipe(findRecipe('q-palette'), graph, { engine: ortNode, formatOf: () => format, batches: () => [feeds], distance: 'noise' });
  assert.ok(allocation!.bitsPerWeight <= allocation!.budget * (1 + 1e-9));
  assert.ok(allocation!.measured! <= allocation!.uniform.find(({ format: name }) => name === format.name)!.measured!);
  assert.match(notes.join(), /mixed against/);
  assert.deepEqual([...weights.values()].map(({ format: { name } }) => name), allocation!.layers.map((one) => one.format));
});

test('what was measured once serves another budget', async () => {
  const kept = new Map<string, Readonly<Record<string, number>>>();
  const measurements = { read: async (name: string) => kept.get(name), write: async (name: string, values: Readonly<Record<string, number>>) => { kept.set(name, values); } };
  const run = async (spelling: string) => {
    const format = parseFormat(spelling);
    return (await applyRecipe({ ...findRecipe('q-palette'), steps: [{ step: 'allocate-palette', formats: ['vq2', 'vq3', 'vq4'] }] }, network(), { engine: ortNode, formatOf: () => format, batches: () => [feeds], distance: 'noise', measurements })).allocation!;
  };
  const first = await run('vq3');
  assert.equal(kept.size, 1);
  const [name] = kept.keys();
  kept.set(name, Object.fromEntries(Object.entries(kept.get(name)!).map(([key, value]) => [key, 2 * value])));
  const again = await run('vq3');
  assert.ok(Math.abs(again.loss - 2 * first.loss) < 1e-12);
  assert.ok((await run('vq2')).bitsPerWeight < first.bitsPerWeight);
});
