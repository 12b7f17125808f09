/** A conversion as text: what is written, and what became of the values. */
import type { ConvertPlan } from '../jobs/convert.ts';
import { movesText } from '../jobs/convert-tensors.ts';
import { size } from './words.ts';

const titles = { huggingface: 'Hugging Face folder', gguf: 'GGUF', onnx: 'ONNX', imatrix: 'importance matrix' } as const;

/** Of a plan or of a result, whose tensors tell their errors. */
export function convertText({ source, to, files, tensors, notes }: ConvertPlan): string {
  return [
    `${source.name}: ${titles[source.kind]} to ${titles[to]}`,
    ...files.map(({ path, bytes }) => `  ${path}${bytes === 0 ? '' : `  ${size(bytes)}`}`),
    ...(to === 'imatrix' ? [`${tensors.length} matrices, mean squares of their columns`] : movesText(tensors)).map((line) => `  ${line}`),
    ...notes.map((line) => `  ${line}`),
  ].join('\n');
}
