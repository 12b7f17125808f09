import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FewbitError } from '../../src/errors.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource, type Folder } from '../../src/files/source.ts';
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

for (const hostile of hostileOnnx) {
  test(`answers in one line to ${hostile.name}`, { timeout: 4000 }, async () => {
    const start = performance.now();
    await assert.rejects(openOnnx(memorySource('hostile.onnx', hostile.bytes), hostile.folder && folderOf(hostile.folder)), (error) => {
      assert.ok(error instanceof FewbitError, `a bare ${String(error)}`);
      assert.match(error.message, hostile.expect);
      assert.doesNotMatch(error.message, /\n/);
      assert.ok(error.message.length < 400, 'the line is short');
      return true;
    });
    assert.ok(performance.now() - start < 2000, 'within 2 s');
  });
}
