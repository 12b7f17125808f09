import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, type Tensor } from '../../src/engine/tensor.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import { extend } from '../../src/graph/extend.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { normal } from '../../src/numeric/random.ts';
import { hessianTraces } from '../../src/observe/hessian-trace.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { distillation } from '../../src/train/losses.ts';
import { ownTraces } from '../../src/train/own-traces.ts';

const random = (seed: number, shape: readonly number[]): Float32Array => Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => normal(seed, 0, i));

test('the traces of a softmax layer are those of the formula', async () => {
  const [rows, depth, classes] = [5, 4, 3];
  const g = new GraphBuilder('softmax', 21);
  const x = g.input('x', 'f32', ['batch', depth]);
  const w = random(1, [depth, classes]);
  g.output(g.op('Softmax', [g.op('MatMul', [x, g.weight(floatTensor('w', [depth, classes], w))])]), 'p', 'f32', ['batch', classes]);
  const data = random(2, [rows, depth]);
  // Tr = mean of ‖x‖² (1 − Σp²).
  let expected = 0;
  for (let row = 0; row < rows; row++) {
    const input = data.subarray(row * depth, (row + 1) * depth);
    const e = Array.from({ length: classes }, (_, c) => Math.exp(input.reduce((sum, value, k) => sum + value * w[k * classes + c], 0)));
    const total = e.reduce((a, b) => a + b);
    expected += (input.reduce((sum, value) => sum + value ** 2, 0) * (1 - e.reduce((sum, value) => sum + (value / total) ** 2, 0))) / rows;
  }
  const [{ trace, error }] = await ownTraces(g.graph(), ortNode, [{ x: f32([rows, depth], data) }], ['w'], { probes: 400 });
  assert.ok(error < 0.1 * expected && Math.abs(trace - expected) < 4 * error, `${trace} ± ${error} against ${expected}`);
});

test('a weight that only another output sees has no trace', async () => {
  const g = new GraphBuilder('two-ends', 21);
  const x = g.input('x', 'f32', ['batch', 4]);
  const [seen, other] = ['seen', 'other'].map((name, i) => g.op('MatMul', [x, g.weight(floatTensor(name, [4, 3], random(6 + i, [4, 3])))]));
  g.output(seen, 'logits', 'f32', ['batch', 3]);
  g.output(other, 'aside', 'f32', ['batch', 3]);
  const [first, second] = await ownTraces(g.graph(), ortNode, [{ x: f32([5, 4], random(2, [5, 4])) }], ['seen', 'other']);
  assert.ok(first.trace > 0);
  assert.deepEqual(second, { weight: 'other', trace: 0, error: 0 });
});

test('the traces of a convolutional network are those of its Hessian', async () => {
  const g = new GraphBuilder('net', 21);
  const x = g.input('x', 'f32', [4, 2, 6, 6]);
  const hidden = g.op('Relu', [g.op('Conv', [x, g.weight(floatTensor('v', [3, 2, 3, 3], random(3, [3, 2, 3, 3])))], { kernel_shape: ints([3, 3]) })]);
  const scores = g.op('Gemm', [g.op('Flatten', [g.op('GlobalAveragePool', [hidden])]), g.weight(floatTensor('w', [3, 5], random(4, [3, 5])))]);
  g.output(scores, 'scores', 'f32', [4, 5]);
  const graph = await inferTypes(g.graph());
  const feeds = { x: f32([4, 2, 6, 6], random(5, [4, 2, 6, 6])) };
  const session = await openGraph(graph, ortNode);
  const answers: Tensor = (await session.run(feeds)).scores;
  await session.dispose();
  const asked: Graph = { ...graph, inputs: [...graph.inputs, { name: 'answers', type: 'f32', shape: [4, 5] }] };
  const { graph: judged, result: loss } = extend(asked, (tape) => distillation(tape, 'scores', 'answers'));
  const exact = await hessianTraces(judged, loss, ['v', 'w'], ortNode, [{ ...feeds, answers }], { probes: 600 });
  const ours = await ownTraces(graph, ortNode, [feeds], ['v', 'w'], { probes: 600 });
  ours.forEach(({ trace, error }, i) => {
    assert.ok(Math.abs(trace - exact[i].trace) < 4 * Math.hypot(error, exact[i].error), `${trace} ± ${error} against ${exact[i].trace} ± ${exact[i].error}`);
  });
});
