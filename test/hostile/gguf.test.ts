import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openGguf } from '../../src/files/gguf.ts';
import { memorySource } from '../../src/files/source.ts';
import { answers, crafted } from './answers.ts';
import { file, info, key, types, u32 } from './gguf-bytes.ts';
import { hostileGguf } from './gguf-cases.ts';

test('the hand-written bytes are a file when nothing is wrong with them', async () => {
  const { tensors, metadata } = await openGguf(memorySource('fine.gguf', file({ keys: [key('k', types.u32, u32(7))], tensors: [info()], data: 32 })));
  assert.deepEqual(metadata.get('k'), { type: 'u32', value: 7 });
  assert.equal((await tensors.get('w')!.read()).byteLength, 32);
});

for (const { name, bytes, expect } of hostileGguf) answers(name, () => crafted('hostile.gguf', bytes), openGguf, expect);
