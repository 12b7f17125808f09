/** Made-up inputs for a verdict where nobody gave real ones: the same for the same seed, and said to be made up. */
import { i64, type Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { elementCount } from '../tensor-ref.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { normal, randomInteger } from '../numeric/random.ts';
import { checkIndices, joinRows, type Dataset } from '../observe/data/dataset.ts';
import { tokenWindows } from '../observe/data/text.ts';

const errors = defineErrors('seeded', {
  type: (f: { input: string; type: string }) => [`no inputs can be made up for ${f.input} of type ${f.type}`, 'give real ones with --data'] as const,
});

/** Length of made-up windows of tokens, and of dimensions that the model leaves open. */
const length = 64;

export function seededDataset(model: { readonly kind: 'lm' | 'onnx'; readonly graph: Graph; readonly language?: { readonly config: { readonly vocabSize: number } } }, { seed, count }: { seed: number; count: number }): Dataset {
  const name = `made-up inputs (seed ${seed})`;
  if (model.language !== undefined) {
    const { vocabSize } = model.language.config;
    return tokenWindows(name, Array.from({ length: count * length + 1 }, (_, i) => randomInteger(seed, 0, i, vocabSize)), { window: length });
  }
  const { inputs } = model.graph;
  return {
    name, count, names: inputs.map((input) => input.name), uniform: true,
    batch: async (indices) => {
      checkIndices(name, count, indices);
      const feeds = Object.fromEntries(inputs.map((input, stream) => [input.name, joinRows(name, input.name, indices.map((i) => sample(input, seed, stream, i)))]));
      return { feeds };
    },
  };
}

function sample(input: ValueInfo, seed: number, stream: number, index: number): Tensor {
  const shape = (input.shape ?? [1]).map((dim, axis) => (axis === 0 ? 1 : typeof dim === 'number' && dim > 0 ? dim : length));
  const size = elementCount(shape, input.name);
  const from = index * size;
  switch (input.type) {
    // Sessions take them in the type that they ask for.
    case 'f32': case 'f16': case 'f64': case undefined: return { type: 'f32', shape, data: Float32Array.from({ length: size }, (_, i) => normal(seed, stream, from + i)) };
    case 'u8': return { type: 'u8', shape, data: Uint8Array.from({ length: size }, (_, i) => randomInteger(seed, stream, from + i, 256)) };
    case 'i64': case 'i32': return i64(shape, Array.from({ length: size }, (_, i) => randomInteger(seed, stream, from + i, 2)));
    default: throw errors.type({ input: input.name, type: input.type });
  }
}
