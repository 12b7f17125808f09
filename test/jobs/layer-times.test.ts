import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { layerTimes } from '../../src/jobs/layer-times.ts';
import { openModern } from '../../src/jobs/source-node.ts';
import { productsOf, shapesOfOne } from '../../src/observe/layer-work.ts';

const open = () => openModern(new URL('../../assets/kws-dscnn/kws-dscnn.onnx', import.meta.url).pathname);

test('layers of the keyword spotter take the products of its shapes, whatever the batch', async () => {
  const model = await open();
  for (const batch of [1, 7]) {
    const [{ name }] = model.graph.inputs;
    const shapes = await shapesOfOne(model.graph, { [name]: f32([batch, 49, 10, 1], new Float32Array(batch * 490)) });
    const products = linearSites(model.graph).map((site) => productsOf(site, shapes(site)));
    // 25 × 5 positions: a first convolution of 10 × 4, four of 3 × 3 by channel and 1 × 1 across, 12 classes.
    assert.deepEqual(products, [64 * 40 * 125, ...Array.from({ length: 4 }, () => [64 * 9 * 125, 64 * 64 * 125]).flat(), 12 * 64]);
  }
  await model.close();
});

test('a layer is timed alone in every format, and as floats', async () => {
  const model = await open();
  const shapes = await shapesOfOne(model.graph, { [model.graph.inputs[0].name]: f32([1, 49, 10, 1], new Float32Array(490)) });
  const times = layerTimes(ortNode, 1);
  for (const site of linearSites(model.graph).slice(-2)) {
    const { float, formats } = await times.of(model.graph, site, shapes(site), ['uint4/channel', 'int8/channel', 'vq2+had'].map((name) => parseFormat(name)));
    assert.equal(formats.length, 3);
    for (const time of [float, ...formats]) assert.ok(time > 0 && time < 1000, `${time} ms`);
  }
  assert.match(times.counted, /measured alone on onnxruntime-node.*1 thread/);
  await model.close();
});
