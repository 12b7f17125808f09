import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64, type Tensor } from '../../src/engine/tensor.ts';
import { exportAtBits, exportSwitchable, storedWeights, switchableKey } from '../../src/export/onnx-switchable.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { adaptBits, type ReadingRule } from '../../src/train/adaptive-bits.ts';
import { composites } from '../../src/train/composites/index.ts';

const widths = [8, 6, 4, 2];
const values = (seed: number, count: number, of: (x: number) => number = (x) => x): Float32Array => Float32Array.from({ length: count }, (_, i) => of(normal(seed, 0, i)));
const x: Tensor = { type: 'f32', shape: [2, 3, 6, 6], data: values(1, 216, Math.abs) };

async function network(rule: ReadingRule) {
  const g = new GraphBuilder('two layers', 21);
  const input = g.input('x', 'f32', [2, 3, 6, 6]);
  const y = g.op('Conv', [input, g.weight(floatTensor('w', [4, 3, 3, 3], values(2, 108)))], { pads: ints([1, 1, 1, 1]) });
  const parts = (['gamma', 'beta', 'mean', 'variance'] as const).map((name, i) => g.weight(floatTensor(name, [4], values(3 + i, 4, i === 3 ? (v) => 1 + Math.abs(v) : undefined))));
  const z = g.op('Flatten', [g.op('Relu', [g.op('BatchNormalization', [y, ...parts])])]);
  g.output(g.op('Gemm', [z, g.weight(floatTensor('v', [144, 5], values(9, 720)))], { transB: int(0) }), 'y', 'f32', [2, 5]);
  const made = await adaptBits(await inferTypes(g.graph()), { widths, rule, isChosen: () => true, meanOf: () => 0.8 });
  return { ...made, widths };
}

async function run(graph: Graph, bits?: readonly number[]): Promise<number[]> {
  const session = await openGraph(graph, ortNode);
  try {
    return [...(await session.run({ x, ...(bits === undefined ? {} : { bits: i64([bits.length], bits) }) })).y.data as Float32Array];
  } finally {
    await session.dispose();
  }
}

for (const rule of ['round', 'floor'] as const) {
  test(`stored integers give what training gives at every choice of widths, to the bit: ${rule}`, async () => {
    const made = await network(rule);
    const switchable = await openOnnx(memorySource('switchable.onnx', await onnxBytes(await exportSwitchable(made))));
    const seen = new Set<string>();
    for (const bits of [[8, 8], [6, 6], [4, 4], [2, 2], [8, 2], [4, 6]]) {
      const trained = await run(lower(made.graph, composites), bits);
      assert.deepEqual(await run(switchable, bits), trained);
      assert.deepEqual(await run(await exportAtBits(made, bits, rule)), trained);
      seen.add(String(trained));
    }
    assert.equal(seen.size, 6);
  });
}

test('a switchable file stores one byte per weight and says how it is read', async () => {
  const made = await network('round');
  const { weights, metadata } = await exportSwitchable(made);
  const integers = [...weights.values()].filter(({ type }) => type === 'i8');
  assert.deepEqual(integers.map(({ byteLength }) => byteLength), [108, 720]);
  assert.deepEqual(JSON.parse(metadata.get(switchableKey)!).layers, ['w', 'v']);
  assert.deepEqual(JSON.parse(metadata.get(switchableKey)!).widths, widths);
});

test('a scale is the larger of |mean ± 3 deviations| over 128, and codes are the weights over it', async () => {
  const { codes, scales } = (await storedWeights(await network('round'))).get('w')!;
  const row = values(2, 108).subarray(0, 27);
  const mean = row.reduce((sum, v) => sum + v, 0) / 27;
  const deviation = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 27);
  assert.ok(Math.abs(scales[0] - (Math.abs(mean) + 3 * deviation) / 128) < 1e-6);
  assert.equal(codes[0], Math.max(-128, Math.min(127, Math.round(row[0] / scales[0]))));
});
