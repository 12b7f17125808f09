/**
 * Token windows for language models: ids cut into windows of equal length without overlap. The window
 * `ids[s .. s+n-1]` is fed, the next tokens `ids[s+1 .. s+n]` are its targets, so every window is judged alone from position 0.
 */
import { defineErrors } from '../../errors.ts';
import { i64 } from '../../engine/tensor.ts';
import { checkIndices, type Dataset } from './dataset.ts';

const errors = defineErrors('text', {
  tooShort: (f: { name: string; tokens: number; window: number }) =>
    `${f.name}: ${f.tokens} tokens are too few for one window of ${f.window} and its next token`,
  badWindow: (f: { window: number }) => `a window of ${f.window} tokens is not a positive whole number`,
});

/** Windows over `ids` for `input_ids` [batch, window] (int64); labels are the next tokens. */
export function tokenWindows(name: string, ids: ArrayLike<number>, { window = 256, stride = window }: { window?: number; stride?: number } = {}): Dataset {
  if (!Number.isInteger(window) || window < 1 || !Number.isInteger(stride) || stride < 1) throw errors.badWindow({ window });
  if (ids.length < window + 1) throw errors.tooShort({ name, tokens: ids.length, window });
  const count = Math.floor((ids.length - 1 - window) / stride) + 1;
  const all = Int32Array.from(ids);
  return {
    name, count, names: ['input_ids'], labels: 'tokens', uniform: true,
    batch: async (indices) => {
      checkIndices(name, count, indices);
      const input = new Int32Array(indices.length * window);
      const next = new Int32Array(indices.length * window);
      indices.forEach((index, row) => {
        input.set(all.subarray(index * stride, index * stride + window), row * window);
        next.set(all.subarray(index * stride + 1, index * stride + window + 1), row * window);
      });
      return { feeds: { input_ids: i64([indices.length, window], input) }, labels: { kind: 'tokens', values: next, shape: [indices.length, window] } };
    },
  };
}
