/** Builds the browser app into dist/studio: a page, its worker, and the examples beside them. */
import react from '@vitejs/plugin-react';
import { cpSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Small real models, one click away. */
const examples = [
  'kws-dscnn/kws-dscnn.onnx', 'kws-dscnn/inputs.npy', 'kws-dscnn/labels.npy', 'shakespeare/heldout.txt',
  ...['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((file) => `host-llama-shakespeare/${file}`),
];

export default defineConfig({
  root: join(root, 'studio'),
  base: './',
  plugins: [react(), {
    name: 'examples',
    closeBundle() {
      for (const file of examples) {
        const to = join(root, 'dist/studio/examples', file);
        mkdirSync(dirname(to), { recursive: true });
        cpSync(join(root, 'assets', file), to);
      }
    },
  }],
  worker: { format: 'es' },
  build: { outDir: join(root, 'dist/studio'), emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 2000 },
});
