import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe, type ApplyOptions } from '../../src/recipes/apply.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const formats = ['int2/channel', 'int4/channel', 'int8/channel'];
const recipe: Recipe = { name: 'measured', summary: '', needs: [], formats: [], exports: ['onnx'], steps: [{ step: 'allocate', bits: 5, formats }, { step: 'round', rounder: 'nearest' }] };

/** Two products side by side of equal size; one is heard ten times as loud as the other. */
function uneven(): Graph {
  const g = new GraphBuilder('uneven', 21);
  const x = g.input('x', 'f32', ['N', 16]);
  const made = ['loud', 'quiet'].map((name, k) => g.op('MatMul', [x, g.weight(floatTensor(name, [16, 16], Float32Array.from({ length: 256 }, (_, i) => normal(3, k, i) * (k === 0 ? 10 : 1))))]));
  g.output(g.op('Add', made), 'y', 'f32', ['N', 16]);
  return g.graph();
}

const options = (more: Partial<ApplyOptions> = {}): ApplyOptions => ({
  engine: ortNode, formatOf: () => parseFormat('int4/channel'), batches: () => [{ x: f32([32, 16], Float32Array.from({ length: 512 }, (_, i) => normal(5, 0, i))) }], ...more,
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
