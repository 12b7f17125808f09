import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FewbitError } from '../../src/errors.ts';
import { forgetJournal, journaledSink } from '../../src/jobs/journal-node.ts';

const options = { fingerprint: 'a', resume: false, overwrite: false };
const units = [[1, 2, 3], [4, 5], [6, 7, 8, 9]].map((unit) => Uint8Array.from(unit));
const whole = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

/** Writes a header byte and the units, stopping before unit `stop`; counts the units that had to be made. */
async function writeUnits(sink: Awaited<ReturnType<typeof journaledSink>>, stop = units.length): Promise<number> {
  let made = 0;
  await sink.write(Uint8Array.of(0));
  for (const unit of units.slice(0, stop)) {
    if (sink.resume?.(unit.byteLength)) continue;
    made++;
    await sink.write(unit.subarray(0, 1));
    await sink.write(unit.subarray(1));
  }
  return made;
}

const folder = () => mkdtemp(join(tmpdir(), 'fewbit-journal-'));

test('shows nothing under the final name before commit; the journal stays until it is forgotten', async () => {
  const dir = await folder();
  const sink = await journaledSink(join(dir, 'm.gguf'), options);
  await writeUnits(sink);
  assert.deepEqual((await readdir(dir)).sort(), ['m.gguf.journal', 'm.gguf.partial']);
  await sink.commit();
  assert.deepEqual((await readdir(dir)).sort(), ['m.gguf', 'm.gguf.journal']);
  await forgetJournal(join(dir, 'm.gguf'));
  assert.deepEqual(await readdir(dir), ['m.gguf']);
  assert.deepEqual(new Uint8Array(await readFile(join(dir, 'm.gguf'))), whole);
});

test('goes on after the last whole unit and gives the same bytes', async () => {
  const dir = await folder();
  const path = join(dir, 'm.gguf');
  const interrupted = await journaledSink(path, options);
  await writeUnits(interrupted, 2);
  await interrupted.write(Uint8Array.of(99)); // half a unit that the interruption left behind
  const resumed = await journaledSink(path, { ...options, resume: true });
  assert.equal(await writeUnits(resumed), 1);
  await resumed.commit();
  assert.deepEqual(new Uint8Array(await readFile(path)), whole);
});

test('keeps the units before a journal line that was cut short', async () => {
  const dir = await folder();
  const path = join(dir, 'm.gguf');
  await writeUnits(await journaledSink(path, options), 2);
  const journal = await readFile(`${path}.journal`, 'utf8');
  await writeFile(`${path}.journal`, journal.slice(0, -4));
  await writeUnits(await journaledSink(path, { ...options, resume: true }), 2);
  const resumed = await journaledSink(path, { ...options, resume: true });
  assert.equal(await writeUnits(resumed), 1);
  await resumed.commit();
  assert.deepEqual(new Uint8Array(await readFile(path)), whole);
});

const refusals: [string, (path: string) => Promise<unknown>, string][] = [
  ['another run\'s partial file', async (path) => journaledSink(path, { ...options, fingerprint: 'b', resume: true }), 'resume.otherRun'],
  ['a damaged journal', async (path) => { await writeFile(`${path}.journal`, '{"fingerprint":"a"}\nnonsense\n'); return journaledSink(path, { ...options, resume: true }); }, 'resume.damaged'],
  ['a partial file shorter than its journal', async (path) => { await writeFile(`${path}.partial`, 'x'); return journaledSink(path, { ...options, resume: true }); }, 'resume.shorter'],
  ['a finished file of the same name', async (path) => { await writeFile(path, 'x'); return journaledSink(path, options); }, 'resume.exists'],
];
for (const [what, act, code] of refusals) {
  test(`refuses ${what}`, async () => {
    const path = join(await folder(), 'm.gguf');
    await writeUnits(await journaledSink(path, options), 2);
    await assert.rejects(act(path), (error) => error instanceof FewbitError && error.code === code);
  });
}

test('takes back a file that was renamed before the run died', async () => {
  const path = join(await folder(), 'm.gguf');
  const first = await journaledSink(path, options);
  await writeUnits(first);
  await first.commit();
  const resumed = await journaledSink(path, { ...options, resume: true });
  assert.equal(await writeUnits(resumed), 0);
  await resumed.commit();
  assert.deepEqual(new Uint8Array(await readFile(path)), whole);
});

test('leaves nothing behind after abort', async () => {
  const dir = await folder();
  const sink = await journaledSink(join(dir, 'm.gguf'), options);
  await writeUnits(sink, 1);
  await sink.abort();
  assert.deepEqual(await readdir(dir), []);
});
