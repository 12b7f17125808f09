import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FewbitError } from '../../src/errors.ts';
import { recipeFor } from '../../src/jobs/outputs.ts';
import { schemeForBits } from '../../src/jobs/schemes.ts';
import { findRecipe } from '../../src/recipes/registry.ts';

const refused = (name: string, message: RegExp, wayOut: RegExp) => assert.throws(() => findRecipe(name), (error: FewbitError) => {
  assert.match(error.message, message);
  assert.match(error.wayOut ?? '', wayOut);
  return !error.message.includes('\n');
});

test('a step before a recipe reshapes the network for its rounder', () => {
  const { name, steps, needs, exports } = findRecipe('smooth+gptq');
  assert.equal(name, 'smooth+gptq');
  assert.deepEqual(steps, [{ step: 'smooth', alpha: 0.5 }, { step: 'round', rounder: 'gptq' }]);
  assert.deepEqual(needs, ['sample inputs']);
  assert.deepEqual(exports, ['onnx', 'transformers.js']);
});

test('the rounder of the last recipe takes the place of the earlier one, and ranges are found after it', () => {
  const { steps, exports } = findRecipe('krishnamoorthi-int8+awq');
  assert.deepEqual(steps, [{ step: 'fold-batchnorm' }, { step: 'round', rounder: 'awq' }, { step: 'observe-ranges', method: 'ema' }]);
  assert.deepEqual(exports, ['onnx']);
});

test('data that a recipe makes serve the rounder of another', () => {
  const { steps, needs } = findRecipe('zeroq+gptq');
  assert.deepEqual(steps.map(({ step }) => step), ['distil', 'fold-batchnorm', 'round', 'observe-ranges']);
  assert.deepEqual(needs, ['batch normalization']);
});

test('what only restores comes last wherever it is named', () => {
  assert.deepEqual(findRecipe('correct-bias+rtn').steps.map(({ step }) => step), ['round', 'correct-bias']);
  assert.deepEqual(findRecipe('rtn+correct-bias').steps.map(({ step }) => step), ['round', 'correct-bias']);
});

test('a part that would be silently lost is refused', () => {
  refused('adaround+gptq', /gptq takes the place of the rounder of adaround, and nothing else of adaround is left/, /name one of them/);
  refused('rtn+gptq', /nothing else of rtn is left/, /name one of them/);
});

test('transforms must come before the rounder, and something must round', () => {
  refused('gptq+smooth', /smooth changes what gptq rounds/, /write smooth\+gptq/);
  refused('smooth', /smooth rounds nothing/, /smooth\+rtn/);
  refused('fold-batchnorm+smooth', /rounds nothing/, /\+gptq/);
});

test('rotation, a branch of low rank and error feedback are one recipe', () => {
  const { steps, exports, formats } = findRecipe('rotate+svdquant+gptq');
  assert.deepEqual(steps.map(({ step }) => step), ['rotate', 'shift', 'smooth-search', 'low-rank', 'round']);
  assert.deepEqual(steps.at(-1), { step: 'round', rounder: 'gptq' });
  assert.deepEqual(exports, ['onnx', 'transformers.js']);
  assert.deepEqual(formats, ['int4/g64:int4/g64', 'nvfp4:nvfp4'], 'what svdquant was made for, as gptq takes any');
});

test('formats of layers are chosen once, and integers stay integers', () => {
  for (const name of ['q-palette+lq-lora', 'lq-lora+q-palette', 'mixdq+vidit-q-mp', 'hawqv3+mixdq', 'q-palette+hawqv3', 'q-palette+mixdq']) {
    assert.throws(() => findRecipe(name), (error: FewbitError) => /cannot stand with|each bring/.test(error.message) && error.wayOut !== undefined, name);
  }
  refused('hawqv3+svdquant', /low-rank|integer-only/, /leave one of them out/);
  refused('svdquant+hawqv3', /integer-only cannot stand with low-rank: branches are float products/, /leave one of them out/);
  refused('arcquant+hawqv3', /residuals of inputs are no integers/, /leave one of them out/);
  refused('q-palette+adaround', /trellises code many at once/, /leave one of them out/);
});

test('steps that cannot stand together are refused with the reason, and so is a wrong order', () => {
  refused('smooth+svdquant', /smooth-search cannot stand with smooth: both divide the same inputs/, /leave one of them out/);
  refused('svdquant+adaround', /low-rank cannot stand with reconstruct: its blocks do not see the branches/, /leave one/);
  refused('svdquant+rotate+gptq', /rotate must come before shift: lifted inputs/, /name them in that order/);
});

test('samples that are only chosen must still be given', () => {
  assert.ok(findRecipe('choose-samples+gptq').needs.includes('sample inputs'));
});

test('a budget of bits is refused where a recipe chooses formats itself', () => {
  const scheme = schemeForBits(4.25, 'onnx', 'onnx');
  assert.throws(() => recipeFor('mixdq', scheme, 'onnx', true), /recipe mixdq takes no budget of bits: it chooses the formats of layers itself/);
  assert.deepEqual(recipeFor('svdquant', scheme, 'onnx', true)!.steps.map(({ step }) => step), ['shift', 'smooth-search', 'low-rank', 'allocate', 'round']);
});

test('unknown parts are named', () => refused('rotat+gptq', /unknown recipe: rotat$/, /known recipes: rtn, .*steps to join with \+ before one of them: .*smooth/));
