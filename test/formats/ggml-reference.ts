/** The reference encoders: `ggml_quantize_chunk` of the shared library inside node-llama-cpp, called through koffi. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import koffi from 'koffi';
import { blockTypes } from '../../src/tensor-ref.ts';
import type { GgmlType } from '../../src/formats/ggml/index.ts';

const folder = fileURLToPath(new URL('../../node_modules/@node-llama-cpp/', import.meta.url));

function library(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const bins = `${folder}linux-${process.arch}/bins`;
  if (!existsSync(bins)) return undefined;
  return readdirSync(bins).map((name) => `${bins}/${name}/libggml-base.so`).find((path) => existsSync(path));
}

const symbols: Partial<Record<GgmlType, string>> = {
  q2_k: 'q2_K', q3_k: 'q3_K', q4_k: 'q4_K', q5_k: 'q5_K', q6_k: 'q6_K',
};

export interface GgmlReference {
  encode(type: GgmlType, values: Float32Array, rows: number, cols: number, importance?: Float32Array): Uint8Array;
  /** Rows shared out to threads of the engine's pool; encodes into `out`. */
  encodeThreaded(type: GgmlType, values: Float32Array, rows: number, cols: number, threads: number, out: Uint8Array): Promise<void>;
  decode(type: GgmlType, bytes: Uint8Array): Float32Array;
}

let loaded: GgmlReference | undefined;

/** The reference, or undefined where the library is not installed for this machine. */
export function ggmlReference(): GgmlReference | undefined {
  // Kept, because the library cannot be loaded again after it was released.
  loaded ??= load();
  return loaded;
}

function load(): GgmlReference | undefined {
  const path = library();
  if (!path) return undefined;
  const lib = koffi.load(path);
  const chunk = lib.func('size_t ggml_quantize_chunk(int type, const float *src, _Out_ uint8_t *dst, int64_t start, int64_t nrows, int64_t cols, const float *imatrix)');
  const chunkAsync = promisify(chunk.async) as (...args: unknown[]) => Promise<number>;
  const rowBytes = (type: GgmlType, cols: number): number => (cols / blockTypes[type].block) * blockTypes[type].bytes;
  return {
    encode(type, values, rows, cols, importance) {
      const out = new Uint8Array(rows * rowBytes(type, cols));
      chunk(blockTypes[type].id, values, out, 0, rows, cols, importance ?? null);
      return out;
    },
    async encodeThreaded(type, values, rows, cols, threads, out) {
      const share = Math.ceil(rows / threads);
      const bytes = rowBytes(type, cols);
      await Promise.all(Array.from({ length: threads }, (_, t) => {
        const begin = Math.min(rows, t * share);
        const end = Math.min(rows, begin + share);
        return chunkAsync(
          blockTypes[type].id, values.subarray(begin * cols, end * cols), out.subarray(begin * bytes, end * bytes), 0, end - begin, cols, null,
        );
      }));
    },
    decode(type, bytes) {
      const values = new Float32Array((bytes.length / blockTypes[type].bytes) * blockTypes[type].block);
      lib.func(`void dequantize_row_${symbols[type] ?? type}(const uint8_t *x, _Out_ float *y, int64_t k)`)(bytes, values, values.length);
      return values;
    },
  };
}
