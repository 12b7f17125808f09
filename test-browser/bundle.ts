/** What a bundler makes of the sources for a page: one file, and what went into it. */
import { build, type Plugin } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

export const root = fileURLToPath(new URL('..', import.meta.url));

export interface Bundle {
  readonly text: string;
  /** Bytes of each source file in the output, by path relative to the repository. */
  readonly inputs: Readonly<Record<string, number>>;
  readonly bytes: { readonly plain: number; readonly gzip: number; readonly brotli: number };
}

/** Imports inside of functions: pages fetch them when they are called. */
const later: Plugin = { name: 'later', setup: ({ onResolve }) => onResolve({ filter: /^\./ }, ({ kind, path }) => (kind === 'dynamic-import' ? { external: true, path } : undefined)) };

export interface BundleOptions {
  readonly minify?: boolean;
  /** Address of onnxruntime-web's files, for pages that run models; without it they go into the bundle. */
  readonly runtime?: string;
}

/**
 * One module with everything that the entries import and re-export; in small, without what is only loaded when it is wanted.
 * Fails on what a browser does not have, such as `node:fs`.
 */
export async function bundle(entries: readonly string[], { minify = false, runtime }: BundleOptions = {}): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: entries.map((entry) => `export * from './${entry}';`).join('\n'), resolveDir: root, sourcefile: 'entries.ts' },
    bundle: true, write: false, metafile: true, minify, format: 'esm', platform: 'browser', target: 'es2022', logLevel: 'silent', absWorkingDir: root,
    plugins: runtime === undefined ? (minify ? [later] : []) : [{
      name: 'onnxruntime-web',
      setup: ({ onResolve }) => onResolve({ filter: /^onnxruntime-web/ }, ({ path }) => (
        { external: true, path: `${runtime}ort${path.endsWith('/webgpu') ? '.webgpu' : '.wasm'}.min.mjs` })),
    }],
  });
  const [{ text, contents }] = outputFiles;
  const [output] = Object.values(metafile.outputs);
  return {
    text,
    inputs: Object.fromEntries(Object.entries(output.inputs).map(([path, { bytesInOutput }]) => [path, bytesInOutput])),
    bytes: { plain: contents.byteLength, gzip: gzipSync(contents, { level: 9 }).byteLength, brotli: brotliCompressSync(contents).byteLength },
  };
}

/** Entries of the parts that promise to be small and to need no inference engine. */
export const smallEntries: readonly string[] = ['src/formats/index.ts', 'src/runtime/index.ts'];
/** gzip bytes that these parts may take together. */
export const smallLimit = 150_000;
