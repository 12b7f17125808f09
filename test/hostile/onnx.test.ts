import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource, type Folder } from '../../src/files/source.ts';
import { answers } from './answers.ts';
import { hostileOnnx } from './onnx-cases.ts';
import { graph, model, relu } from './onnx-bytes.ts';

const folderOf = (files: Readonly<Record<string, Uint8Array>>): Folder => ({
  name: 'folder',
  list: async () => Object.keys(files),
  has: async (file) => Object.hasOwn(files, file),
  open: async (file) => memorySource(file, files[file]),
});

test('the hand-written bytes are a model when nothing is wrong with them', async () => {
  const opened = await openOnnx(memorySource('fine.onnx', model(graph(relu()))));
  assert.equal(opened.nodes.length, 1);
  assert.deepEqual(opened.inputs, [{ name: 'x', type: 'f32', shape: [1] }]);
});

for (const { name, bytes, folder, expect } of hostileOnnx) {
  answers(name, () => memorySource('hostile.onnx', bytes), (source) => openOnnx(source, folder && folderOf(folder)), expect);
}
