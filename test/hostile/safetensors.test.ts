import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSafetensors } from '../../src/files/safetensors.ts';
import { memorySource } from '../../src/files/source.ts';
import { answers, crafted } from './answers.ts';
import { file, hostileSafetensors, one } from './safetensors-cases.ts';

test('the hand-written bytes are a file when nothing is wrong with them', async () => {
  const { tensors } = await openSafetensors(memorySource('fine.safetensors', file(one(), 1)));
  assert.deepEqual(tensors.get('a')!.shape, [1]);
});

for (const { name, bytes, expect } of hostileSafetensors) answers(name, () => crafted('hostile.safetensors', bytes), openSafetensors, expect);
