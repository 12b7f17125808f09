/** Folders of bitsandbytes: 4-bit tables with plain and with nested block scales, and rows of bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dynamicMap, nf4Table } from '../../src/formats/normal-float.ts';
import { readFloats } from '../../src/files/values.ts';
import { readBitsAndBytes } from '../../src/models/bitsandbytes.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { packMatrix, rowOf } from '../../src/runtime/packed-matrix.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';

const name = 'model.layers.0.mlp.up_proj.weight';
const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const byName = (tensors: readonly TensorRef[]): Map<string, TensorRef> => new Map(tensors.map((tensor) => [tensor.name, tensor]));
const [rows, cols] = [4, 64];
/** Code i mod 16 at place i: the first of a pair is the high nibble. */
const packed = Uint8Array.from({ length: (rows * cols) / 2 }, (_, i) => (((2 * i) % 16) << 4) | ((2 * i + 1) % 16));

function folder(blocksize: number, scales: readonly TensorRef[], more: object = {}): Map<string, TensorRef> {
  return byName([
    memoryTensor(name, 'u8', [packed.length, 1], packed), ...scales, floatTensor(`${name}.quant_map`, [16], Float32Array.from(nf4Table)),
    memoryTensor(`${name}.quant_state.bitsandbytes__nf4`, 'u8', [1], json({ quant_type: 'nf4', blocksize, dtype: 'float16', shape: [rows, cols], ...more })),
    floatTensor('model.norm.weight', [4], Float32Array.of(1, 2, 3, 4)),
  ]);
}

test('blocks of a flattened matrix: entry of the table times the largest of its block, and the codes for engines', async () => {
  const { tensors, lowBit } = readBitsAndBytes(folder(64, [floatTensor(`${name}.absmax`, [4], Float32Array.of(1, 2, 0.5, 8))]), new Map([[name, [rows, cols]]]));
  assert.deepEqual([lowBit, [...tensors.keys()]], [[name], [name, 'model.norm.weight']]);
  const expected = Float32Array.from({ length: rows * cols }, (_, i) => Math.fround(nf4Table[i % 16]) * [1, 2, 0.5, 8][i >> 6]);
  assert.deepEqual(await readFloats(tensors.get(name)!), expected);
  const arena = new Arena();
  const matrix = await packMatrix(tensors.get(name)!, arena);
  assert.equal(matrix.layout, 'packed');
  const row = new Float32Array(cols);
  rowOf(arena, matrix, 3, row);
  row.forEach((value, c) => assert.ok(Math.abs(value - expected[3 * cols + c]) <= 8 * 2 ** -12));
});

test('block scales that are bytes themselves, and blocks that cross rows, which stay float for engines', async () => {
  const map = dynamicMap();
  const scales = [memoryTensor(`${name}.absmax`, 'u8', [2], Uint8Array.of(3, 250)), floatTensor(`${name}.nested_absmax`, [1], Float32Array.of(0.25)), floatTensor(`${name}.nested_quant_map`, [256], map)];
  const { tensors } = readBitsAndBytes(folder(128, scales, { nested_blocksize: 256, nested_offset: 2.5 }), new Map([[name, [rows, cols]]]));
  const values = await readFloats(tensors.get(name)!);
  const at = (code: number): number => Math.fround(Math.fround(map[code] * 0.25) + 2.5);
  assert.equal(values[0], Math.fround(-at(3)));
  assert.equal(values[255], at(250));
  assert.equal((await packMatrix(tensors.get(name)!, new Arena())).layout, 'float');
});

test('rows of bytes whose largest is 127', async () => {
  const codes = Int8Array.from({ length: rows * cols }, (_, i) => (i % 255) - 127);
  const { tensors, lowBit } = readBitsAndBytes(byName([
    memoryTensor(name, 'i8', [rows, cols], new Uint8Array(codes.buffer)), floatTensor('model.layers.0.mlp.up_proj.SCB', [rows], Float32Array.of(127, 254, 1, 63.5)),
    memoryTensor('model.layers.0.mlp.up_proj.weight_format', 'u8', [], Uint8Array.of(0)),
  ]), new Map([[name, [rows, cols]]]));
  assert.deepEqual([lowBit, [...tensors.keys()]], [[name], [name]]);
  const values = await readFloats(tensors.get(name)!);
  assert.equal(values[0], -127);
  assert.equal(values[64], 2 * codes[64]);
  assert.equal((await packMatrix(tensors.get(name)!, new Arena())).layout, 'eight');
});
