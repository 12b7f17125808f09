import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../src', import.meta.url));
/** The rows of the table in docs/architecture.md, top floor last. */
const floors = [...readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8').split('## Floors')[1].split('## ')[0].matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);

/** Every import of every file below a floor, as (file, floor, imported file, its floor). */
function* imports(): Generator<{ readonly file: string; readonly from: string; readonly text: string; readonly to: string; readonly type: boolean }> {
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && name.includes(sep))) {
    const text = readFileSync(join(src, file), 'utf8');
    for (const [, type, path] of text.matchAll(/^(?:import|export)( type)? [^;]*? from '(\.\.?\/[^']+)';/gm)) {
      const to = relative(src, normalize(join(src, dirname(file), path)));
      yield { file, from: file.split(sep)[0], text: path, to: to.includes(sep) ? to.split(sep)[0] : '', type: type !== undefined };
    }
  }
}

test('imports go only down the floors of the architecture page', () => {
  assert.ok(floors.length > 10);
  const wrong = [...imports()].filter(({ from, to, type }) => !type && to !== '' && floors.indexOf(to) > floors.indexOf(from));
  assert.deepEqual(wrong.map(({ file, text }) => `${file}: ${text}`), []);
});

test('only files that say so use Node', () => {
  const using = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts') && !name.endsWith('-node.ts') && /from 'node:|import\('node:/.test(readFileSync(join(src, name), 'utf8')));
  // The command line is Node; loader snippets are text for others to run.
  assert.deepEqual(using.filter((name) => !name.startsWith(`cli${sep}`) && name !== join('jobs', 'snippets.ts')), []);
});
