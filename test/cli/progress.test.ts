import assert from 'node:assert/strict';
import { test } from 'node:test';
import { terminalProgress } from '../../src/cli/progress.ts';

test('names out of files do not act on the terminal', () => {
  const written: string[] = [];
  const stream = { isTTY: false, write: (text: string) => { written.push(text); return true; } } as unknown as NodeJS.WriteStream;
  const progress = terminalProgress(stream);
  progress.phase('download a\u001b[2J', 10);
  progress.line('[1/2] w\u001b]0;title\u0007\nfewbit: all is well');
  assert.deepEqual(written, ['download a\\u001b[2J\n', '[1/2] w\\u001b]0;title\\u0007\\u000afewbit: all is well\n']);
});
