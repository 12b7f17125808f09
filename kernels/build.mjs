// Compiles the kernels and embeds them: node kernels/build.mjs [names]
import { execFileSync } from 'node:child_process';
import { deflateSync, inflateSync } from 'fflate';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A folder that is built twice, the second time with relaxed instructions. */
const withRelaxed = (folder, what, which = 'dot products') => ({
  [folder]: { what, options: ['--importMemory'] },
  [`${folder}-relaxed`]: { what: `${what} with relaxed ${which}`, folder, options: ['--importMemory', '--enable', 'relaxed-simd'] },
});

/** What each folder beside this file holds, and what it asks of the compiler beyond the rest. */
const kernels = {
  gemm: { what: 'kernel of error feedback', options: ['--importMemory'] },
  ggml: { what: 'encoders of ggml block types' },
  integer: { what: 'convolutions of integer networks', options: ['--importMemory'] },
  hadamard: { what: 'Hadamard transform', options: ['--importMemory'] },
  ...withRelaxed('attention', 'kernels of attention'),
  ...withRelaxed('lowbit', 'products of low-bit matrices and decoders of language models'),
  ...withRelaxed('mixed', 'products with inputs of 4 and 8 bits'),
  kvcache: { what: 'caches of keys and values in few bits', options: ['--importMemory'] },
  ...withRelaxed('lookup', 'products by looking up sums', 'swizzles'),
  nested: { what: 'narrowing of integers' },
  ...withRelaxed('qdq', 'operators between quantized activations'),
  optimizer: { what: 'updates of parameters', options: ['--importMemory'] },
  scales: { what: 'scale searches of integer formats' },
  ssm: { what: 'steps of state-space models', options: ['--importMemory'] },
  trellis: { what: 'search of trellis codes' },
  vidkv: { what: 'attention over keys and values in one to two bits', options: ['--importMemory'] },
};

const camel = (name) => name.replaceAll(/-./g, (part) => part[1].toUpperCase());
/** Bytes of what was compiled. */
const built = new Map();
/** Bytes of a build as they lie in the sources. */
const embedded = (name) => {
  const text = readFileSync(join(here, `../src/engine/kernels/${name}.wasm.ts`), 'utf8');
  return inflateSync(Buffer.from([...text.matchAll(/^ {2}'([^']+)'/gm)].map(([, part]) => part).join(''), 'base64'));
};

const here = fileURLToPath(new URL('.', import.meta.url));
const asc = join(here, '../node_modules/assemblyscript/bin/asc.js');
// A relaxed build cannot be unpacked beside another plain one than it was packed with: both are made together.
const asked = process.argv.slice(2).flatMap((name) => [name, `${name}-relaxed`].filter((one) => one === name || one in kernels));
for (const name of asked.length > 0 ? asked : Object.keys(kernels)) {
  const { what, options = [], folder: source = name } = kernels[name];
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  const out = join(folder, `${name}.wasm`);
  execFileSync(process.execPath, [
    asc, join(here, source, 'index.ts'), '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', ...options, '--initialMemory', '1', '-o', out,
  ], { stdio: 'inherit' });
  const bytes = readFileSync(out);
  // Relaxed builds follow the plain ones, of which they repeat most.
  const plain = source === name ? undefined : camel(source);
  built.set(name, bytes);
  const dictionary = plain === undefined ? undefined : built.get(source) ?? embedded(source);
  const base64 = Buffer.from(deflateSync(bytes, { level: 9, ...(dictionary === undefined ? {} : { dictionary }) })).toString('base64').replace(/.{1,116}/g, "  '$&' +\n").replace(/ \+\n$/, '');
  rmSync(folder, { recursive: true });
  writeFileSync(join(here, `../src/engine/kernels/${name}.wasm.ts`), `// Generated from kernels/${source}/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';
${plain === undefined ? '' : `import { ${plain}Wasm } from './${source}.wasm.ts';\n`}
const base64 =
${base64};

/** The compiled ${what}. */
export const ${camel(name)}Wasm = (): Uint8Array<ArrayBuffer> => inflated(base64${plain === undefined ? '' : `, ${plain}Wasm()`});
`);
}
