/** Rotations that keep the function: computed as the network runs, or folded into the residual stream of a trained model. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { checkEquivalent } from '../../src/transform/check-equivalent.ts';
import { rotateResidual } from '../../src/transform/rotate-residual.ts';
import { rotateInputs, turnable } from '../../src/transform/rotate.ts';
import { hadamardRotation, rotationNote, turnRows, type Rotation } from '../../src/transform/rotation.ts';

const model = await openLanguageModel(await openFolder(join(import.meta.dirname, '../../assets/host-llama-shakespeare')));
after(() => model.close());

const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(step * i * i + i));

function memo(): (width: number) => Rotation {
  const made = new Map<number, Rotation>();
  return (width) => {
    if (!made.has(width)) made.set(width, hadamardRotation(width, 3));
    return made.get(width)!;
  };
}

test('rows turned and turned back are what they were, also in blocks', () => {
  for (const width of [12, 192, 30]) {
    const rotation = hadamardRotation(width, 7);
    const rows = wave(2 * width, 0.3);
    const turned = turnRows(rows, rotation);
    assert.ok(turned.some((value, i) => Math.abs(value - rows[i]) > 0.1));
    turnRows(turned, rotation, true).forEach((value, i) => assert.ok(Math.abs(value - rows[i]) < 1e-6));
  }
  assert.equal(rotationNote(hadamardRotation(192)), undefined);
  assert.match(rotationNote(hadamardRotation(30))!, /15 blocks of 2/);
});

test('rows are turned by the matrix that the rotation shows, fast or not', () => {
  for (const [width, seed] of [[30, 2], [32, 3], [64, undefined], [192, 4], [256, 5], [512, undefined]] as const) {
    const rotation = hadamardRotation(width, seed);
    const rows = wave(3 * width, 0.3);
    const dense = turnRows(rows, { width, order: rotation.order, matrix: rotation.matrix });
    turnRows(rows, rotation).forEach((value, i) => assert.ok(Math.abs(value - dense[i]) < 1e-6));
  }
});

test('one large channel is shared out among all', () => {
  const row = new Float32Array(64);
  row[5] = 8;
  turnRows(row, hadamardRotation(64, 1)).forEach((value) => assert.equal(Math.abs(value), 1));
});

test('readers of one value share one product, other readers see the value, tied weights stay', async () => {
  const g = new GraphBuilder('shared', 21);
  const x = g.input('x', 'f32', ['N', 12]);
  const tied = g.weight(floatTensor('tied', [12, 12], wave(144, 0.7)));
  const a = g.op('MatMul', [x, g.weight(floatTensor('a', [12, 12], wave(144, 0.1)))]);
  const b = g.op('Gemm', [x, g.weight(floatTensor('b', [12, 12], wave(144, 0.2))), g.floats([...wave(12, 0.5)])], { transB: int(1) });
  const c = g.op('MatMul', [g.op('MatMul', [g.op('Add', [g.op('Add', [a, b]), x]), tied]), tied]);
  g.output(c, 'y', 'f32', ['N', 12]);
  const graph = g.graph();
  const rotated = await rotateInputs(graph, () => hadamardRotation(12));
  assert.deepEqual(rotated.turned, ['x']);
  assert.equal(linearSites(rotated.graph).filter(({ id }) => rotated.kept.has(id)).length, 1);
  assert.ok(await checkEquivalent(graph, rotated.graph, ortNode, { x: f32([3, 12], wave(36, 0.9)) }) < 2e-6);
});

test('a trained language model keeps its logits with a turned residual stream: two products instead of thirteen', async () => {
  const graph = model.graph();
  const rotated = await rotateResidual(graph, memo());
  assert.equal(rotated.turned.length, 12);
  assert.deepEqual([...rotated.kept].sort(), ['rotation', 'rotation_1']);
  assert.ok(await checkEquivalent(graph, rotated.graph, ortNode, { input_ids: i64([1, 32], Array.from({ length: 32 }, (_, i) => (37 * i) % 1024)) }) < 5e-6);
  // The embedding stays tied to the head.
  assert.equal(rotated.graph.weights.get('model.embed_tokens.weight'), graph.weights.get('model.embed_tokens.weight'));
});

test('the step turns every input of a layer that is rounded, and its matrices stay float', async () => {
  const recipe: Recipe = { name: 'turned', summary: '', needs: [], formats: [], exports: ['onnx'], steps: [{ step: 'rotate', where: 'both' }, { step: 'round', rounder: 'nearest' }] };
  const { parseFormat } = await import('../../src/formats/registry.ts');
  const feeds = { input_ids: i64([1, 16], Array.from({ length: 16 }, (_, i) => 60 * i)) };
  const { graph, weights, kept, notes } = await applyRecipe(recipe, model.graph(), { engine: ortNode, formatOf: (site) => (site.kind === 'Gather' ? undefined : parseFormat('int4/g64')), batches: () => [feeds] });
  assert.equal(weights.size, 42);
  assert.equal(kept.size, 6);
  assert.ok([...kept].every((id) => !weights.has(id)));
  assert.match(notes[0], /seed 0: 12 within the residual stream, 12 as the network runs/);
  assert.equal(turnable(graph).filter(({ id }) => weights.has(id)).length, 42);
});

test('two small factors are the large matrix, signs included', () => {
  for (const [width, seed] of [[512, 3], [128, undefined], [320, 5]] as const) {
    const { order, matrix, factors } = hadamardRotation(width, seed);
    const { signs, left, right } = factors!;
    const b = Math.sqrt(right.length);
    const a = order / b;
    assert.ok(Math.max(a, b) <= 32 || !Number.isInteger(Math.log2(order)));
    for (let i = 0; i < order; i += 7) {
      for (let j = 0; j < order; j++) {
        const product = (signs?.[i] ?? 1) * left[Math.floor(i / b) * a + Math.floor(j / b)] * right[(i % b) * b + (j % b)];
        assert.ok(Math.abs(product - matrix[i * order + j]) < 1e-7);
      }
    }
  }
  assert.equal(hadamardRotation(140).factors, undefined);
  assert.equal(hadamardRotation(32, 1).factors, undefined);
});
