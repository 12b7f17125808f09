import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonText, manifestOf, modelCard } from '../../src/report/index.ts';
import { exampleResult } from './example.ts';

test('a manifest names source, output, settings and what each tensor lost', async () => {
  const result = await exampleResult(['int8/channel', 'int4/channel']);
  const [int8, int4] = result.outputs.map((output) => JSON.parse(jsonText(manifestOf(result, output))));
  assert.equal(int8.source.files[0].sha256, result.model.files[0].sha256);
  assert.equal(int8.output.files[0].sha256, result.outputs[0].files[0].sha256);
  assert.equal(int8.tensors.length, 10);
  // Four bits less per weight cost about 24 dB.
  for (const [i, { sqnr }] of int8.tensors.entries()) assert.ok(Math.abs(sqnr - int4.tensors[i].sqnr - 24) < 4, `${sqnr} ${int4.tensors[i].sqnr}`);
});

test('JSON keeps what it has no numbers for', () => {
  assert.equal(jsonText({ a: Infinity, b: NaN, c: 5n }, 0), '{"a":"Infinity","b":"NaN","c":"5"}');
});

test('a model card has front matter, the whole table with its own row in bold, and no live markup', async () => {
  const result = await exampleResult(['int8/channel', 'int4/channel'], (name) => `${name}|<b>`);
  const card = modelCard({ ...result, model: { ...result.model, license: 'cc0-1.0' } }, result.outputs[1]);
  assert.match(card, /^---\nlicense: cc0-1\.0\nlibrary_name: onnxruntime\ntags:\n- fewbit\n/);
  assert.doesNotMatch(card.replace(/```[\s\S]*?```/g, ''), /<b>/);
  const rows = card.split('\n').filter((line) => line.includes('kws-int') && line.startsWith('|'));
  assert.equal(rows[0].split(/(?<!\\)\|/).length, rows[1].split(/(?<!\\)\|/).length);
  assert.match(rows[1], /^\| \*\*kws-int4/);
  assert.match(card, /## How to load it\n\nExecuted in the folder of the outputs when the file was made; its first line of output was: logits 1 × 12/);
  const skipped = { ...result.outputs[1], snippet: { ...result.outputs[1].snippet, executed: false, reason: 'package onnxruntime-node is not installed' } };
  assert.match(modelCard(result, skipped), /Not executed: package onnxruntime-node is not installed\./);
  assert.deepEqual(manifestOf(result, skipped).loader, skipped.snippet);
});
