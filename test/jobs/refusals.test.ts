/** What cannot be made is refused with the plan, before data are run or files written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FewbitError } from '../../src/errors.ts';
import { planQuantize } from '../../src/jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const root = new URL('../../', import.meta.url).pathname;
const text = `${root}assets/shakespeare/heldout.txt`;
const planned = (model: string, settings: Partial<QuantizeRequest>) =>
  planQuantize({ model: `${root}assets/${model}`, to: 'onnx', output: 'never-written', data: text, calibrationSamples: 2, evaluationSamples: 1, ...settings });

const refused = (model: string, settings: Partial<QuantizeRequest>, line: RegExp, wayOut: RegExp) =>
  assert.rejects(planned(model, settings), (error: FewbitError) => line.test(error.message) && wayOut.test(error.wayOut ?? ''));

test('recipes for state-space models need one, and those for heads need Mamba-2', async () => {
  await assert.rejects(planned('host-llama-shakespeare', { recipe: 'quamba2' }), /has no Mamba blocks/);
  await assert.rejects(planned('host-llama-shakespeare', { recipe: 'rotate-scan+gptq', weights: 'int4/g64' }), /has no Mamba blocks/);
  await assert.rejects(planned('mamba1-bytes', { recipe: 'quamba2' }), /needs the heads of Mamba-2, and mamba1-bytes is a Mamba-1/);
  assert.equal((await planned('mamba1-bytes', { recipe: 'mambaquant' })).outputs.length, 1);
});

test('recipes that choose formats themselves take no budget of bits, and say what they take', async () => {
  await refused('host-llama-shakespeare', { recipe: 'q-palette', bits: '2.25' }, /recipe q-palette takes no budget of bits: it chooses the formats of layers itself/, /such as q-palette:tcq2.5\+had/);
  await assert.rejects(planned('host-llama-shakespeare', { recipe: 'quantvggt', bits: '3.5' }), /recipe quantvggt takes no budget of bits: it learns one format for all layers/);
});

test('recipes that train are sent to finetune', async () => {
  await refused('host-llama-shakespeare', { recipe: 'lsq' }, /lsq trains a network, which quantize does not/, /fewbit finetune MODEL --recipe lsq/);
});
