import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FewbitError } from '../../src/errors.ts';
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

test('unknown parts are named', () => refused('rotat+gptq', /unknown recipe: rotat$/, /known recipes: rtn, .*steps to join with \+ before one of them: .*smooth/));
