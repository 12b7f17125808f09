/** Builds the browser app, into dist/studio unless told: a page, its worker, and beside them the examples and the solver. */
import react from '@vitejs/plugin-react';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { atomFeed, type FeedResult } from './feed.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Small real models, one click away. */
const examples = [
  'kws-dscnn/kws-dscnn.onnx', 'kws-dscnn/inputs.npy', 'kws-dscnn/labels.npy', 'shakespeare/heldout.txt', 'shakespeare/train.txt',
  ...['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((file) => `host-llama-shakespeare/${file}`),
];

let out = '';

export default defineConfig({
  root: join(root, 'studio'),
  base: './',
  plugins: [react(), {
    name: 'beside',
    configResolved({ build }) { out = build.outDir; },
    closeBundle() {
      const copies = [
        ...examples.map((file) => [join('assets', file), join('examples', file)]),
        // Loaded at run time when a budget is solved.
        ...['highs.mjs', 'highs.wasm'].map((file) => [join('node_modules/highs/build', file), join('solver', file)]),
      ];
      for (const [from, to] of copies) {
        const target = resolve(root, 'studio', out, to);
        mkdirSync(dirname(target), { recursive: true });
        cpSync(join(root, from), target);
      }
      const results = join(root, 'assets/reproductions');
      writeFileSync(resolve(root, 'studio', out, 'feed.xml'), atomFeed(readdirSync(results).map((file) => JSON.parse(readFileSync(join(results, file), 'utf8')) as FeedResult)));
    },
  }],
  // Reproductions are written for Node: in the page they get its engine, and its copy of the text.
  resolve: {
    alias: [
      { find: /^\.\.\/engine\/ort-node\.ts$/, replacement: join(root, 'studio/src/ort-here.ts') },
      { find: /^\.\/data\/shakespeare-node\.ts$/, replacement: join(root, 'studio/src/shakespeare-here.ts') },
    ],
  },
  worker: { format: 'es' },
  build: { outDir: join(root, 'dist/studio'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 2000 },
});
