/**
 * The first token split off, on a planted outlier: a unit test of the mechanism, no evidence that a network gains by it. No
 * host of the reproductions has cross-attention to a constant first token.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { observeRanges } from '../../src/observe/ranges.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { roundInputs } from '../../src/train/static-inputs.ts';
import { precomputeFirstToken } from '../../src/transform/first-token.ts';

const [samples, tokens, channels, rows] = [3, 8, 32, 16];
const token = Float32Array.from({ length: channels }, (_, c) => 50 * normal(1, 0, c));
const x = f32([samples, tokens, channels], Float32Array.from({ length: samples * tokens * channels }, (_, i) =>
  (Math.floor(i / channels) % tokens === 0 ? token[i % channels] : normal(1, 1, i))));

const g = new GraphBuilder('keys', 21);
const text = g.input('text', 'f32', ['N', 'T', channels]);
const product = g.op('MatMul', [text, g.weight(floatTensor('to_k', [channels, rows], Float32Array.from({ length: channels * rows }, (_, i) => normal(1, 2, i))))]);
g.output(g.op('Add', [product, g.weight(floatTensor('bias', [rows], Float32Array.from({ length: rows }, (_, i) => i / 4)))]), 'k', 'f32', ['N', 'T', rows]);
const graph = g.graph();

async function keys(found: Graph): Promise<Float32Array> {
  const session = await openGraph(found, ortNode);
  const { k } = await session.run({ text: x });
  await session.dispose();
  assert.deepEqual(k.shape, [samples, tokens, rows]);
  return k.data as Float32Array;
}
const rounded = async (found: Graph): Promise<Graph> => {
  const [{ input }] = linearSites(found);
  return roundInputs(found, await observeRanges(found, ortNode, [{ text: x }], [input]));
};
/** Squared error over all tokens but the first, or of it alone. */
const errorOf = (float: Float32Array, found: Float32Array, first: boolean): number =>
  found.reduce((sum, value, i) => sum + (((Math.floor(i / rows) % tokens) === 0) === first ? (value - float[i]) ** 2 : 0), 0);

test('the function stays, and the stored row does not depend on how inputs are rounded', async () => {
  const float = await keys(graph);
  const { graph: split, kept } = await precomputeFirstToken(graph, linearSites(graph)[0], token);
  const apart = await keys(split);
  apart.forEach((value, i) => assert.ok(Math.abs(value - float[i]) <= 1e-4 * Math.max(1, Math.abs(float[i]))));
  const low = await keys(await rounded(split));
  assert.equal(errorOf(apart, low, true), 0);
  assert.deepEqual([...kept], ['to_k_first']);
});

test('the range of a tensor no longer follows the first token', async () => {
  const float = await keys(graph);
  const { graph: split } = await precomputeFirstToken(graph, linearSites(graph)[0], token);
  const [together, apart] = [errorOf(float, await keys(await rounded(graph)), false), errorOf(float, await keys(await rounded(split)), false)];
  // The range shrinks about 30 times here, the squared error with its square.
  assert.ok(apart < together / 100, `${apart} against ${together}`);
});

test('layers of other kinds and tokens of other widths are refused', async () => {
  await assert.rejects(precomputeFirstToken(graph, linearSites(graph)[0], token.subarray(1)), /31 channels, the layer reads 32/);
});
