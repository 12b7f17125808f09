/** Runs what was made beside the float model, in this page: figures, speed on WASM and WebGPU, and answers to single samples. */
import { defineErrors } from '../../src/errors.ts';
import type { ExternalFiles } from '../../src/engine/ort-web.ts';
import type { Engine, Session } from '../../src/engine/session.ts';
import { bindFeeds, mainOutput } from '../../src/evaluate/feeds.ts';
import { measureLatency, type Latency } from '../../src/evaluate/metrics/latency.ts';
import type { Score } from '../../src/evaluate/score.ts';
import { evaluate, taskNamed } from '../../src/evaluate/tasks.ts';
import { onBackend } from '../../src/evaluate/verdict.ts';
import { seededDataset } from '../../src/jobs/seeded-data.ts';
import { openBlobs } from '../../src/jobs/source-web.ts';
import { openGraph } from '../../src/observe/taps.ts';
import type { Dataset } from '../../src/observe/data/dataset.ts';
import { answerOf } from './answers.ts';
import type { Calls, JudgedFile, Judgement, Made, MadeFile, SeenSample, Speed, Tell } from './protocol.ts';
import { troubleOf } from './trouble.ts';
import { dataFrom, type JudgingData } from './worker-data.ts';
import { opened, type Desk } from './worker-desk.ts';
import { engineText, wasmEngine, webGpuEngine, withoutWebGpu } from './worker-engine.ts';
import { size } from './words.ts';

/** Samples that judge: seconds in a page. */
const most = { lm: 8, onnx: 256 } as const;
/** Samples that are looked at one by one. */
const mostSeen = 4;
/** Of a model that runs: a page's memory ends near 4 GB, and the engine holds a model twice while it opens it. */
const mostBytes = 1.2e9;

/** Why GGUF files have no time beside the float model's. */
const ownSpeed = 'GGUF files run on the low-bit engine of this page, which tells their tokens a second where they write';

const errors = defineErrors('judge', {
  tooLarge: (f: { gigabytes: string }) => [`the float model takes ${f.gigabytes} GB in memory, more than a page can run`, 'judge it with the command, on this machine and outside of the browser'] as const,
  fileTooLarge: (f: { size: string }) => [`the file has ${f.size}, more than a page can run`, 'judge it with the command, on this machine and outside of the browser'] as const,
  nothingToSee: (f: { shape: string }) => [`outputs [${f.shape}] are neither classes nor images`, 'the table of figures says how far they moved'] as const,
});

const judgeable = ({ files }: Made): MadeFile[] => files.filter(({ path }) => /\.(onnx|gguf)$/.test(path));

async function openFloat({ model }: Desk, engine: Engine): Promise<Session> {
  if (4 * model.parameters > mostBytes) throw errors.tooLarge({ gigabytes: ((4 * model.parameters) / 1e9).toFixed(1) });
  return openGraph(model.language?.graph() ?? model.graph, engine);
}

const bytesOf = async ({ blob }: MadeFile): Promise<Uint8Array> => new Uint8Array(await blob.arrayBuffer());

async function openMade(made: Made, file: MadeFile, engineWith: (external: ExternalFiles) => Promise<Engine>): Promise<Session> {
  const { path, blob } = file;
  const data = made.files.find((one) => one.path === `${path}_data`);
  if (blob.size + (data?.blob.size ?? 0) > mostBytes) throw errors.fileTooLarge({ size: size(blob.size + (data?.blob.size ?? 0)) });
  const engine = await engineWith(new Map(data === undefined ? [] : [[data.path.slice(data.path.lastIndexOf('/') + 1), await bytesOf(data)]]));
  if (!path.endsWith('.gguf')) return engine.open({ bytes: await bytesOf(file) });
  // No engine of this page loads GGUF: what it decodes to runs instead.
  const decoded = await openBlobs([{ name: path, blob }]);
  return openGraph(decoded.language!.graph(), engine);
}

async function dataOf({ model }: Desk, { made, data, input }: Calls['judge']['give'], samples: number): Promise<JudgingData> {
  // What calibrated the files does not judge them, where the same inputs are given for both.
  const calibrated = made.calibrated !== undefined && data.map(({ name }) => name).join() === made.calibrated;
  if (data.length > 0) return dataFrom(data, model, { input, most: samples, ...(calibrated ? { part: 'evaluation' as const } : {}) });
  return { task: taskNamed(model.kind === 'lm' ? 'lm' : 'generic'), set: seededDataset(model, { seed: 0, count: 16 }) };
}

