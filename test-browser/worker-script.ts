/** The script of the workers that share products in a page, for its server. */
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

export async function workerScript(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: { contents: "import { teamWorker } from './lowbit-team-web.ts'; teamWorker();", resolveDir: fileURLToPath(new URL('../src/engine/kernels', import.meta.url)) },
    bundle: true, write: false, format: 'esm', platform: 'browser', target: 'es2022', logLevel: 'silent',
  });
  return outputFiles[0].contents;
}
