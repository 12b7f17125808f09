import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const [inputs, outputs] = [112, 40];

function network() {
  const g = new GraphBuilder('one', 21);
  const x = g.input('x', 'f32', ['n', inputs]);
  const w = g.weight(floatTensor('w', [inputs, outputs], Float32Array.from({ length: inputs * outputs }, (_, i) => normal(2, 0, i) * (1 + (i % 5)))));
  g.output(g.op('MatMul', [x, w]), 'y', 'f32', ['n', outputs]);
  return g.graph();
}

test('ONNX Runtime computes with the weights that trellis, vector and rotated formats decode to', async () => {
  const graph = network();
  const [site] = linearSites(graph);
  const identity = new ort.Tensor('float32', Float32Array.from({ length: inputs * inputs }, (_, i) => Number(i % (inputs + 1) === 0)), [inputs, inputs]);
  for (const name of ['tcq2', 'tcq2.75', 'tcq4.25', 'tcq3@3inst', 'tcq2.5/l10', 'tcq2/l16', 'tcq3.25+had', 'vq2', 'vq2.5+had', 'lloydmax3/channel', 'lloydmax3/channel+had']) {
    const format = parseFormat(name);
    const matrix = quantizedLazily(site, format, { name: site.id });
    const decoded = format.decode(await matrix.read(0, site.rows));
    const { graph: exported, notes } = await exportWeightOnly(graph, new Map([[site.id, matrix]]));
    const session = await ort.InferenceSession.create(await onnxBytes(exported), { logSeverityLevel: 4 });
    const y = (await session.run({ x: identity })).y.data as Float32Array;
    const tolerance = name.endsWith('+had') ? 2e-5 : 0;
    for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) {
      assert.ok(Math.abs(y[i * outputs + o] - decoded[o * inputs + i]) <= tolerance, `${name} at ${o}, ${i}: ${y[i * outputs + o]} is not ${decoded[o * inputs + i]}`);
    }
    assert.match(notes.map(({ text }) => text).join(), /unpacked to float when the model is loaded/);
    await session.release();
  }
});
