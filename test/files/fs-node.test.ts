import assert from 'node:assert/strict';
import { link, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileSink, openFile, openFolder, writeFileAtomic } from '../../src/files/fs-node.ts';

const root = await mkdtemp(join(tmpdir(), 'fewbit-fs-'));
after(() => rm(root, { recursive: true }));

test('reads the bytes asked for and refuses those outside the file', async () => {
  await writeFile(join(root, 'a'), new Uint8Array([1, 2, 3, 4]));
  const file = await openFile(join(root, 'a'));
  assert.deepEqual(await file.read(1, 3), new Uint8Array([2, 3]));
  await assert.rejects(file.read(2, 5), { code: 'fs.range' });
  await file.close();
  await assert.rejects(openFile(root), { code: 'fs.directory' });
  await assert.rejects(openFile(join(root, 'none')), { code: 'fs.notFound' });
});

test('shows nothing before commit and leaves nothing after abort', async () => {
  const folder = join(root, 'out');
  const sink = await fileSink(join(folder, 'x'));
  await sink.write(new Uint8Array([7]));
  assert.ok(!(await readdir(folder)).includes('x'));
  await sink.commit();
  await sink.abort();
  assert.deepEqual(await readdir(folder), ['x']);
  const dropped = await fileSink(join(folder, 'x'));
  await dropped.write(new Uint8Array([9]));
  await dropped.abort();
  assert.deepEqual(await readdir(folder), ['x']);
  assert.equal((await readFile(join(folder, 'x')))[0], 7);
  await writeFileAtomic(join(folder, 'x'), 'é');
  assert.equal(await readFile(join(folder, 'x'), 'utf8'), 'é');
});

test('refuses every name and link that leaves the folder', async () => {
  await mkdir(join(root, 'in/sub'), { recursive: true });
  await writeFile(join(root, 'secret'), 's');
  await writeFile(join(root, 'in/sub/f'), 'f');
  await symlink('../secret', join(root, 'in/link'));
  const folder = await openFolder(join(root, 'in'));
  assert.deepEqual(await folder.list(), ['sub/f']);
  assert.equal(await folder.has('sub/f'), true);
  assert.equal(await folder.has('absent'), false);
  for (const name of ['../secret', '/etc/passwd', 'sub/../../secret', 'sub\\f', 'link', '', 'a\0b', 'C:/x']) {
    await assert.rejects(folder.open(name), { code: 'fs.outside' }, name);
  }
});

test('refuses hard links where the name came from a file', async () => {
  await mkdir(join(root, 'hard'));
  await link(join(root, 'secret'), join(root, 'hard/data'));
  const folder = await openFolder(join(root, 'hard'));
  await (await folder.open('data')).close();
  await assert.rejects(folder.open('data', { alone: true }), { code: 'fs.linked' });
});

test('follows the links of a snapshot to the files of its model, and no others', async () => {
  const cache = join(root, 'hub/models--owner--name');
  await mkdir(join(cache, 'snapshots/abc/onnx'), { recursive: true });
  await mkdir(join(cache, 'blobs'));
  await writeFile(join(cache, 'blobs/1'), 'x');
  await symlink('../../blobs/1', join(cache, 'snapshots/abc/config.json'));
  await symlink('../../../blobs/1', join(cache, 'snapshots/abc/onnx/model.onnx'));
  await symlink('../../../../secret', join(cache, 'snapshots/abc/secret'));
  const folder = await openFolder(join(cache, 'snapshots/abc'));
  assert.deepEqual(await folder.list(), ['config.json', 'onnx/model.onnx']);
  assert.equal((await folder.open('config.json', { alone: true })).size, 1);
  assert.equal((await (await openFolder(join(cache, 'snapshots/abc/onnx'))).open('model.onnx')).size, 1);
  await assert.rejects(folder.open('secret'), { code: 'fs.outside' });
});
