/** What an earlier run kept is not measured again, and what comes of it has the same bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/session.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { measurementsIn, type KeptFiles } from '../../src/jobs/measurements.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe, type Applied } from '../../src/recipes/apply.ts';
import { keptFigures, keptInOrder, keptVectors } from '../../src/recipes/kept.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const width = 64;

function network(): Graph {
  const g = new GraphBuilder('net', 21);
  const weight = (name: string, seed: number): string => g.weight(floatTensor(name, [width, width], Float32Array.from({ length: width * width }, (_, i) => normal(seed, 0, i) / 8)));
  const inner = g.op('Relu', [g.op('MatMul', [g.input('x', 'f32', ['n', width]), weight('first', 1)])]);
  g.output(g.op('MatMul', [inner, weight('second', 2)]), 'y', 'f32', ['n', width]);
  return g.graph();
}

const batches = () => [0, 1, 2].map((seed) => ({ x: f32([16, width], Float32Array.from({ length: 16 * width }, (_, i) => normal(9, seed, i))) }));
/** Names of layers are the same in both. */
const [graph, format] = [network(), parseFormat('int4/channel')];

function memory(): KeptFiles & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return { files, large: true, read: async (file) => files.get(file)?.slice(), write: async (file, bytes) => { files.set(file, bytes.slice()); } };
}

const on = { model: ['m'], location: 'm', data: 'd', keep: [] };
/** Counts the sessions that were opened. */
function counting(): Engine & { opened: number } {
  const engine = { ...ortNode, opened: 0, open: async (...given: Parameters<Engine['open']>) => { engine.opened++; return ortNode.open(...given); } };
  return engine;
}

const run = async (recipe: Recipe, files?: KeptFiles, engine: Engine = ortNode, weights = format): Promise<Applied> =>
  applyRecipe(recipe, graph, { formatOf: () => weights, engine, batches, activationValues: () => ['x', 'y'], ...(files === undefined ? {} : { measurements: measurementsIn(files, on) }) });

/** Codes, scales and errors of all layers, ranges, and mean squares of their inputs. */
const contents = async ({ weights, importance, ranges }: Applied): Promise<object> =>
  ({ weights: await Promise.all([...weights].map(async ([id, matrix]) => [id, await matrix.read(0, width), matrix.stats()])), importance, ranges });

const recipes: readonly Recipe[] = [findRecipe('gptq'), findRecipe('importance'), findRecipe('awq'), findRecipe('smooth+gptq'), { ...findRecipe('gptq'), name: 'static', steps: [{ step: 'round', rounder: 'gptq' }, { step: 'observe-ranges', method: 'minmax' }] }];

for (const recipe of recipes) {
  test(`${recipe.name}: a second run opens no session and gives the same bits`, async () => {
    const files = memory();
    const plain = await contents(await run(recipe));
    assert.deepEqual(await contents(await run(recipe, files)), plain);
    const engine = counting();
    assert.deepEqual(await contents(await run(recipe, files, engine)), plain);
    assert.equal(engine.opened, 0);
  });
}

test('a run that was cut between two layers makes the second from the moments that were kept', async () => {
  const [recipe] = recipes;
  const files = memory();
  const plain = await contents(await run(recipe, files));
  const [moments, , second] = files.files.keys();
  files.files.delete(second);
  const engine = counting();
  assert.deepEqual(await contents(await run(recipe, files, engine)), plain);
  assert.equal(engine.opened, 0);
  // Without the moments both layers are looked at again, as they were the first time.
  files.files.delete(moments);
  files.files.delete(second);
  assert.deepEqual(await contents(await run(recipe, files, engine)), plain);
  assert.equal(engine.opened, 1);
});

test('another format takes the moments and makes its own layers', async () => {
  const [recipe] = recipes;
  const files = memory();
  await run(recipe, files);
  const engine = counting();
  const other = parseFormat('int8/channel');
  assert.deepEqual(await contents(await run(recipe, files, engine, other)), await contents(await run(recipe, undefined, ortNode, other)));
  assert.equal(engine.opened, 0);
});

test('damaged files count as absent, and other data have their own', async () => {
  const [recipe] = recipes;
  const files = memory();
  const plain = await contents(await run(recipe, files));
  for (const bytes of files.files.values()) bytes[bytes.length - 1] ^= 1;
  const engine = counting();
  assert.deepEqual(await contents(await run(recipe, files, engine)), plain);
  assert.equal(engine.opened, 1);
  assert.equal(await measurementsIn(files, { ...on, data: 'other' }).large!.read('x'), undefined);
  const count = files.files.size;
  await applyRecipe(recipe, graph, { formatOf: () => format, engine, batches, measurements: measurementsIn(files, { ...on, data: 'other' }) });
  assert.equal(files.files.size, 2 * count);
});

test('figures that follow from each other are known by their order, and infinite ones are measured again', async () => {
  const files = memory();
  const [first, second, third] = [{ value: 1.5 }, { value: Infinity }, { value: 3 }];
  for (const calls of [['1.5', 'Infinity', '3'], ['Infinity']]) {
    const seen: string[] = [];
    const measure = keptInOrder(measurementsIn(files, on), 'noise', async ({ value }: { value: number }) => { seen.push(String(value)); return value; });
    for (const one of [first, first, second, third]) assert.equal(await measure(one), one.value);
    assert.deepEqual(seen, calls);
  }
  // A cache that holds sensitivities alone keeps none of it.
  const figures = { ...memory(), large: false };
  await keptFigures(measurementsIn(figures, on), 'extremes', async () => new Map([['x', 2]]));
  assert.equal(figures.files.size, 0);
  const vectors = new Map([['a', Float32Array.of(1, 2)], ['b', Float32Array.of(3)]]);
  await keptVectors(measurementsIn(files, on), 'importance', async () => vectors);
  assert.deepEqual(await keptVectors(measurementsIn(files, on), 'importance', async () => assert.fail()), vectors);
});

test('blocks whose rounding was learned are not trained again', async () => {
  const recipe: Recipe = { ...findRecipe('adaround'), steps: [{ step: 'reconstruct', unit: 'layer', scales: 'learned', drop: false, iterations: 12, push: 1 }] };
  const files = memory();
  const plain = await contents(await run(recipe));
  const [first, second, third] = [counting(), counting(), counting()];
  assert.deepEqual(await contents(await run(recipe, files, first)), plain);
  assert.equal(files.files.size, 2);
  assert.deepEqual(await contents(await run(recipe, files, second)), plain);
  // One layer is known, and the other learned on what it gives.
  files.files.delete([...files.files.keys()][1]);
  assert.deepEqual(await contents(await run(recipe, files, third)), plain);
  assert.ok(second.opened < third.opened && third.opened < first.opened, `${second.opened}, ${third.opened}, ${first.opened}`);
});
