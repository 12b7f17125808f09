/**
 * What layers may take where a budget chooses a format for each by measurement: the everyday formats of each kind of file,
 * and by `--candidates` the finer ones whose widths are fractions, or any by name.
 */
import { defineErrors } from '../errors.ts';
import { parseFormat } from '../formats/registry.ts';
import { palette } from '../recipes/q-palette.ts';
import type { ModelKind, Target } from './schemes.ts';

/** What runtimes have kernels for: a scale for so many weights costs a part of a bit. */
const plain: Readonly<Record<ModelKind | 'gguf', readonly string[]>> = {
  lm: ['uint2/g128', 'uint2/g64', 'uint3/g128', 'uint3/g64', 'uint4/g128', 'uint4/g64', 'int4/g32', 'uint6/g128', 'int8/g128'],
  gguf: ['ggml-q2_k', 'ggml-q3_k', 'ggml-q4_k', 'ggml-q5_k', 'ggml-q6_k', 'ggml-q8_0', 'ggml-iq4_nl', 'ggml-q5_0'],
  onnx: ['uint2/channel', 'int3/channel', 'uint3/channel', 'uint4/tensor', 'int4/channel', 'uint4/channel', 'int6/channel', 'int8/tensor', 'int8/channel'],
};

/** Sets by a word. The last two are for ONNX files, which unpack them when they are loaded; a search encodes every layer in each of them. */
const sets: Readonly<Record<string, (target: Target, kind: ModelKind) => readonly string[]>> = {
  plain: (target, kind) => plain[target === 'gguf' ? 'gguf' : kind],
  trellis: () => palette.filter((name) => parseFormat(name).bits <= 4),
  vector: () => ['vq1.5+had', 'vq2+had', 'vq2.5+had', 'vq3+had', 'vq3.5+had', 'vq4+had'],
};
const isSet = (name: string): boolean => Object.hasOwn(sets, name);

const errors = defineErrors('candidates', {
  notHeld: (f: { format: string; target: string }) => [`${f.target} files cannot hold ${f.format}, which --candidates names`, f.target === 'gguf' ? 'name GGUF types such as q4_k' : `name formats such as uint2/g64, or the sets ${Object.keys(sets).join(', ')}`] as const,
});

/** Formats that layers may take, each once, of names and of words for sets. */
export function candidateFormats(candidates: readonly string[], target: Target, kind: ModelKind): string[] {
  const names = candidates.flatMap((name) => (isSet(name) ? sets[name](target, kind) : [name]));
  const formats = names.map((name) => parseFormat(name, target === 'gguf' ? 'ggml' : undefined));
  for (const { name, family } of formats) if (family === 'float' || (family === 'ggml') !== (target === 'gguf')) throw errors.notHeld({ format: name, target });
  return [...new Set(formats.map(({ name }) => name))];
}

/** Sets beside the everyday one, which names of files and rows of tables tell. */
export const finerSets = (candidates: readonly string[]): string[] => candidates.filter((name) => isSet(name) && name !== 'plain');
