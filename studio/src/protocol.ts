/** What the page asks of its worker, and what comes back. */
import type { Block } from './outline.ts';
import type { TensorView } from '../../src/jobs/tensor-view.ts';
import type { ReproductionReport } from '../../src/reproductions/reproduction.ts';
import type { Verdict } from '../../src/evaluate/verdict.ts';
import type { DataUse, PlannedOutput } from '../../src/jobs/result.ts';
import type { Written } from '../../src/jobs/target.ts';
import type { Run } from './runs.ts';

export interface FileRef { readonly name: string; readonly blob: Blob; /** It comes with the page, under this name. */ readonly example?: true }

/** A model that a person gives: files, one of the examples beside the page, or an id of the Hugging Face hub. */
export type Given =
  | { readonly kind: 'files'; readonly files: readonly FileRef[] }
  | { readonly kind: 'example'; readonly paths: readonly string[] }
  | { readonly kind: 'hub'; readonly id: string; readonly hubUrl: string };

export interface TensorRow { readonly name: string; readonly shape: readonly number[]; readonly type: string; readonly bytes: number; /** Its matrix is multiplied: it can take a format. */ readonly layer: boolean }

export interface OpenedModel {
  readonly name: string;
  readonly kind: 'lm' | 'onnx';
  readonly origin: 'onnx' | 'huggingface' | 'gguf';
  readonly parameters: number;
  readonly bytes: number;
  /** What the command calls the model. */
  readonly argument: string;
  /** Tells these files from others: of names, sizes, beginnings and ends. */
  readonly fingerprint: string;
  readonly blocks: readonly Block[];
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
  /** Empty for the best of what the data allow. */
  readonly recipe: string;
  readonly allowFallback: boolean;
  readonly keep: string;
  /** Formats of single layers, `NAME=FORMAT` with commas; absent where none has its own. */
  readonly layers?: string;
  /** Names of the sample inputs and of their labels, empty without; how images become inputs. */
  readonly data: string;
  readonly labels: string;
  readonly input: string;
}

/** Signal over error of every layer in every format, dB; undefined where a layer cannot take it. */
export interface HeatMap { readonly layers: readonly string[]; readonly formats: readonly string[]; readonly sqnr: readonly (readonly (number | undefined)[])[] }

export interface Continuation { readonly model: string; readonly text: string; /** On WASM. */ readonly tokensPerSecond: number; /** Tokens a second, or why there are none. */ readonly onWebGpu?: number | string; readonly notRun?: string }

export interface MadeFile { readonly path: string; readonly blob: Blob }
/** All that is known of what was made. The page holds it and gives it with every question about it: a worker that is ended loses nothing. */
export interface Made {
  readonly request: Request;
  readonly files: readonly MadeFile[];
  readonly outputs: readonly PlannedOutput[];
  /** What became of each output. */
  readonly written: readonly Written[];
  readonly notes: readonly string[];
  readonly seconds: number;
  /** Bytes of an earlier run were there already. */
  readonly resumed: boolean;
  /** Names of the sample inputs that calibrated. */
  readonly calibrated?: string;
  /** Where the files lie, in the private file system. */
  readonly run?: Run;
}

export interface Figure { readonly name: string; readonly value: string; /** What it means, in half a sentence. */ readonly meaning: string }
/** Time of a run beside the float model's on the same backend, below 1 is faster; or why there is none. */
export interface Speed { readonly backend: 'WASM' | 'WebGPU'; readonly ratio?: number; /** Milliseconds of one run. */ readonly median?: number; readonly why?: string }
export interface JudgedFile {
  readonly path: string; readonly figures: readonly Figure[]; readonly notJudged?: string; readonly speeds: readonly Speed[];
  /** The same as the report tells it. */
  readonly verdict: Pick<Verdict, 'score' | 'notJudged' | 'latency' | 'loads'>;
}
export interface Judgement { readonly data: DataUse; readonly files: readonly JudgedFile[] }

/** What the float model and the files say to one sample. */
export interface SeenSample {
  readonly name: string;
  readonly answers: readonly {
    readonly model: string;
    /** The likeliest classes. */
    readonly classes?: readonly { readonly label: string; readonly probability: number }[];
    /** PNG; and how it differs from the float model's, eight times as strong. */
    readonly image?: Blob; readonly difference?: Blob;
    /** To the float model's image, dB. */
    readonly psnr?: number;
  }[];
}

/** The front of size against error, and what of it a file of this kind can have. */
export interface Front { readonly measure: string; readonly points: readonly { readonly bitsPerWeight: number; readonly loss: number }[]; readonly uniform: readonly { readonly format: string; readonly bitsPerWeight: number; readonly loss: number }[] }

export interface Plan { readonly outputs: readonly PlannedOutput[]; /** Of the run, about. */ readonly seconds: { readonly low: number; readonly high: number } }

export interface Calls {
  open: { readonly give: Given; readonly get: OpenedModel };
  tensor: { readonly give: { readonly name: string; readonly formats: readonly string[] }; readonly get: TensorView };
  heatMap: { readonly give: { readonly formats: readonly string[] }; readonly get: HeatMap };
  /** The float model and the GGUF files that were made go on with a text, on the low-bit engine. */
  write: { readonly give: { readonly made: Made; readonly prompt: string; readonly tokens: number }; readonly get: readonly Continuation[] };
  plan: { readonly give: { readonly request: Request }; readonly get: Plan };
  /** `goesOn`: the run that it is meant to go on with; other sample inputs are refused then. */
  quantize: { readonly give: { readonly request: Request; readonly data: readonly FileRef[]; readonly goesOn?: Run }; readonly get: Made };
  /** Runs the files that were made beside the float model, on given inputs or made-up ones. */
  judge: { readonly give: { readonly made: Made; readonly data: readonly FileRef[]; readonly input: string }; readonly get: Judgement };
  /** The first samples, answered by the float model and every file. */
  compare: { readonly give: { readonly made: Made; readonly data: readonly FileRef[]; readonly input: string }; readonly get: readonly SeenSample[] };
  /** Sizes and errors that a budget can choose from, whatever budget the request names. */
  front: { readonly give: { readonly request: Request; readonly data: readonly FileRef[] }; readonly get: Front };
  /** A paper's experiment, for those that fit a page. */
  reproduce: { readonly give: { readonly recipe: string }; readonly get: ReproductionReport };
  /** Manifests and the report of what was made. */
  beside: { readonly give: { readonly made: Made; readonly judgement?: Judgement }; readonly get: readonly MadeFile[] };
  /** Keeps a run's folder from other tabs: the worker that held it was ended. */
  hold: { readonly give: { readonly run: Run }; readonly get: void };
}
export type CallName = keyof Calls;

/** Told how far work is; `left` in seconds, about. */
export type Tell = (text: string, share?: number, left?: number) => void;

/** A failure as the page tells it: a sentence, and a way out where there is one. */
export interface Trouble { readonly message: string; readonly wayOut?: string }

export type Answer =
  | { readonly id: number; readonly kind: 'progress'; readonly text: string; readonly share?: number; /** Seconds, about. */ readonly left?: number }
  /** Bytes of the WebAssembly memories of the worker. */
  | { readonly kind: 'memory'; readonly bytes: number }
  | { readonly id: number; readonly kind: 'done'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'failed'; readonly trouble: Trouble };
