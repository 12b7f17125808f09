/** What the page asks of its worker, and what comes back. */
import type { TensorView } from '../../src/jobs/tensor-view.ts';
import type { PlannedOutput } from '../../src/jobs/result.ts';

export interface FileRef { readonly name: string; readonly blob: Blob }

export interface TensorRow { readonly name: string; readonly shape: readonly number[]; readonly type: string; readonly bytes: number; /** Its matrix is multiplied: it can take a format. */ readonly layer: boolean }

export interface OpenedModel {
  readonly name: string;
  readonly kind: 'lm' | 'onnx';
  readonly origin: 'onnx' | 'huggingface' | 'gguf';
  readonly parameters: number;
  readonly bytes: number;
  readonly tensors: readonly TensorRow[];
  /** Inputs of a plain graph, for people who bring their own. */
  readonly inputs: readonly string[];
}

export interface Request {
  readonly to: string;
  /** Formats with commas; empty where only a budget is asked for. */
  readonly weights: string;
  /** Bits per weight to share between layers, each with a format of its own; absent without a budget. */
  readonly budget?: number;
  readonly allowFallback: boolean;
  readonly keep: string;
}

/** Signal over error of every layer in every format, dB; undefined where a layer cannot take it. */
export interface HeatMap { readonly layers: readonly string[]; readonly formats: readonly string[]; readonly sqnr: readonly (readonly (number | undefined)[])[] }

export interface Continuation { readonly model: string; readonly text: string; readonly tokensPerSecond: number; readonly notRun?: string }

export interface MadeFile { readonly path: string; readonly blob: Blob }
export interface Made { readonly files: readonly MadeFile[]; readonly outputs: readonly PlannedOutput[]; readonly notes: readonly string[]; readonly seconds: number }

export interface Figure { readonly name: string; readonly value: string; /** What it means, in half a sentence. */ readonly meaning: string }
export interface JudgedFile { readonly path: string; readonly figures: readonly Figure[]; readonly notJudged?: string; readonly speed?: number }
export interface Judgement { readonly data: string; readonly samples: number; readonly files: readonly JudgedFile[] }

export interface Calls {
  open: { readonly give: { readonly files: readonly FileRef[] }; readonly get: OpenedModel };
  tensor: { readonly give: { readonly name: string; readonly formats: readonly string[] }; readonly get: TensorView };
  heatMap: { readonly give: { readonly formats: readonly string[] }; readonly get: HeatMap };
  /** The float model and the GGUF files that were made go on with a text, on the low-bit engine. */
  write: { readonly give: { readonly prompt: string; readonly tokens: number }; readonly get: readonly Continuation[] };
  quantize: { readonly give: Request; readonly get: Made };
  /** Runs the files that were made beside the float model, on given inputs or made-up ones. */
  judge: { readonly give: { readonly data: readonly FileRef[] }; readonly get: Judgement };
}
export type CallName = keyof Calls;

/** A failure as the page tells it: a sentence, and a way out where there is one. */
export interface Trouble { readonly message: string; readonly wayOut?: string }

export type Answer =
  | { readonly id: number; readonly kind: 'progress'; readonly text: string; readonly share?: number }
  | { readonly id: number; readonly kind: 'done'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'failed'; readonly trouble: Trouble };
