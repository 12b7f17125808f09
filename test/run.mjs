/**
 * Runs test files under Node's own runner: `node test/run.mjs [folder] [words…]`, every `*.test.ts` below the folder whose
 * path holds one of the words. The files are listed here because Node 20 does not expand patterns.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const [folder = 'test', ...words] = process.argv.slice(2);
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => join(folder, file))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();
if (files.length === 0) {
  console.error(`no test file in ${folder}${words.length === 0 ? '' : ` matches ${words.join(' or ')}`}`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--test', '--test-concurrency=2', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
