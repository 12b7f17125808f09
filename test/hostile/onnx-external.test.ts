import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { after, test } from 'node:test';
import { openFolder } from '../../src/files/fs-node.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { answers } from './answers.ts';
import { at, hostileExternal, inside, root, spans } from './onnx-external-cases.ts';

after(() => rm(root, { recursive: true }));
const open = async (bytes: Uint8Array): Promise<unknown> => openOnnx(memorySource('hostile.onnx', bytes), await openFolder(inside));

test('tensors beside each other, in one place and in a folder below are read', async () => {
  await open(spans(0, 16, 32, 48));
  await open(spans(16, 0, 16));
  await open(at('folder/deep.bin'));
  await open(at('./w.bin', ['length', '16']));
});

for (const { name, bytes, expect } of hostileExternal) answers(name, () => bytes as Uint8Array, open, expect);


test('leaves the folder as it was', async () => {
  assert.deepEqual((await readdir(inside)).sort(), ['dangling', 'endless', 'folder', 'hard', 'link', 'link-to-link', 'loop', 'pipe', 'slash', 'up', 'vast.bin', 'w.bin']);
});
