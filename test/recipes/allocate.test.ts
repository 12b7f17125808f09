import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerLimits } from '../../src/allocate/allocation.ts';
import type { FewbitError } from '../../src/errors.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, type Tensor } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe, type ApplyOptions } from '../../src/recipes/apply.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import type { LayerTimes } from '../../src/recipes/state.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const formats = ['int2/channel', 'int4/channel', 'int8/channel'];
const recipe: Recipe = { name: 'measured', summary: '', needs: [], formats: [], exports: ['onnx'], steps: [{ step: 'allocate', bits: 5, formats }, { step: 'round', rounder: 'nearest' }] };

/** Two products side by side of equal size; one is heard ten times as loud as the other. */
function uneven(width = 16): Graph {
  const g = new GraphBuilder('uneven', 21);
  const x = g.input('x', 'f32', ['N', width]);
  const made = ['loud', 'quiet'].map((name, k) => g.op('MatMul', [x, g.weight(floatTensor(name, [width, width], Float32Array.from({ length: width ** 2 }, (_, i) => normal(3, k, i) * (k === 0 ? 10 : 1))))]));
  g.output(g.op('Add', made), 'y', 'f32', ['N', width]);
  return g.graph();
}
const samples = (width: number): Tensor => f32([32, width], Float32Array.from({ length: 32 * width }, (_, i) => normal(5, 0, i)));

const options = (more: Partial<ApplyOptions> = {}): ApplyOptions => ({
  engine: ortNode, formatOf: () => parseFormat('int4/channel'), batches: () => [{ x: samples(16) }], ...more,
});

test('the layer that is heard most takes most bits, whether formats are measured or extrapolated', async () => {
  for (const trialWeights of [1e12, 0]) {
    const { allocation, formats: chosen, weights } = await applyRecipe(recipe, uneven(), options({ trialWeights }));
    const bits = (id: string): number => chosen.get(id)!.bits;
    assert.ok(bits('loud') > bits('quiet'), `${bits('loud')} and ${bits('quiet')} bits`);
    assert.equal(weights.get('loud')!.format.name, chosen.get('loud')!.name);
    assert.ok(allocation!.bitsPerWeight <= 5);
    assert.equal(allocation!.measure.includes('one format per layer'), trialWeights === 0);
  }
});

test('extrapolated losses are near to measured ones where outputs go with the error of the weights', async () => {
  const [measured, extrapolated] = [await applyRecipe(recipe, uneven(), options()), await applyRecipe(recipe, uneven(), options({ trialWeights: 0 }))];
  measured.allocation!.uniform.forEach(({ loss, format }, i) => {
    const ratio = extrapolated.allocation!.uniform[i].loss / loss;
    assert.ok(ratio > 0.6 && ratio < 1.6, `${format}: ${ratio}`);
  });
});

test('figures that are known are not measured again', async () => {
  const kept = new Map<string, Readonly<Record<string, number>>>();
  const measurements = { read: async (name: string) => kept.get(name), write: async (name: string, values: Readonly<Record<string, number>>) => { kept.set(name, values); } };
  const first = await applyRecipe(recipe, uneven(), options({ measurements }));
  const closed = { name: 'none', open: async () => { throw new Error('nothing is to be run'); } };
  const again = await applyRecipe(recipe, uneven(), options({ measurements, engine: closed }));
  assert.deepEqual(again.allocation, first.allocation);
});

test('trellises and vectors between whole bits reach budgets of fractions, never worse than one format within them', async () => {
  const fractional = ['int2/channel', 'int4/channel', 'tcq1.5+had', 'tcq2.25+had', 'tcq3.25+had', 'vq2.5+had'];
  const graph = uneven(64);
  const kept = new Map<string, Readonly<Record<string, number>>>();
  const measurements = { read: async (name: string) => kept.get(name), write: async (name: string, values: Readonly<Record<string, number>>) => { kept.set(name, values); } };
  for (const bits of [2.25, 2.5, 3.25]) {
    const steps: Recipe['steps'] = [{ step: 'allocate', bits, formats: fractional }, { step: 'round', rounder: 'gptq' }];
    const { allocation, weights } = await applyRecipe({ ...recipe, needs: ['sample inputs'], steps }, graph, options({ measurements, batches: () => [{ x: samples(64) }] }));
    assert.ok(allocation!.bitsPerWeight <= bits && allocation!.bitsPerWeight > bits - 0.6, `${allocation!.bitsPerWeight} of ${bits} bits`);
    const within = allocation!.uniform.filter(({ bitsPerWeight }) => bitsPerWeight <= bits);
    assert.ok(within.length > 0);
    for (const { format, measured } of within) assert.ok(allocation!.measured! <= measured!, `${bits} bits: not worse than ${format} everywhere`);
    for (const { id, format } of allocation!.layers) assert.equal(weights.get(id)!.format.name, format);
  }
});

test('gptq rounds trellises with feedback: the outputs are nearer than those of the nearest codes', async () => {
  const errorOf = async (rounder: 'gptq' | 'nearest'): Promise<number> => {
    const x = new Float32Array(256 * 32);
    // Columns that depend on each other: feedback has something to move errors to.
    for (let row = 0; row < 256; row++) for (let col = 0; col < 32; col++) x[row * 32 + col] = normal(7, row, 0) + 0.3 * normal(7, row, col + 1);
    const g = new GraphBuilder('one', 21);
    const matrix = Float32Array.from({ length: 1024 }, (_, i) => normal(9, 0, i));
    g.output(g.op('MatMul', [g.input('x', 'f32', ['N', 32]), g.weight(floatTensor('w', [32, 32], matrix))]), 'y', 'f32', ['N', 32]);
    const { weights } = await applyRecipe({ ...recipe, steps: [{ step: 'round', rounder }] }, g.graph(), options({ formatOf: () => parseFormat('tcq2'), batches: () => [{ x: f32([256, 32], x) }] }));
    // [out, in], as sites hold them; the graph multiplies by [in, out].
    const decoded = parseFormat('tcq2').decode(await weights.get('w')!.read(0, 32));
    let sum = 0;
    for (let row = 0; row < 256; row++) {
      for (let out = 0; out < 32; out++) {
        let error = 0;
        for (let col = 0; col < 32; col++) error += x[row * 32 + col] * (decoded[out * 32 + col] - matrix[col * 32 + out]);
        sum += error * error;
      }
    }
    return sum;
  };
  assert.ok(await errorOf('gptq') < 0.7 * await errorOf('nearest'));
});

