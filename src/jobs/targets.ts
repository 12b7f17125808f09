/** Every kind of file that a run can write. Adding one touches its own file and one row here. */
import type { Target } from './schemes.ts';
import type { TargetWriter } from './target.ts';
import { ggufTarget } from './targets/gguf.ts';
import { onnxTarget } from './targets/onnx.ts';
import { safetensorsTarget } from './targets/safetensors.ts';
import { transformersJsTarget } from './targets/transformers-js.ts';

export const targetWriters: Readonly<Record<Target, TargetWriter>> = {
  onnx: onnxTarget,
  gguf: ggufTarget,
  'transformers.js': transformersJsTarget,
  safetensors: safetensorsTarget,
};
