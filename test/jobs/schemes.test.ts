import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recipeFor } from '../../src/jobs/outputs.ts';
import { requestedSchemes, schemeForBits, schemeForFormat } from '../../src/jobs/schemes.ts';

test('bits mean what the design says for each target', () => {
  const gguf = [8, 4, 3, 2].map((bits) => schemeForBits(bits, 'gguf', 'lm').weights);
  assert.deepEqual(gguf, ['q8_0', 'q4_k', 'q3_k', 'q2_k']);
  assert.deepEqual(schemeForBits(8, 'onnx', 'onnx'), { label: 'int8', weights: 'int8/channel', activations: 'static', compute: 'f32' });
  assert.equal(schemeForBits(4, 'onnx', 'lm').weights, 'int4/g32');
  assert.throws(() => schemeForBits(7, 'gguf', 'lm'), /gguf has no default for 7 bits/);
  for (const [bits, candidates] of [[2.5, undefined], [4, ['plain']]] as const) assert.throws(() => schemeForBits(bits, 'safetensors', 'lm', candidates), /no budget chooses a format per layer for safetensors folders/);
});

test('names of the ecosystem are whole schemes', () => {
  assert.deepEqual(schemeForFormat('q4f16', undefined, 'transformers.js', 'lm'), { label: 'q4f16', weights: 'int4/g32', activations: 'float', compute: 'f16' });
  assert.throws(() => schemeForFormat('q4_k', undefined, 'onnx', 'lm'), /onnx files cannot hold q4_k weights/);
  assert.throws(() => schemeForFormat('int4/g32', undefined, 'gguf', 'lm'), /gguf files cannot hold/);
});

test('with several targets each format goes where it fits', () => {
  const found = requestedSchemes({ to: ['gguf', 'transformers.js'], weights: ['q4_k', 'q4'] }, 'lm').map(({ target, scheme }) => `${target} ${scheme.label}`);
  assert.deepEqual(found, ['gguf q4_k', 'transformers.js q4']);
});

test('the recipe follows from what the data allows', () => {
  const int4 = schemeForBits(4, 'onnx', 'lm');
  assert.equal(recipeFor(undefined, int4, 'onnx', true)?.name, 'gptq');
  assert.equal(recipeFor(undefined, int4, 'onnx', false)?.name, 'scale-search');
  assert.equal(recipeFor(undefined, schemeForBits(4, 'gguf', 'lm'), 'gguf', true)?.name, 'importance');
  assert.equal(recipeFor(undefined, schemeForBits(16, 'gguf', 'lm'), 'gguf', true), undefined);
  assert.throws(() => recipeFor('gptq', int4, 'onnx', false), /recipe gptq needs sample inputs/);
  assert.throws(() => recipeFor('gptq', schemeForBits(4, 'gguf', 'lm'), 'gguf', true), /cannot be written as gguf/);
});
