import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openGguf } from '../../src/files/gguf.ts';
import type { GgufValue } from '../../src/files/gguf.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { memorySink, memorySource } from '../../src/files/source.ts';
import { copyTensor, floatTensor } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';

test('reads back what was written, and refuses every truncation of it', async () => {
  const metadata = new Map<string, GgufValue>([
    ['a', { type: 'string', value: 'é' }], ['b', { type: 'u64', value: 2n ** 60n }],
    ['c', { type: 'array', of: 'string', value: ['x', ''] }], ['d', { type: 'array', of: 'i32', value: new Int32Array([-1, 2]) }],
  ]);
  const sink = memorySink();
  await writeGguf(sink, metadata, [copyTensor(floatTensor('w', [2, 3], new Float32Array([1, 2, 3, 4, 5, 6]))), copyTensor(floatTensor('v', [1], new Float32Array([7])))]);
  const bytes = sink.bytes();
  const file = await openGguf(memorySource('x', bytes));
  assert.deepEqual(file.metadata, metadata);
  assert.deepEqual(file.tensors.get('w')!.shape, [2, 3]);
  assert.deepEqual(await readFloats(file.tensors.get('w')!, 1), new Float32Array([4, 5, 6]));
  for (let n = 0; n < bytes.byteLength - 28; n++) {
    await assert.rejects(openGguf(memorySource('x', bytes.slice(0, n))), { name: 'FewbitError' });
  }
});
