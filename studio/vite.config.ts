/** Builds the browser app, into dist/studio unless told: a page, its worker, and beside them the examples and the solver. */
import react from '@vitejs/plugin-react';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { atomFeed, type FeedResult } from './feed.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const inFolder = (model: string): string[] => ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((file) => `${model}/${file}`);
/** Small real models, one click away. */
const examples = ['kws-dscnn/kws-dscnn.onnx', 'kws-dscnn/inputs.npy', 'kws-dscnn/labels.npy', 'shakespeare/heldout.txt', 'shakespeare/train.txt', ...inFolder('host-llama-shakespeare')];
/** What experiments of papers need besides. */
const experiments = ['moving-digits/config.json', 'moving-digits/model.safetensors', ...['draft-llama-shakespeare', 'mamba1-bytes', 'mamba2-groups'].flatMap(inFolder)];

let out = '';
/** Bytes of a file that the page keeps for later without being asked. */
const taken = 2_000_000;

export default defineConfig({
  root: join(root, 'studio'),
  base: './',
  plugins: [react(), {
    name: 'beside',
    configResolved({ build }) { out = build.outDir; },
    closeBundle() {
      const built = resolve(root, 'studio', out);
      const copies = [
        ...[...examples, ...experiments].map((file) => [join('assets', file), join('examples', file)]),
        // Loaded at run time when a budget is solved.
        ...['highs.mjs', 'highs.wasm'].map((file) => [join('node_modules/highs/build', file), join('solver', file)]),
      ];
      for (const [from, to] of copies) {
        const target = join(built, to);
        mkdirSync(dirname(target), { recursive: true });
        cpSync(join(root, from), target);
      }
      const results = join(root, 'assets/reproductions');
      writeFileSync(join(built, 'feed.xml'), atomFeed(readdirSync(results).map((file) => JSON.parse(readFileSync(join(results, file), 'utf8')) as FeedResult)));
      const all = (readdirSync(built, { recursive: true, encoding: 'utf8' }) as string[]).map((file) => file.replaceAll('\\', '/')).filter((file) => statSync(join(built, file)).isFile()).sort();
      const hash = createHash('sha256');
      for (const file of all) hash.update(file).update(readFileSync(join(built, file)));
      const small = ['./', ...all.filter((file) => statSync(join(built, file)).size < taken && !experiments.some((one) => file === `examples/${one}`))];
      writeFileSync(join(built, 'sw.js'), `const build = ${JSON.stringify(hash.digest('hex').slice(0, 16))}, files = ${JSON.stringify(small)};\n${readFileSync(join(root, 'studio/service-worker.js'), 'utf8')}`);
    },
  }],
  // Reproductions are written for Node: in the page they get its engine, its threads, and models and data from beside it.
  resolve: {
    alias: [
      { find: /^(\.\.\/)+engine\/ort-node\.ts$/, replacement: join(root, 'studio/src/ort-here.ts') },
      { find: /^\.\/own-node\.ts$/, replacement: join(root, 'studio/src/own-here.ts') },
      { find: /^(\.\.\/)+engine\/kernels\/lowbit-team-node\.ts$/, replacement: join(root, 'studio/src/team-here.ts') },
      { find: /^(\.\.\/)+jobs\/source-node\.ts$/, replacement: join(root, 'studio/src/source-here.ts') },
    ],
  },
  worker: { format: 'es' },
  build: { outDir: join(root, 'dist/studio'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 2000 },
});