test('bit operations and time are budgets too: the choice keeps every limit, and no single format that keeps them is nearer', async () => {
  const steps = (bits: number, limits: LayerLimits): Recipe => ({ ...recipe, steps: [{ step: 'allocate', bits, formats, limits }, { step: 'round', rounder: 'nearest' }] });
  const seconds: Readonly<Record<string, number>> = { 'int2/channel': 1, 'int4/channel': 2, 'int8/channel': 4 };
  const layerTimes: LayerTimes = { counted: 'made up', of: async (_graph, _site, _shapes, timed) => ({ float: 5, formats: timed.map(({ name }) => seconds[name]) }) };
  // Each layer takes 16 × 16 products of float inputs.
  const byOperations = (await applyRecipe(steps(32, { bops: (6 * 2 * 256 * 32) / 1e9 }), uneven(), options())).allocation!;
  assert.deepEqual(byOperations.layers.map(({ id, format }) => `${id} ${format}`), ['loud int8/channel', 'quiet int4/channel']);
  assert.ok(Math.abs(byOperations.limits![0].reached - (6 * 2 * 256 * 32) / 1e9) < 1e-12);
  assert.ok(Math.abs(byOperations.limits![0].float - (32 * 2 * 256 * 32) / 1e9) < 1e-12);
  const byTime = (await applyRecipe(steps(32, { milliseconds: 5 }), uneven(), options({ layerTimes }))).allocation!;
  assert.deepEqual(byTime.layers.map(({ id, format }) => `${id} ${format}`), ['loud int8/channel', 'quiet int2/channel']);
  const [{ reached, float, front }] = byTime.limits!;
  assert.deepEqual([reached, float], [5, 10]);
  assert.equal(front.find(({ use, loss }) => use <= 5 && loss < byTime.loss * (1 - 1e-9)), undefined, 'the choice lies on the front of time');
  for (const { milliseconds, measured } of byTime.uniform) if (milliseconds! <= 5) assert.ok(byTime.measured! <= measured!);
  const both = (await applyRecipe(steps(4.7, { milliseconds: 5 }), uneven(), options({ layerTimes }))).allocation!;
  assert.ok(both.bitsPerWeight <= 4.7 && both.limits![0].reached <= 5);
  await assert.rejects(applyRecipe(steps(32, { milliseconds: 1 }), uneven(), options({ layerTimes })), /1 ms cannot be reached: the least that any choice takes is 2\.00/);
  await assert.rejects(applyRecipe(steps(32, { milliseconds: 5 }), uneven(), options()), /no engine is at hand/);
});

test('a budget that cannot be reached says what else could be offered', async () => {
  const wayOut = (offered: readonly string[]) => applyRecipe({ ...recipe, steps: [{ step: 'allocate', bits: 1.1, formats: offered }, { step: 'round', rounder: 'nearest' }] }, uneven(), options()).then(() => undefined, (error: FewbitError) => error.wayOut);
  assert.equal(await wayOut(formats), 'ask for more bits, or offer finer ones with --candidates plain,trellis');
  assert.equal(await wayOut(['int2/channel', 'vq2.5+had']), 'ask for more bits, or offer smaller formats with --candidates');
});

test('room that was kept for a table goes to other formats where the choice has no such table in the end', async () => {
  const table = 1300;
  const own = (rows: number, cols: number, bits: number): number => rows * cols * bits + 32 * rows;
  const { allocation } = await applyRecipe({ ...recipe, steps: [{ step: 'allocate', bits: 8, formats }, { step: 'round', rounder: 'nearest' }] }, uneven(), options({
    storage: {
      weights: 512, counted: 'layers, and a table where int8 is taken', rest: async () => 0, bitsOf: async ({ rows, cols }, { bits }) => own(rows, cols, bits),
      shared: async (chosen) => (chosen.some(({ format }) => format.bits === 8) ? table : 0),
    },
  }));
  // int8 and int4 are 4096 bits without the table; with room for it, int4 and int2 are left, and then int4 twice.
  assert.deepEqual(allocation!.layers.map(({ format }) => format), ['int4/channel', 'int4/channel']);
  assert.equal(allocation!.bitsPerWeight, 6);
});

test('the smallest choice that a refusal names counts what its layers share, and no other formats are offered where they could not help', async () => {
  const refused = (bits: number, rest: number) => applyRecipe({ ...recipe, steps: [{ step: 'allocate', bits, formats }, { step: 'round', rounder: 'nearest' }] }, uneven(), options({
    storage: { weights: 512, counted: 'layers and a table', rest: async () => rest, bitsOf: async ({ rows, cols }, { bits: width }) => rows * cols * width, shared: async () => 512 },
  })).then(() => undefined, (error: FewbitError) => [error.message, error.wayOut]);
  const [message, wayOut] = (await refused(1.5, 128))!;
  assert.match(message!, /the smallest choice takes 3\.25, of which 1\.25 are/);
  assert.match(wayOut!, /--candidates/);
  assert.equal((await refused(1.5, 1024))![1], 'ask for more bits');
});
