/** What a conversion is asked to do, what it plans, and what it did. */
import { z } from 'zod';
import type { ByteSink } from '../files/source.ts';
import type { TensorType } from '../tensor-ref.ts';
import type { Progress } from './progress.ts';

export type ConvertTarget = 'huggingface' | 'gguf' | 'onnx' | 'imatrix';
export type FloatType = 'f32' | 'f16' | 'bf16';

const targetNames: Readonly<Record<string, ConvertTarget>> = {
  huggingface: 'huggingface', hf: 'huggingface', safetensors: 'huggingface', gguf: 'gguf', onnx: 'onnx', imatrix: 'imatrix',
};
const typeNames: Readonly<Record<string, FloatType>> = {
  f32: 'f32', fp32: 'f32', float32: 'f32', f16: 'f16', fp16: 'f16', float16: 'f16', bf16: 'bf16', bfloat16: 'bf16',
};

const named = <T>(table: Readonly<Record<string, T>>, shown: string) => z.string().transform((text, context): T => {
  const found = Object.hasOwn(table, text.toLowerCase()) ? table[text.toLowerCase()] : undefined;
  if (found === undefined) context.addIssue({ code: 'custom', message: `known: ${shown}` });
  return found as T;
});

export const convertSettings = z.strictObject({
  /** File, folder, `hf:owner/name` or URL. */
  model: z.string().min(1),
  to: named(targetNames, 'huggingface, gguf, onnx, imatrix'),
  /** File to write, or folder for `huggingface`; by default named after the model, in the working folder. */
  output: z.string().min(1).optional(),
  /** Type of the weights; by default each keeps its own, and low-bit ones that the target has no type for become f32, which holds them exactly. */
  type: named(typeNames, 'f32, f16, bf16').optional(),
  /** Largest part, such as 2GB: several safetensors or GGUF files. */
  shardSize: z.string().regex(/^\d+(\.\d+)?\s*([kMG]i?B)?$/i, 'must look like 2GB').optional(),
  /** One file, whatever its size. */
  merge: z.boolean().default(false),
  /** Tensors of an ONNX model in a file beside it; by default where they are too large to lie in it. */
  externalData: z.boolean().optional(),
  overwrite: z.boolean().default(false),
  threads: z.coerce.number().int().positive().max(256).default(2),
});

export type ConvertSettings = z.output<typeof convertSettings>;
export type ConvertRequest = z.input<typeof convertSettings>;

export interface ConvertedTensor {
  /** In the written file. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly source: TensorType;
  readonly target: TensorType;
  /** √(Σ (written − read)² / Σ read²) after writing: 0 where the target holds the values exactly. Absent in a plan. */
  readonly error?: number;
}

export interface ConvertPlan {
  readonly source: { readonly name: string; readonly kind: ConvertTarget; readonly files: readonly string[] };
  readonly to: ConvertTarget;
  /** In the order they are written; sizes of tensors alone where a file also has a header. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly tensors: readonly ConvertedTensor[];
  readonly notes: readonly string[];
}

export interface ConvertResult extends ConvertPlan {
  readonly seconds: number;
}

/** A conversion about to be made. */
export interface Prepared {
  /** Name of the file or folder that is written where the user gives none. */
  readonly defaultName: string;
  /** Paths beside a file of this name, or inside of the folder, in the order in which they come to be; `bytes` counts tensors. */
  files(name: string): readonly { readonly path: string; readonly bytes: number }[];
  readonly tensors: readonly ConvertedTensor[];
  readonly notes: readonly string[];
  /** Writes to one sink per file, in their order; gives tensors with their errors. Neither commits nor aborts. */
  write(sinks: readonly ByteSink[], name: string, progress: Progress): Promise<readonly ConvertedTensor[]>;
  /** Files beside the source that it is read from too, by name. */
  readonly reads?: readonly string[];
  /** Closes what the tensors are read from. */
  close(): Promise<void>;
}
