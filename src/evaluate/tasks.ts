/** The tasks, and the loop that runs a float model and its candidates over the same samples. */
import { defineErrors } from '../errors.ts';
import type { Session } from '../engine/session.ts';
import type { Dataset } from '../observe/data/dataset.ts';
import { bindFeeds, fixedBatch, mainOutput } from './feeds.ts';
import type { Score } from './score.ts';
import { classify } from './tasks/classify.ts';
import { detectFastestDet } from './tasks/detect.ts';
import { generic } from './tasks/generic.ts';
import { lm } from './tasks/lm.ts';
import type { Outputs, Task, TaskOptions } from './tasks/task.ts';
import { upscale } from './tasks/upscale.ts';

export const tasks: readonly Task[] = [classify, lm, upscale, detectFastestDet, generic];

const errors = defineErrors('task', {
  unknown: (f: { name: string }) => `unknown task: ${f.name} (known: ${tasks.map((task) => task.name).join(', ')})`,
  noSamples: (f: { data: string; batch: number }) => `${f.data}: fewer samples than the model's fixed batch of ${f.batch}`,
  notFinite: (f: { candidate: string; output: string; sample: number }) => `${f.candidate}: output ${f.output} has a value that is not finite at sample ${f.sample}`,
});

/** The task of that name. */
export function taskNamed(name: string): Task {
  const found = tasks.find((task) => task.name === name);
  if (found === undefined) throw errors.unknown({ name });
  return found;
}

/** The task that fits what is known about the samples. */
export function inferTask(dataset: Pick<Dataset, 'labels'>): Task {
  return tasks.find((task) => task.labels !== undefined && task.labels === dataset.labels) ?? generic;
}

export interface Candidate { readonly name: string; readonly session: Session }

export interface EvaluateOptions extends TaskOptions {
  /** Samples per run where the model allows; 8 unless told, 1 where samples differ in shape. */
  readonly batch?: number;
  /** Judges only the first so many samples. */
  readonly limit?: number;
  onProgress?(done: number, total: number): void;
}

/**
 * Runs the float model once and every candidate beside it over the data set; one score per candidate, in order.
 * Models with a fixed batch size get full batches only; `samples` in the score says how many were judged.
 */
export async function evaluate(task: Task, float: Session, candidates: readonly Candidate[], dataset: Dataset, options: EvaluateOptions = {}): Promise<Score[]> {
  const fixed = [float, ...candidates.map(({ session }) => session)].map(fixedBatch).find((size) => size !== undefined);
  const size = fixed ?? (dataset.uniform ? options.batch ?? 8 : 1);
  const limit = Math.min(dataset.count, options.limit ?? Infinity);
  const total = fixed === undefined ? limit : Math.floor(limit / fixed) * fixed;
  if (total === 0) throw errors.noSamples({ data: dataset.name, batch: size });
  const judges = candidates.map(() => task.judge(options));
  for (let begin = 0; begin < total; begin += size) {
    const batch = await dataset.batch(Array.from({ length: Math.min(size, total - begin) }, (_, i) => begin + i));
    const reference = await runOn('the float model', float, batch.feeds, task, begin);
    for (let i = 0; i < candidates.length; i++) {
      const { name, session } = candidates[i];
      const output = await runOn(name, session, batch.feeds, task, begin);
      judges[i].add(batch, reference.outputs, output.outputs, { float: reference.main, candidate: output.main });
    }
    options.onProgress?.(Math.min(begin + size, total), total);
  }
  return candidates.map(({ name }, i) => ({ candidate: name, task: task.name, data: dataset.name, samples: total, ...judges[i].finish() }));
}

async function runOn(name: string, session: Session, feeds: Parameters<typeof bindFeeds>[0], task: Task, sample: number): Promise<{ outputs: Outputs; main: string }> {
  const main = mainOutput(session);
  const outputs = await session.run(bindFeeds(feeds, session.inputs), task.outputs === 'main' ? [main] : undefined);
  for (const [output, { type, data }] of Object.entries(outputs)) {
    if ((type === 'f32' || type === 'f64') && !(data as Float32Array).every(Number.isFinite)) throw errors.notFinite({ candidate: name, output, sample });
    // Half floats: an exponent of all ones is infinity or not a number.
    if (type === 'f16' && (data as Uint16Array).some((bits) => (bits & 0x7c00) === 0x7c00)) throw errors.notFinite({ candidate: name, output, sample });
  }
  return { outputs, main };
}
