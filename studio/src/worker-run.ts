/** Quantizing: output goes to the private file system where there is one, so that a run outlives the page, and to memory elsewhere. */
import { defineErrors } from '../../src/errors.ts';
import { planFiles, quantizeFiles, type WebCalibration, type WebRequest } from '../../src/jobs/quantize-web.ts';
import { opfsStore } from '../../src/jobs/opfs-store.ts';
import type { PlannedOutput } from '../../src/jobs/result.ts';
import { blobStore } from '../../src/jobs/web-store.ts';
import type { Measurements } from '../../src/recipes/state.ts';
import type { Calls, FileRef, Made, Plan, Request, Tell } from './protocol.ts';
import { digestOf, digestOfFiles, dropRun, finishRun, holdRun, originOf, type Run } from './runs.ts';
import { timeLeft } from './time-left.ts';
import { dataFrom } from './worker-data.ts';
import { opened } from './worker-desk.ts';
import { lazyWasm, threads } from './worker-engine.ts';
import { measuredHere } from './worker-measured.ts';
import { size } from './words.ts';

const errors = defineErrors('room', {
  tooLarge: (f: { needed: string; given: string }) => [`the files take ${f.needed}, and the browser gives this page ${f.given}`, 'free disk space, or make fewer files at once'] as const,
  otherData: (f: { model: string }) => [`these are not the sample inputs that ${f.model} was calibrated on`, 'choose the same ones, or drop the interrupted run'] as const,
});

/** Samples that calibrate: as many as on the command line. */
const calibrationSamples = 64;

/** Identifies the bytes that a request gives: another build of this page is another program, and what the engine computes depends on the number of threads. */
const runId = async (fingerprint: string, request: Request, data: string | undefined): Promise<string | undefined> =>
  digestOf(new TextEncoder().encode(JSON.stringify([fingerprint, request, ...(data === undefined ? [] : [data, threads()]), import.meta.url])));

/** As the job asks for them. */
export const settingsOf = ({ to, weights, budget, recipe, allowFallback, keep, layers }: Request): WebRequest => ({
  to, allowFallback, ...(weights === '' ? {} : { weights }), ...(budget === undefined ? {} : { bits: String(budget) }), ...(recipe === '' ? {} : { recipe }), ...(keep === '' ? {} : { keep }), ...(layers === undefined ? {} : { layer: layers }),
});

export async function planOpen({ request }: Calls['plan']['give']): Promise<Plan> {
  const { outputs, seconds } = await planFiles(opened().folder, settingsOf(request), request.data === '' ? undefined : request.data);
  return { outputs, seconds };
}

let last: string | undefined;

/** Takes up what a worker that was ended had made: the next run takes its place. */
export async function holdMade({ run }: Calls['hold']['give']): Promise<void> {
  if (await holdRun(run) !== undefined) last = run.id;
}

export async function quantizeOpen(give: Calls['quantize']['give'], tell: Tell): Promise<Made> {
  const { folder, model, fingerprint, origin } = opened();
  const { request, data, goesOn } = give;
  const started = performance.now();
  const digest = data.length === 0 ? undefined : await digestOfFiles(data);
  if (goesOn !== undefined && goesOn.data?.digest !== digest) throw errors.otherData({ model: model.name });
  const id = await runId(fingerprint, request, digest);
  if (last !== undefined && last !== id) await dropRun(last);
  const run: Run | undefined = id === undefined ? undefined : {
    id, model: model.name, origin, fingerprint, request, started: Date.now(), ...(digest === undefined ? {} : { data: { origin: originOf(data), digest } }),
  };
  const held = run === undefined ? undefined : await holdRun(run);
  const place = held?.folder;
  last = place === undefined ? undefined : id;
  const { calibration, measurements } = await calibrated(request, data, digest);
  let [phase, before, all] = ['', 0, 0];
  let ends: number[] = [];
  let outputs: readonly PlannedOutput[] = [];
  const quota = place === undefined ? undefined : (await navigator.storage.estimate()).quota;
  const clock = timeLeft();
  const result = await quantizeFiles(folder, settingsOf(request), {
    store: place === undefined ? blobStore() : opfsStore(place),
    engine: lazyWasm, ...(calibration === undefined ? {} : { calibration }), ...(measurements === undefined ? {} : { measurements }),
    onPlan(plan) {
      ({ outputs } = plan);
      const needed = outputs.reduce((sum, { bytes }) => sum + bytes, 0);
      if (quota !== undefined && needed > quota) throw errors.tooLarge({ needed: size(needed), given: size(quota) });
      all = outputs.reduce((sum, { tensors }) => sum + weigh(tensors).at(-1)!, 0);
    },
    progress: {
      phase(text) {
        const at = outputs.findIndex(({ file }) => file === text);
        if (at >= 0) {
          before = outputs.slice(0, at).reduce((sum, { tensors }) => sum + weigh(tensors).at(-1)!, 0);
          ends = weigh(outputs[at].tensors);
        }
        phase = text;
        tell(text);
      },
      advance(done) {
        const share = (before + ends[Math.min(done, ends.length - 1)]) / all;
        tell(phase, share, clock(share));
      },
      line: (line) => tell(line.trim()),
      end: () => {},
    },
  });
  const finished = run === undefined || place === undefined ? undefined : await finishRun(run, result.files.map(({ path }) => path));
  return {
    request, files: result.files, outputs: result.plan.outputs, written: result.written, notes: result.notes, seconds: (performance.now() - started) / 1000,
    resumed: held?.existed === true, ...(data.length === 0 ? {} : { calibrated: data.map(({ name }) => name).join() }), ...(finished === undefined ? {} : { run: finished }),
  };
}

/** Bytes of the source before each tensor, and of all. */
function weigh(tensors: PlannedOutput['tensors']): number[] {
  const sums = [0];
  for (const { bytesBefore } of tensors) sums.push(sums.at(-1)! + bytesBefore);
  return sums;
}

/** The samples that calibrate, where there are any, and what was measured on them before. */
export async function calibrated({ input, keep }: Request, data: readonly FileRef[], digest?: string): Promise<{ readonly calibration?: WebCalibration; readonly measurements?: Measurements }> {
  const known = data.length === 0 ? undefined : digest ?? await digestOfFiles(data);
  const measurements = await measuredHere(keep, known === undefined ? undefined : { digest: known, input, samples: calibrationSamples });
  const kept = measurements === undefined ? {} : { measurements };
  if (data.length === 0) return kept;
  const { set, task } = await dataFrom(data, opened().model, { input, most: calibrationSamples, part: 'calibration' });
  return { calibration: { set, distance: task.name === 'lm' || task.name === 'classify' ? 'kl' : 'noise' }, ...kept };
}
