/** Moves that cannot be made, by every kind of target. */
import { defineErrors } from '../errors.ts';
import type { ConvertTarget } from './convert.ts';

const kinds: Readonly<Record<ConvertTarget, string>> = {
  huggingface: 'a folder of safetensors', gguf: 'a GGUF model', onnx: 'an ONNX graph', imatrix: 'an importance matrix',
};

export const convertErrors = defineErrors('convert', {
  move: (f: { name: string; kind: ConvertTarget; to: ConvertTarget }) => [
    `${f.name} is ${kinds[f.kind]}, which does not become ${kinds[f.to]}`,
    f.kind === 'imatrix' ? 'choose --to imatrix' : f.kind === 'onnx' ? 'choose --to onnx' : f.to === 'imatrix' ? 'observe one with fewbit quantize --data … --save-imatrix FILE' : 'choose --to huggingface, gguf or onnx',
  ] as const,
  noConfig: (f: { name: string }) => [`${f.name}: there is no config.json, which says what the weights are`, 'without it only --to huggingface works'] as const,
  type: (f: { name: string; type: string }) => [`tensor ${f.name} has type ${f.type}, which is not decoded here`, 'leave --type away to keep it as it is'] as const,
  onnxType: (f: { type: string }) => [`ONNX graphs are written in f32 or f16, not ${f.type}`, 'leave --type away, or choose f32 or f16'] as const,
  onnxKeeps: (f: { name: string; type: string }) => [`${f.name}: the weights of an ONNX graph are not turned to ${f.type} here`, 'leave --type away, or choose --type f16'] as const,
  overflow: (f: { what: string }) => [`f16 cannot hold every value: ${f.what}`, 'choose --type f32'] as const,
  useless: (f: { option: string; to: ConvertTarget }) => `${f.option} does nothing for ${kinds[f.to]}`,
});
