/** A task turns pairs of outputs into a score. One file per task; `../tasks.ts` lists them. */
import type { Tensor } from '../../engine/tensor.ts';
import type { Batch, Labels } from '../../observe/data/dataset.ts';
import type { Score } from '../score.ts';

/** All outputs of one run, by name. */
export type Outputs = Readonly<Record<string, Tensor>>;

/** Collects the batches of one candidate. `main` names the judged output on each side. */
export interface Judge {
  add(batch: Batch, float: Outputs, candidate: Outputs, main: { readonly float: string; readonly candidate: string }): void;
  finish(): Pick<Score, 'error' | 'metrics' | 'items'>;
}

export interface Task {
  readonly name: string;
  /** One line for `--help`. */
  readonly summary: string;
  /** Labels it can use; without them only the outputs are compared. */
  readonly labels: Labels['kind'] | undefined;
  /** Whether every output is fetched, or the main one. */
  readonly outputs: 'all' | 'main';
  judge(options: TaskOptions): Judge;
}

export interface TaskOptions {
  /** Output pixels per input pixel at each border that are not judged, for `upscale`; the scale factor unless told. */
  readonly border?: number;
}
