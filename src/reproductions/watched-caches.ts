/** The caches of a decoder with their rows laid open: what a coding leaves of them can be put in their place, and what attention gives is watched. */
import type { LlamaConfig } from '../models/llama-config.ts';
import { cosine, mean } from '../numeric/statistics.ts';
import { floatCache } from '../runtime/kv-cache.ts';
import { LlamaDecoder } from '../runtime/llama-decoder.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { RowShape } from '../runtime/vidkv.ts';

/** Rows [tokens, heads, width] of a layer. */
export interface LayerRows { readonly keys: Float32Array; readonly values: Float32Array }

export interface WatchedDecoder {
  readonly decoder: LlamaDecoder;
  rowShape(tokens: number): RowShape;
  /** The first rows of every layer, as copies. */
  rows(tokens: number): LayerRows[];
  put(rows: readonly LayerRows[]): void;
  /** What attention gave since the last call: by layer, then by token, [heads · width]. */
  attended(): Float32Array[][];
}

export async function openWatched(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, context: number): Promise<WatchedDecoder> {
  const { heads, kvHeads, headDim } = config;
  const layers: { view(tokens: number): LayerRows; outputs: Float32Array[] }[] = [];
  const decoder = await LlamaDecoder.open(config, tensors, {
    context,
    cache: (arena, kernels, shape) => {
      const { bytes, place, attend, keep, rewind } = floatCache(arena, kernels, shape);
      const layer = {
        view(tokens: number): LayerRows {
          const at = place(0, 0);
          return { keys: arena.floats(at.keys, tokens * kvHeads * headDim), values: arena.floats(at.values, tokens * kvHeads * headDim) };
        },
        outputs: [] as Float32Array[],
      };
      layers.push(layer);
      // Without attention of several tokens at a time, so that all of it is seen here.
      return {
        bytes, place, keep, rewind,
        attend(queries, out, from, to, listed) {
          attend(queries, out, from, to, listed);
          layer.outputs.push(arena.floats(out, heads * headDim).slice());
        },
      };
    },
  });
  return {
    decoder,
    rowShape: (tokens) => ({ tokens, heads: kvHeads, width: headDim }),
    rows: (tokens) => layers.map(({ view }) => {
      const { keys, values } = view(tokens);
      return { keys: keys.slice(), values: values.slice() };
    }),
    put(rows) {
      rows.forEach(({ keys, values }, i) => {
        const there = layers[i].view(keys.length / (kvHeads * headDim));
        there.keys.set(keys);
        there.values.set(values);
      });
    },
    attended: () => layers.map((layer) => layer.outputs.splice(0)),
  };
}

/** Mean cosine of what attention gives, over layers and tokens. */
export function meanCosine(found: readonly (readonly Float32Array[])[], expected: readonly (readonly Float32Array[])[]): number {
  return mean(expected.flatMap((tokens, layer) => tokens.map((row, t) => cosine(row, found[layer][t]))));
}

/** Mean correlation of each channel's values with those of the next token. */
export function correlation(x: Float32Array, { tokens, heads, width }: RowShape): number {
  const row = heads * width;
  let sum = 0;
  for (let c = 0; c < row; c++) {
    let mean = 0;
    for (let t = 0; t < tokens; t++) mean += x[t * row + c] / tokens;
    let [product, square] = [0, 0];
    for (let t = 0; t < tokens; t++) {
      square += (x[t * row + c] - mean) ** 2 / tokens;
      if (t + 1 < tokens) product += ((x[t * row + c] - mean) * (x[(t + 1) * row + c] - mean)) / (tokens - 1);
    }
    sum += product / square;
  }
  return sum / row;
}
