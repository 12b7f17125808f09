/** The journal of the private file system, over a file system of this test that keeps bytes in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { opfsStore } from '../../src/jobs/opfs-store.ts';

const missing = (): never => { throw new DOMException('none', 'NotFoundError'); };

class MemoryFolder {
  readonly files = new Map<string, Uint8Array>();
  readonly folders = new Map<string, MemoryFolder>();
  readonly open = new Set<string>();

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<MemoryFolder> {
    if (!this.folders.has(name) && create) this.folders.set(name, new MemoryFolder());
    return this.folders.get(name) ?? missing();
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<object> {
    if (!this.files.has(name)) { if (create) this.files.set(name, new Uint8Array()); else missing(); }
    const { files, open } = this;
    return {
      getFile: async () => new Blob([files.get(name)! as Uint8Array<ArrayBuffer>]),
      async createSyncAccessHandle() {
        if (open.has(name)) throw new DOMException('open elsewhere', 'NoModificationAllowedError');
        open.add(name);
        return {
          getSize: () => files.get(name)!.byteLength,
          read(into: Uint8Array, { at }: { at: number }) { const part = files.get(name)!.subarray(at, at + into.byteLength); into.set(part); return part.byteLength; },
          // As little at once as is allowed: callers must go on.
          write(bytes: Uint8Array, { at }: { at: number }) {
            const part = bytes.subarray(0, Math.min(3, bytes.byteLength));
            const whole = new Uint8Array(Math.max(files.get(name)!.byteLength, at + part.byteLength));
            whole.set(files.get(name)!);
            whole.set(part, at);
            files.set(name, whole);
            return part.byteLength;
          },
          truncate(size: number) { const whole = new Uint8Array(size); whole.set(files.get(name)!.subarray(0, size)); files.set(name, whole); },
          flush() {},
          close() { open.delete(name); },
        };
      },
    };
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.files.delete(name) && !this.folders.delete(name)) missing();
  }
}

const storeOf = (folder: MemoryFolder) => opfsStore(folder as unknown as FileSystemDirectoryHandle);
const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const shown = (folder: MemoryFolder, name: string): string => new TextDecoder().decode(folder.files.get(name));

/** Writes a header and units as writers do; gives the units that had to be made. Stops before unit `until`, as a worker that is ended. */
async function run(folder: MemoryFolder, until = Infinity): Promise<string[]> {
  const sink = await storeOf(folder).open('model.bin');
  const made: string[] = [];
  await sink.write(text('head '));
  for (const [i, unit] of ['one1 ', 'two22 ', 'three '].entries()) {
    if (i === until) { folder.open.clear(); return made; }
    if (sink.resume!(unit.length)) continue;
    made.push(unit);
    await sink.write(text(unit));
  }
  await sink.commit();
  return made;
}

test('a run that was cut goes on after its last whole unit', async () => {
  const folder = new MemoryFolder();
  assert.deepEqual(await run(folder, 2), ['one1 ', 'two22 ']);
  assert.equal(shown(folder, 'model.bin.journal'), '10\n16\n');
  folder.files.set('model.bin', text('head one1 two22 thr'));
  assert.deepEqual(await run(folder), ['three ']);
  assert.equal(shown(folder, 'model.bin'), 'head one1 two22 three ');
});

for (const [what, journal, again] of [
  ['its last line is cut', '10\n1', ['two22 ', 'three ']],
  ['a line is no number', '10\nx\n16\n', ['two22 ', 'three ']],
  ['lines go backwards', '16\n10\n', ['three ']],
  ['it tells more than the file holds', '10\n999\n', ['two22 ', 'three ']],
  ['it is empty', '', ['one1 ', 'two22 ', 'three ']],
] as const) {
  test(`a journal is believed as far as it makes sense: ${what}`, async () => {
    const folder = new MemoryFolder();
    await run(folder, 2);
    folder.files.set('model.bin.journal', text(journal));
    assert.deepEqual(await run(folder), again);
    assert.equal(shown(folder, 'model.bin'), 'head one1 two22 three ');
  });
}

test('what was finished is told to the next run, and a record that was cut is not', async () => {
  const folder = new MemoryFolder();
  const store = storeOf(folder);
  await run(folder);
  const written = { files: ['model.bin'], tensors: [], histograms: [], notes: ['all well'] };
  await store.record('model.bin', written);
  assert.deepEqual(await storeOf(folder).finished('model.bin'), written);
  assert.ok(!folder.files.has('model.bin.journal'));
  assert.equal(await (await store.read('model.bin')).text(), 'head one1 two22 three ');
  folder.files.set('model.bin.finished', text('{"files":["mod'));
  assert.equal(await storeOf(folder).finished('model.bin'), undefined);
});

test('an output that is given up leaves nothing, in folders too', async () => {
  const folder = new MemoryFolder();
  const store = storeOf(folder);
  const sink = await store.open('a/b/model.bin');
  await sink.write(text('some'));
  await sink.abort();
  await sink.abort();
  assert.equal((await (await folder.getDirectoryHandle('a')).getDirectoryHandle('b')).files.size, 0);
  await store.share('a/config.json', (present) => text(`${present?.byteLength ?? 'none'}`));
  await store.share('a/config.json', (present) => text(`${present?.byteLength ?? 'none'} bytes before`));
  assert.equal(await (await store.read('a/config.json')).text(), '4 bytes before');
});

test('a file that another worker still holds is waited for', async () => {
  const folder = new MemoryFolder();
  folder.open.add('model.bin');
  setTimeout(() => folder.open.delete('model.bin'), 120);
  const sink = await storeOf(folder).open('model.bin');
  await sink.write(text('late'));
  await sink.commit();
  assert.equal(shown(folder, 'model.bin'), 'late');
});
