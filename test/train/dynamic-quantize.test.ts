/** Values rounded by standard operators in ONNX Runtime are, bit for bit, what the formats' own encoders make of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { extend } from '../../src/graph/extend.ts';
import { normal } from '../../src/numeric/random.ts';
import { refuseInput } from '../../src/export/onnx-activations.ts';
import { appendDynamicQuantize } from '../../src/train/composites/dynamic-quantize.ts';
import { composites } from '../../src/train/composites/index.ts';

const [rows, cols] = [12, 80];

/** Normal values of many sizes, rows of zeros, of one sign, ties, and powers of two with their neighbours. */
function hardValues(): Float32Array {
  const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(7, 0, i));
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) values[r * cols + c] *= 10 ** (r - 6);
  values.fill(0, 0, cols);
  for (let c = 0; c < cols; c++) {
    values[cols + c] = Math.abs(values[cols + c]);
    values[2 * cols + c] = c % 2 === 0 ? 2 ** (c / 8 - 4) : 0.75 * 2 ** (c / 8 - 4);
    values[3 * cols + c] = Math.fround((c % 15 - 7) / 2);
    values[4 * cols + c] = 2 ** (c % 16 - 8) * (1 + ((c % 3) - 1) * 2 ** -23);
  }
  return values;
}

const spellings = [
  'int8/token', 'int8/tensor', 'int4/g16', 'int4/g64', 'int4/g64@f16', 'int4-full/token', 'uint8/token', 'uint4/g16', 'uint4/tensor', 'int2/token',
  'e4m3/token', 'e2m1/token', 'e2m3/g16', 'e3m4/token', 'e3m0/tensor', 'e5m2/token', 'mxfp4', 'mxfp6_e3m2', 'mxfp8_e4m3', 'mxint8', 'nvfp4', 'e2m1/b16@ue5m3',
];

for (const spelling of spellings) {
  test(`${spelling} measured on a value`, async () => {
    const format = parseFormat(spelling);
    refuseInput(format);
    const values = hardValues();
    const g = new GraphBuilder('value');
    const x = g.input('x', 'f32', ['n', 2, cols]);
    const { graph, result } = extend(g.graph(), (tape) => appendDynamicQuantize(tape, x, format.name, cols));
    const lowered = lower({ ...graph, outputs: [{ name: result, type: 'f32', shape: undefined }] }, composites);
    const session = await ortNode.open({ bytes: await onnxBytes(lowered) });
    const found = (await session.run({ x: { type: 'f32', shape: [rows / 2, 2, cols], data: values } }))[result].data as Float32Array;
    await session.dispose();
    const expected = format.decode(format.encode(values, rows, cols));
    const wrong = [...expected.keys()].filter((i) => found[i] !== expected[i] && !(found[i] === 0 && expected[i] === 0));
    assert.deepEqual(wrong.slice(0, 4).map((i) => [i, values[i], found[i], expected[i]]), []);
  });
}

test('formats whose scales no operator measures are refused with the reason', () => {
  for (const [spelling, why] of [['nf4/b64', /cross rows/], ['kmeans4/tensor', /searched or looked up/], ['q4_k', /no scales/], ['int8/token@bf16', /bfloat16/], ['nvfp4-4over6', /searched/]] as const) {
    assert.throws(() => refuseInput(parseFormat(spelling, spelling === 'q4_k' ? 'ggml' : undefined)), why);
  }
});
