import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryTensor, type ElementType } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';

/** 1, −2, 0.5, infinity; little-endian, as IEEE 754 and bfloat16 write them. */
const patterns: readonly (readonly [ElementType, readonly number[]])[] = [
  ['f32', [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f, 0, 0, 0x80, 0x7f]],
  ['f16', [0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0x7c]],
  ['bf16', [0x80, 0x3f, 0, 0xc0, 0, 0x3f, 0x80, 0x7f]],
  ['f64', [0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f]],
];

test('floats are read from bytes that begin anywhere, as a copy', async () => {
  for (const [type, bytes] of patterns) {
    for (const offset of [0, 1, 2, 3]) {
      const memory = new Uint8Array(offset + bytes.length);
      memory.set(bytes, offset);
      const stored = memoryTensor('w', type, [2, 2], memory.subarray(offset));
      const values = await readFloats(stored);
      assert.deepEqual(values, Float32Array.of(1, -2, 0.5, Infinity), `${type} at ${offset}`);
      values.fill(9);
      assert.deepEqual(await readFloats(stored, 1), Float32Array.of(0.5, Infinity), `${type} at ${offset}`);
    }
  }
});
