/** What a run of `quantize` leaves behind: one value that the table, `--json`, the manifests and the report all show. */
import type { Allocation } from '../allocate/allocation.ts';
import type { GateFailure, Recommendation, Verdict } from '../evaluate/verdict.ts';
import type { LosingLayers } from './losing-layers.ts';

/** One tensor of one output. */
export interface TensorLine {
  readonly name: string;
  readonly shape: readonly number[];
  /** Stored type in the source, such as `f32`. */
  readonly source: string;
  /** Format in the output, such as `int4/g32`, `q4_k`, `f16`. */
  readonly target: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Σ(decoded − value)² and Σ value²; absent for tensors that kept their values. */
  readonly squaredError?: number;
  readonly sumOfSquares?: number;
  /** SHA-256 of the tensor's bytes as written, where the writer made one. */
  readonly sha256?: string;
  /** Why the tensor did not take the format that was asked for. */
  readonly fallback?: string;
  /** The format was given to this layer by itself. */
  readonly asked?: true;
}

/** A weight's values binned, with the levels that its codes can take, for the report. */
export interface WeightHistogram {
  readonly tensor: string;
  readonly format: string;
  readonly min: number;
  readonly max: number;
  /** Equal bins from min to max. */
  readonly counts: readonly number[];
  /** Decoded values that occur in one typical row or group, ascending. */
  readonly levels: readonly number[];
}

/** One file or folder that the run wrote. */
export interface Output {
  /** Path of the main file, relative to the output folder. */
  readonly file: string;
  /** Every file that ships, relative to the output folder, with sizes in bytes and SHA-256. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
  /** Identifies inputs, settings and version that the bytes depend on: a resumed run knows its own files by it. */
  readonly fingerprint?: string;
  readonly target: string;
  /** Short name of the scheme: `int8-static`, `q4_k`, `q4f16`. */
  readonly label: string;
  readonly recipe: string;
  /** How activations are treated: `float`, `static`, `dynamic`, or the format that inputs of layers take. */
  readonly activations?: string;
  /** Seconds that making the file took, before it was judged. */
  readonly seconds?: number;
  readonly tensors: readonly TensorLine[];
  readonly histograms: readonly WeightHistogram[];
  readonly verdict: Verdict;
  /** What a user should know: layers left float and why, engine limits. */
  readonly notes: readonly string[];
  /** How the formats of layers were chosen by measurement, where they were. */
  readonly allocation?: Allocation;
  /** Where static activations lose, for files that miss a gate. */
  readonly losing?: LosingLayers;
  readonly snippet: LoaderSnippet;
}

/** Code that loads an output, and what became of it when the run executed it in the output folder. */
export interface LoaderSnippet {
  readonly language: 'js';
  readonly code: string;
  /** The code ran to its end. */
  readonly executed: boolean;
  /** Why it did not, as half a sentence. */
  readonly reason?: string;
  /** The first line that it printed. */
  readonly printed?: string;
}

/** Where samples came from, and which were used for what. */
export interface DataUse {
  readonly name: string;
  readonly samples: number;
  /** SHA-256 over the tensors that were fed. */
  readonly sha256?: string;
}

/** How a file's network was trained. */
export interface TrainingCurve {
  readonly file: string;
  /** Loss of every step, those before an interruption included. */
  readonly losses: readonly number[];
  readonly stepsPerEpoch: number;
  /** Of this run. */
  readonly seconds: number;
}

export interface QuantizeResult {
  readonly tool: { readonly name: 'fewbit'; readonly version: string };
  readonly model: {
    readonly name: string;
    readonly origin: 'onnx' | 'huggingface' | 'gguf';
    readonly parameters: number;
    /** Bytes of the source's weights. */
    readonly bytes: number;
    readonly license?: string;
    readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
  };
  readonly calibration?: DataUse;
  readonly evaluation?: DataUse;
  /** Float model on the evaluation data, by metric name. */
  readonly float: { readonly bytes: number; readonly engine: string };
  readonly outputs: readonly Output[];
  readonly recommendation: Recommendation;
  readonly gates: readonly GateFailure[];
  /** Present where networks were trained. */
  readonly training?: readonly TrainingCurve[];
  /** Settings as they were understood. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly environment: { readonly node: string; readonly platform: string; readonly cpu: string; readonly threads: number; readonly engines: readonly string[] };
  readonly seconds: number;
}

/** What a run is going to do, before it does it. */
export interface QuantizePlan {
  readonly model: QuantizeResult['model'] & { readonly location: string };
  readonly outputs: readonly PlannedOutput[];
  readonly calibration?: DataUse;
  readonly evaluation?: DataUse;
  /** Peak memory of the conversion and of the verdict, bytes, estimated. */
  readonly memory: { readonly convert: number; readonly judge: number };
  readonly seconds: { readonly low: number; readonly high: number };
  /** Range of every input after preprocessing, where samples are at hand. */
  readonly inputs: readonly { readonly name: string; readonly shape: string; readonly low?: number; readonly high?: number; readonly warning?: string }[];
  readonly warnings: readonly string[];
}

export interface PlannedOutput {
  readonly file: string;
  readonly target: string;
  readonly label: string;
  readonly format: string;
  readonly recipe: string;
  readonly tensors: readonly TensorLine[];
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** What the file will hold beside these tensors that only data can tell, as half sentences. */
  readonly open?: readonly string[];
  /** Why the plan cannot be carried out as asked; empty when it can. */
  readonly refusals: readonly string[];
}
