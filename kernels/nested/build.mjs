// Compiles the kernels and embeds them: node kernels/nested/build.mjs
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const asc = join(here, '../../node_modules/assemblyscript/bin/asc.js');
const folder = mkdtempSync(join(tmpdir(), 'nested-'));
const out = join(folder, 'nested.wasm');
execFileSync(process.execPath, [
  asc, join(here, 'index.ts'), '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--initialMemory', '1', '-o', out,
], { stdio: 'inherit' });
const base64 = readFileSync(out).toString('base64').replace(/.{1,116}/g, "  '$&' +\n").replace(/ \+\n$/, '');
rmSync(folder, { recursive: true });
writeFileSync(join(here, '../../src/engine/kernels/nested.wasm.ts'), `// Generated from kernels/nested/index.ts by kernels/nested/build.mjs; do not edit.
const base64 =
${base64};

/** The compiled narrowing of integers. */
export const nestedWasm = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
`);