export async function judgeMade(give: Calls['judge']['give'], tell: Tell): Promise<Judgement> {
  const source = opened();
  const { set, task } = await dataOf(source, give, most[source.model.kind]);
  tell('load the float model');
  const wasm = await wasmEngine();
  const runner = await engineText();
  const noGpu = await withoutWebGpu();
  const files: JudgedFile[] = [];
  const float = await openFloat(source, wasm);
  const floatGpu = noGpu === undefined ? await openFloat(source, await webGpuEngine()).catch((error: unknown) => troubleOf(error).message) : noGpu;
  try {
    for (const file of judgeable(give.made)) {
      const { path } = file;
      tell(`run ${path}`, 0);
      try {
        const session = await openMade(give.made, file, wasmEngine);
        try {
          const [score] = await evaluate(task, float, [{ name: path, session }], set, { onProgress: (done) => tell(`run ${path}`, done / set.count) });
          if (path.endsWith('.gguf')) {
            // What it decodes to takes the time of the float model, whatever the file.
            files.push({ path, figures: figuresOf(score), speeds: (['WASM', 'WebGPU'] as const).map((backend) => ({ backend, why: ownSpeed })), verdict: { score, loads: [], latency: [] } });
            continue;
          }
          const latency = await timed(float, session, set);
          const onGpu = typeof floatGpu === 'string' ? floatGpu : await onWebGpu(floatGpu, give.made, file, set);
          files.push({
            path, figures: figuresOf(score), speeds: [speed('WASM', latency), typeof onGpu === 'string' ? { backend: 'WebGPU', why: onGpu } : speed('WebGPU', onGpu)],
            verdict: { score, loads: [runner], latency: [onBackend('wasm', latency), ...(typeof onGpu === 'string' ? [] : [onBackend('webgpu', onGpu)])] },
          });
        } finally {
          await session.dispose();
        }
      } catch (error) {
        const { message } = troubleOf(error);
        files.push({ path, figures: [], notJudged: message, speeds: [], verdict: { notJudged: message, latency: [], loads: [] } });
      }
    }
  } finally {
    await float.dispose();
    if (typeof floatGpu !== 'string') await floatGpu.dispose();
  }
  return { data: { name: set.name, samples: set.count }, files };
}

const speed = (backend: Speed['backend'], { ratio, median }: Latency): Speed => ({ backend, ratio, median });

async function timed(float: Session, session: Session, set: Dataset): Promise<Latency> {
  const { feeds } = await set.batch([0]);
  const [, latency] = await measureLatency(Object.entries({ float, 'low-bit': session }).map(([name, one]) => ({ name, run: () => one.run(bindFeeds(feeds, one.inputs)) })), { warmup: 1, rounds: 8, budget: 2000 });
  return latency;
}

/** Time on WebGPU; a sentence where the file does not run there. */
async function onWebGpu(float: Session, made: Made, file: MadeFile, set: Dataset): Promise<Latency | string> {
  try {
    const session = await openMade(made, file, webGpuEngine);
    try {
      return await timed(float, session, set);
    } finally {
      await session.dispose();
    }
  } catch (error) {
    return troubleOf(error).message;
  }
}

export async function compareMade(give: Calls['compare']['give'], tell: Tell): Promise<SeenSample[]> {
  const source = opened();
  const { set } = await dataOf(source, give, mostSeen);
  tell('load the float model');
  const wasm = await wasmEngine();
  const float = await openFloat(source, wasm);
  const sessions = [{ model: 'float', session: float }];
  try {
    for (const file of judgeable(give.made)) sessions.push({ model: file.path, session: await openMade(give.made, file, wasmEngine) });
    const seen: SeenSample[] = [];
    for (let i = 0; i < Math.min(set.count, mostSeen); i++) {
      const { feeds } = await set.batch([i]);
      const answers: SeenSample['answers'][number][] = [];
      let reference;
      for (const { model, session } of sessions) {
        const main = mainOutput(session);
        const output = (await session.run(bindFeeds(feeds, session.inputs), [main]))[main];
        reference ??= output;
        const answer = answerOf(output, reference, set.categories);
        if (answer === undefined) throw errors.nothingToSee({ shape: output.shape.join(', ') });
        answers.push({ model, ...answer });
      }
      seen.push({ name: `${set.name}, ${i + 1}`, answers });
      tell('run', (i + 1) / Math.min(set.count, mostSeen));
    }
    return seen;
  } finally {
    for (const { session } of sessions) await session.dispose();
  }
}

function figuresOf({ error, metrics }: Score): JudgedFile['figures'] {
  const { kl, agreement, sqnr } = error;
  return [
    // Perplexity is the same thing, in the unit that people know.
    ...metrics.filter(({ name }) => name !== 'nll').map(({ name, float, quantized, unit }) => ({ name, value: `${float.toFixed(2)} → ${quantized.toFixed(2)}${unit === '' ? '' : ` ${unit}`}`, meaning: 'float model → this file' })),
    ...(agreement === undefined ? [] : [{ name: 'same first choice', value: `${(100 * agreement).toFixed(1)} %`, meaning: 'how often both models choose alike' }]),
    ...(kl === undefined ? [] : [{ name: 'KL', value: kl.mean.toPrecision(3), meaning: 'distance of the probabilities; 0 is equal' }]),
    ...(sqnr === undefined ? [] : [{ name: 'SQNR', value: `${sqnr === Infinity ? '∞' : sqnr.toFixed(1)} dB`, meaning: 'signal over error of the outputs; more is nearer' }]),
  ];
}
