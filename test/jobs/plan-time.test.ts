import assert from 'node:assert/strict';
import { test } from 'node:test';
import { secondsOf } from '../../src/jobs/plan-time.ts';
import { schemeForBits, schemeForFormat, type Target } from '../../src/jobs/schemes.ts';
import type { QuantizeSettings } from '../../src/jobs/settings.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { findRecipe } from '../../src/recipes/registry.ts';

const estimate = (target: Target, weights: string, recipe: string, threads = 1): number =>
  secondsOf(
    { parameters: 10e9 } as SourceModel,
    [{ target, scheme: schemeForFormat(weights, undefined, target, 'lm'), recipe: findRecipe(recipe), file: 'file' }],
    { threads, verdict: false } as QuantizeSettings,
  ).high;

test('a plan expects more time of costlier recipes', () => {
  const seconds = ['rtn', 'scale-search', 'importance', 'gptq', 'awq', 'hqq'].map((recipe) => estimate('onnx', recipe === 'hqq' ? 'uint4/g64' : 'int4/g32', recipe));
  assert.deepEqual(seconds, seconds.toSorted((a, b) => a - b));
});

test('a plan expects less time of block types where threads share them, and more under importance', () => {
  const one = estimate('gguf', 'q4_k', 'scale-search');
  assert.ok(Math.abs(estimate('gguf', 'q4_k', 'scale-search', 2) / one - 0.5) < 0.02);
  assert.ok(estimate('gguf', 'q4_k', 'importance') > one);
  assert.ok(estimate('gguf', 'q8_0', 'rtn') < one);
});

test('a plan expects more time where trellises are tried', () => {
  const search = (candidates: readonly string[]): number => secondsOf(
    { parameters: 4e6, graph: { nodes: [], weights: new Map(), inputs: [], outputs: [], values: new Map(), opset: new Map() } as Pick<SourceModel['graph'], 'nodes'> } as SourceModel,
    [{ target: 'onnx', scheme: schemeForBits(2.5, 'onnx', 'lm', candidates), recipe: findRecipe('gptq'), file: 'file' }], { threads: 1, verdict: false, data: 'text' } as QuantizeSettings,
  ).high;
  assert.ok(search(['plain', 'trellis']) > 5 * search(['plain']));
});
