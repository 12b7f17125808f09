import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blobSource, memorySource } from '../../src/files/source.ts';

test('what is read from memory is a copy, of Buffers and of bytes within larger ones too', async () => {
  const whole = Buffer.from([9, 8, 1, 2, 3, 4]);
  for (const source of [memorySource('buffer', whole.subarray(2)), memorySource('bytes', new Uint8Array(whole.buffer, whole.byteOffset + 2, 4)), blobSource('blob', new Blob([whole.subarray(2)]))]) {
    const read = await source.read(1, 3);
    assert.deepEqual([read.constructor, read.byteOffset, read.buffer.byteLength, ...read], [Uint8Array, 0, 2, 2, 3]);
    read[0] = 7;
    assert.deepEqual([...await source.read(1, 3)], [2, 3]);
    await assert.rejects(source.read(3, 5), /3/);
  }
});
