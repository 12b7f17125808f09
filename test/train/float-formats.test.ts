/** Floating-point formats searched per tensor: published errors of 4-bit grids, the search against the paper's own, and fixed grids in the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { floatSplits } from '../../src/formats/float-splits.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { ScaledFormat } from '../../src/formats/scaled.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { layersBeforeGelu } from '../../src/graph/feed-forward.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import type { Step } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { fixFloatInputs, searchFixedFloat } from '../../src/train/float-activations.ts';

const count = 128 * 1024;
const gaussian = Float32Array.from({ length: count }, (_, i) => normal(7, 0, i));
/** Two exponentials back to back: the difference of two squares of two normals each. */
const laplace = Float32Array.from({ length: count }, (_, i) => (normal(7, 1, i) ** 2 + normal(7, 2, i) ** 2 - normal(7, 3, i) ** 2 - normal(7, 4, i) ** 2) / 2);
const meanSquare = (values: Float32Array, spelling: string): number => parseFormat(spelling).encode(values, count / 128, 128).squaredError / count;

test('4-bit grids lose in groups of 128 what was published of them', () => {
  for (const [values, figures] of [[gaussian, [0.01348, 0.01195, 0.0378]], [laplace, [0.0507, 0.0292, 0.0679]]] as const) {
    ['int4/g128', 'e2m1/g128', 'e3m0/g128'].forEach((spelling, i) => {
      const found = meanSquare(values, spelling);
      assert.ok(Math.abs(found / figures[i] - 1) < 0.05, `${spelling}: ${found} is not ${figures[i]}`);
    });
  }
  assert.equal(meanSquare(gaussian, 'e1m2/g128'), meanSquare(gaussian, 'int4/g128'));
});

/** `y = gelu(x · w₁) · w₂` and a layer beside it. */
function feedForward(weight: Float32Array): Graph {
  const g = new GraphBuilder('feed-forward');
  const x = g.input('x', 'f32', ['n', 8]);
  const layer = (name: string, from: string): string => g.op('MatMul', [from, g.weight(floatTensor(name, [8, 8], weight))]);
  const opening = layer('opening', x);
  const bent = g.op('Mul', [opening, g.op('Add', [g.op('Erf', [g.op('Div', [opening, g.floats(Math.SQRT2)])]), g.floats(1)])]);
  g.output(g.op('Add', [layer('closing', bent), layer('beside', x)]), 'y', 'f32', ['n', 8]);
  return g.graph();
}
const apply = (graph: Graph, steps: readonly Step[], weights: string, points = f32([2, 8], gaussian.slice(0, 16))) => applyRecipe(
  { name: 'test', summary: '', needs: [], steps, formats: [], exports: [] }, graph,
  { engine: ortNode, formatOf: () => parseFormat(weights), batches: () => [{ x: points }] },
);

test('a tensor on the grid of one split is found to lie there, without error', async () => {
  const levels = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  const weight = Float32Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? -1 : 1) * levels[(i * 5) % 8]);
  const { weights, notes } = await apply(feedForward(weight), [{ step: 'search-splits' }, { step: 'round', rounder: 'scale-search' }], 'e3m0/tensor');
  const matrix = weights.get('closing')!;
  const made = await matrix.read(0, 8);
  assert.deepEqual([matrix.format.name, made.scales[0], made.squaredError], ['e2m1/tensor', 1, 0]);
  assert.deepEqual(notes, ['weights: 3 e2m1/tensor']);
});

test('the search is no worse than a hundred maxima for every split', () => {
  for (const [values, bits] of [[gaussian, 4], [laplace, 4], [laplace, 8]] as const) {
    const part = values.slice(0, 2048);
    const splits = floatSplits(bits, 'tensor');
    const largest = part.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    let least = Infinity;
    for (const format of splits) {
      const { type } = format.symmetric!.grid;
      for (let k = 0; k < 100; k++) {
        const scales = Float32Array.of(((0.1 + (0.9 * k) / 99) * largest) / type!.max);
        least = Math.min(least, format.encodeWith(part, 1, part.length, { scales, scaleShape: [1, 1] }).squaredError);
      }
    }
    const found = searchFixedFloat(part, splits);
    assert.ok(found.squaredError <= 1.002 * least, `${bits} bits: ${found.squaredError} against ${least}`);
  }
});

test('inputs on fixed grids are what the format decodes, and products go on from there', async () => {
  const graph = feedForward(gaussian.slice(0, 64));
  const x = f32([4, 8], laplace.slice(0, 32));
  for (const spelling of ['e3m4/tensor', 'e2m1/tensor', 'e5m2/tensor']) {
    const format = parseFormat(spelling) as ScaledFormat;
    const scale = 0.37;
    const fixed = fixFloatInputs(graph, new Map([['x', { type: format.symmetric!.grid.type!, scale }]]));
    const session = await openGraph(fixed, ortNode);
    const { y } = await session.run({ x });
    await session.dispose();
    const rounded = format.decode(format.encodeWith(x.data as Float32Array, 4, 8, { scales: Float32Array.of(scale), scaleShape: [1, 1] }));
    const plain = await openGraph(graph, ortNode);
    const { y: expected } = await plain.run({ x: f32([4, 8], rounded) });
    await plain.dispose();
    (y.data as Float32Array).forEach((value, i) => assert.ok(Math.abs(value - (expected.data as Float32Array)[i]) < 1e-5, spelling));
  }
  const { graph: searched, notes } = await apply(graph, [{ step: 'round', rounder: 'nearest' }, { step: 'fix-float-inputs', bits: 8 }], 'e2m1/channel', x);
  assert.match(notes[0], /^inputs: /);
  assert.equal(searched.nodes.filter(({ op }) => op === 'Round').length, 2);
});

test('layers before a GELU are those whose result goes through it into one more layer', async () => {
  const graph = feedForward(gaussian.slice(0, 64));
  assert.deepEqual(layersBeforeGelu(graph).map(({ id }) => id), ['opening']);
  const { weights } = await apply(graph, [{ step: 'before-gelu', element: 'e3m0' }, { step: 'round', rounder: 'nearest' }], 'e2m1/g4');
  assert.deepEqual([...weights].map(([id, { format }]) => `${id} ${format.name}`), ['opening e3m0/g4', 'closing e2m1/g4', 'beside e2m1/g4']);
});
