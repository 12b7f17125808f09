/** Matrices as the WebGPU engine uploads them: bits of a weight, and what is read and encoded for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gpu } from '../../src/engine/webgpu/gpu.ts';
import type { NumberFormat } from '../../src/formats/format.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { normal } from '../../src/numeric/random.ts';
import { inCodes } from '../../src/runtime/text-model.ts';
import { alike, laidMatrix, uploadMatrix } from '../../src/runtime/webgpu-matrix.ts';
import { floatTensor, memoryTensor, type BlockType, type TensorRef } from '../../src/tensor-ref.ts';

const [rows, cols] = [6, 768];
const float = floatTensor('w', [rows, cols], Float32Array.from({ length: rows * cols }, (_, i) => normal(9, 0, i)));

/** Keeps what is written, as a device would. */
async function uploaded(tensor: TensorRef): Promise<{ readonly layout: string; readonly bits: number; readonly buffers: Uint8Array[] }> {
  const gpu = {
    buffer: (_: string, size: number | Uint32Array): Uint8Array => (typeof size === 'number' ? new Uint8Array(size) : new Uint8Array(size.buffer)),
    write: (to: Uint8Array, at: number, data: Uint8Array): void => to.set(data, at),
  };
  const { layout, buffers } = await uploadMatrix(gpu as unknown as Gpu, [await laidMatrix(tensor)]);
  const held = buffers as unknown as Uint8Array[];
  return { layout, buffers: held, bits: (8 * (held[0].byteLength + (held[1]?.byteLength ?? 0))) / (rows * cols) };
}

const blocks: Partial<Record<BlockType, number>> = { q2_k: 2.625, tq2_0: 2.625, q3_k: 3.625, iq4_nl: 4.5, iq4_xs: 5, mxfp4: 5, nvfp4: 5, q4_0: 4.5, q4_k: 6, q8_0: 8.5, tq1_0: 32 };
const formats: Readonly<Record<string, number>> = { 'nf4/b64': 5, 'nf3/b64': 5, 'e2m1/g32': 5, 'e2m1/g16@e4m3': 5, nvfp4: 6, 'int2/g32@f16': 3, 'int3/g64@f16': 4, 'uint3/g32': 5, 'int4/g16@f16': 5, 'int4/g24': 32, 'e2m1/g24': 32 };

test('bits that a weight takes on a device', async () => {
  const found: Record<string, number> = {};
  for (const type of Object.keys(blocks) as BlockType[]) found[type] = (await uploaded(memoryTensor('w', type, [rows, cols], encodeBlocks(type, new Float32Array(rows * cols).map((_, i) => normal(9, 0, i)), rows, cols, new Float32Array(cols).fill(1))))).bits;
  for (const name of Object.keys(formats)) found[name] = (await uploaded(inCodes(float, parseFormat(name)))).bits;
  assert.deepEqual(found, { ...blocks, ...formats });
});

test('a matrix is encoded once, whether its codes are uploaded or what they stand for', async () => {
  for (const name of ['nf4/b64', 'int4/g24', 'e2m1/g24']) {
    const format = parseFormat(name);
    let encoded = 0;
    const counted = { ...format, encode: (...given: Parameters<NumberFormat['encode']>) => { encoded++; return format.encode(...given); } };
    const tensor = inCodes(float, counted);
    const { layout, buffers: [values] } = await uploaded(tensor);
    assert.equal(encoded, 1, name);
    if (layout === 'float') assert.deepEqual(values, await tensor.read());
  }
});

test('matrices stand below each other where one table is that of all', async () => {
  const laid = async (name: string) => laidMatrix(inCodes(float, parseFormat(name)));
  const [normals, others, minifloats] = [await laid('nf4/b64'), await laid('lloydmax4/channel'), await laid('e2m1/g64')];
  assert.deepEqual([normals.layout, others.layout, minifloats.layout], ['wide-float', 'wide', 'table-float']);
  assert.ok(alike(normals, await laid('nf4/b64')));
  assert.ok(!alike(normals, { ...normals, levels: others.levels }));
  assert.ok(!alike(normals, minifloats));
});
