/** Every kind of file that a run can write. Adding one touches its own file and one row here. */
import { defineErrors } from '../errors.ts';
import type { Target } from './schemes.ts';
import type { TargetWriter } from './target.ts';
import { ggufTarget } from './targets/gguf.ts';
import { onnxTarget } from './targets/onnx.ts';

const errors = defineErrors('target', {
  notYet: (f: { target: string }) => [`${f.target} files are not written yet`, 'choose --to onnx'] as const,
});

const notYet = (target: Target): TargetWriter => {
  const refuse = async (): Promise<never> => { throw errors.notYet({ target }); };
  return { plan: refuse, write: refuse };
};

export const targetWriters: Readonly<Record<Target, TargetWriter>> = {
  onnx: onnxTarget,
  gguf: ggufTarget, 'transformers.js': notYet('transformers.js'), safetensors: notYet('safetensors'),
};
