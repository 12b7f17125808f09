/** Formats of inputs by window: each sample is rounded as its own window says, samples outside of all windows not at all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { quantizeInputsByWindow } from '../../src/train/window-inputs.ts';

const [tokens, width] = [3, 4];
const g = new GraphBuilder('by window', 21);
const x = g.input('x', 'f32', ['N', tokens, width]);
g.input('t', 'i64', ['N']);
const identity = Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0));
g.output(g.op('Gemm', [g.op('Reshape', [x, g.ints([-1, width])]), g.weight(floatTensor('w', [width, width], identity))]), 'y', 'f32', undefined);
const graph = g.graph();

test('samples take the format of their window', async () => {
  const data = Float32Array.from({ length: 3 * tokens * width }, (_, i) => normal(2, 0, i));
  const [{ output }] = linearSites(graph);
  const formats = [parseFormat('uint8/token'), parseFormat('uint3/token')];
  const session = await openGraph(quantizeInputsByWindow(graph, { input: 't', ranges: [[0, 9], [10, 19]] }, new Map([[output, formats]])), ortNode);
  const { y } = await session.run({ x: f32([3, tokens, width], data), t: i64([3], [10, 9, 20]) });
  await session.dispose();
  const sample = (i: number): Float32Array => data.slice(i * tokens * width, (i + 1) * tokens * width);
  const seen = (format: (typeof formats)[number], i: number): number[] => [...format.decode(format.encode(sample(i), tokens, width))];
  assert.deepEqual([...(y.data as Float32Array)], [...seen(formats[1], 0), ...seen(formats[0], 1), ...sample(2)]);
});
