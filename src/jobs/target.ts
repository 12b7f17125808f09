/** What a kind of output file must offer: a plan of its tensors, and writing. One file per kind; `targets.ts` lists them. */
import type { Allocation } from '../allocate/allocation.ts';
import type { Imatrix } from '../files/imatrix.ts';
import type { ByteSink } from '../files/source.ts';
import type { Applied } from '../recipes/apply.ts';
import type { Recipe } from '../recipes/recipe.ts';
import type { Pool } from '../round/pool.ts';
import type { Progress } from './progress.ts';
import type { TensorLine, WeightHistogram } from './result.ts';
import type { Scheme, Target } from './schemes.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';

/** One output that a run will make. */
export interface OutputSpec {
  readonly target: Target;
  readonly scheme: Scheme;
  /** Undefined where weights keep their values. */
  readonly recipe: Recipe | undefined;
  /** Main file, relative to the output folder. */
  readonly file: string;
}

export interface TargetPlan {
  readonly tensors: readonly TensorLine[];
  /** Why a tensor cannot be written as asked; empty when all can. */
  readonly refusals: readonly string[];
  /** What the file will hold beside these tensors that only data can tell, as half sentences. */
  readonly open?: readonly string[];
}

export interface WriteContext {
  readonly model: SourceModel;
  readonly spec: OutputSpec;
  readonly settings: QuantizeSettings;
  readonly plan: TargetPlan;
  readonly pool: Pool;
  readonly progress: Progress;
  /** The recipe carried out on the model's graph; runs when first called. */
  apply(): Promise<Applied>;
  /** Mean squared input per column by weight name, observed on the calibration data; runs when first called. */
  importance(): Promise<ReadonlyMap<string, Float32Array>>;
  /** The importance matrix that the settings name, by GGUF names; absent where they name none. */
  imatrix?(): Promise<Imatrix>;
  /** A journaled sink for a file of the output folder; the caller commits it. */
  open(path: string): Promise<ByteSink>;
  /** Puts a small file that outputs share, at once; `content` sees what lies there, and an equal file is left alone. */
  share?(path: string, content: (present: Uint8Array | undefined) => Uint8Array): Promise<void>;
}

export interface Written {
  /** Relative to the output folder, the main file first. */
  readonly files: readonly string[];
  readonly tensors: readonly TensorLine[];
  readonly histograms: readonly WeightHistogram[];
  readonly notes: readonly string[];
  /** Bits of all tensors of the file as they lie in it; absent where the planned lines say as much. */
  readonly tensorBits?: number;
  /** How formats were chosen by measurement, where they were. */
  readonly allocation?: Allocation;
}

export interface TargetWriter {
  plan(model: SourceModel, spec: Omit<OutputSpec, 'file'>, settings: QuantizeSettings): Promise<TargetPlan>;
  write(context: WriteContext): Promise<Written>;
}

/** Commits all files of an output together, or drops them all. */
export async function committed(sinks: readonly ByteSink[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
    for (const sink of sinks) await sink.commit();
  } catch (error) {
    await Promise.all(sinks.map((sink) => sink.abort()));
    throw error;
  }
}
