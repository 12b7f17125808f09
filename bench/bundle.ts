/** Sizes of what a page downloads, per public entry: minified, gzip, brotli, in kB. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bundle, root, smallEntries } from '../test-browser/bundle.ts';

const cases: readonly (readonly [name: string, entries: readonly string[]])[] = [
  ['fewbit/formats', ['src/formats/index.ts']], ['fewbit/files', ['src/files/index.ts']], ['fewbit/graph', ['src/graph/index.ts']],
  ['fewbit/runtime', ['src/runtime/index.ts']], ['fewbit/web', ['src/web.ts']], ['small parts together', smallEntries],
];
const kB = (bytes: number): string => (bytes / 1000).toFixed(1).padStart(9);

console.log(`${'entry'.padEnd(22)}${'minified'.padStart(9)}${'gzip'.padStart(9)}${'brotli'.padStart(9)}   largest parts`);
for (const [name, entries] of cases) {
  if (!entries.every((entry) => existsSync(join(root, entry)))) continue;
  const { bytes, inputs } = await bundle(entries, { minify: true });
  const largest = Object.entries(inputs).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([path, size]) => `${path.replace(/^src\//, '')} ${(size / 1000).toFixed(1)}`);
  console.log(`${name.padEnd(22)}${kB(bytes.plain)}${kB(bytes.gzip)}${kB(bytes.brotli)}   ${largest.join(', ')}`);
}
