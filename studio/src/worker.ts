/** All work of the Studio: reading, rounding, judging. The page only shows. */
import { loadHighsFrom } from '../../src/allocate/choose.ts';
import { FewbitError } from '../../src/errors.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Session } from '../../src/engine/session.ts';
import { measureLatency } from '../../src/evaluate/metrics/latency.ts';
import { bindFeeds } from '../../src/evaluate/feeds.ts';
import type { Score } from '../../src/evaluate/score.ts';
import { evaluate, taskNamed } from '../../src/evaluate/tasks.ts';
import type { Task } from '../../src/evaluate/tasks/task.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { quantizeFiles } from '../../src/jobs/quantize-web.ts';
import { seededDataset } from '../../src/jobs/seeded-data.ts';
import { openBlobs } from '../../src/jobs/source-web.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { tensorView } from '../../src/jobs/tensor-view.ts';
import { openGraph } from '../../src/observe/taps.ts';
import type { Dataset } from '../../src/observe/data/dataset.ts';
import type { Answer, CallName, Calls, Continuation, FileRef, JudgedFile, Made, MadeFile, OpenedModel } from './protocol.ts';
import { dataFrom } from './worker-data.ts';

loadHighsFrom(new URL('../solver/highs.mjs', import.meta.url).href);

let given: readonly FileRef[] = [];
let model: SourceModel | undefined;
let made: Made | undefined;

type Tell = (text: string, share?: number) => void;
type Handlers = { readonly [K in CallName]: (give: Calls[K]['give'], tell: Tell) => Promise<Calls[K]['get']> };

const opened = (): SourceModel => {
  if (model === undefined) throw new Error('no model is open');
  return model;
};

const handlers: Handlers = {
  async open({ files }) {
    await model?.close();
    [model, made] = [undefined, undefined];
    model = await openBlobs(files);
    given = files;
    const layers = new Set(linearSites(model.graph).map(({ id }) => id));
    const tensors = model.language === undefined ? model.graph.weights : model.language.tensors;
    const found: OpenedModel = {
      name: model.name, kind: model.kind, origin: model.origin, parameters: model.parameters, bytes: model.bytes,
      inputs: model.graph.inputs.map(({ name, shape }) => `${name} [${shape?.join(', ') ?? ''}]`),
      tensors: [...tensors.values()].map(({ name, shape, type, byteLength }) => ({ name, shape, type, bytes: byteLength, layer: layers.has(name) })),
    };
    return found;
  },

  async tensor({ name, formats }) {
    const site = linearSites(opened().graph).find(({ id }) => id === name);
    if (site === undefined) throw new Error(`${name} is not a matrix that is multiplied`);
    return tensorView(site, formats.map((format) => parseFormat(format)));
  },

  async heatMap({ formats }, tell) {
    const sites = [...new Map(linearSites(opened().graph).map((site) => [site.id, site])).values()];
    const parsed = formats.map((format) => parseFormat(format));
    const sqnr: (number | undefined)[][] = [];
    for (const [i, site] of sites.entries()) {
      sqnr.push((await tensorView(site, parsed)).formats.map((one) => one.sqnr));
      tell('errors of layers', (i + 1) / sites.length);
    }
    return { layers: sites.map(({ id }) => id), formats: parsed.map(({ name }) => name), sqnr };
  },

  async write({ prompt, tokens }, tell) {
    const { openTextModel } = await import('../../src/runtime/text-model.ts');
    const continued = async (name: string, source: SourceModel): Promise<Continuation> => {
      try {
        const text = await openTextModel(source.language!, { context: 1024 });
        const writing = text.write(prompt, { maxTokens: tokens });
        let shown = '';
        for (;;) {
          const next = await writing.next();
          if (next.done === true) return { model: name, text: next.value.text, tokensPerSecond: Math.max(0, next.value.ids.length - 1) / next.value.seconds.decode };
          shown += next.value;
          tell(`${name}: …${shown.slice(-60)}`);
        }
      } catch (error) {
        return { model: name, text: '', tokensPerSecond: 0, notRun: troubleOf(error).message };
      }
    };
    const all = [await continued('float', opened())];
    for (const { path, blob } of (made?.files ?? []).filter((file) => file.path.endsWith('.gguf'))) all.push(await continued(path, await openBlobs([{ name: path, blob }])));
    return all;
  },

  async quantize(request, tell) {
    const started = performance.now();
    let [phase, units] = ['', 0];
    const { files, plan, notes } = await quantizeFiles(given, {
      to: request.to, ...(request.weights === '' ? {} : { weights: request.weights }), ...(request.budget === undefined ? {} : { bits: String(request.budget) }), allowFallback: request.allowFallback, ...(request.keep === '' ? {} : { keep: request.keep }),
    }, {
      progress: {
        phase: (text, count) => { [phase, units] = [text, count ?? 0]; tell(text, 0); },
        advance: (done) => tell(phase, units > 0 ? done / units : undefined),
        line: (line) => tell(line.trim()),
        end: () => {},
      },
    });
    made = { files, outputs: plan.outputs, notes, seconds: (performance.now() - started) / 1000 };
    return made;
  },

  async judge({ data }, tell) {
    const source = opened();
    const dataset = data.length > 0 ? await dataFrom(data, source) : { task: taskNamed(source.kind === 'lm' ? 'lm' : 'generic'), set: seededDataset(source, { seed: 0, count: 16 }) };
    tell('load the float model');
    const engine = ortWeb(await import('onnxruntime-web/wasm') as unknown as OrtWebModule);
    const float = await openGraph(source.language?.graph() ?? source.graph, engine);
    const files: JudgedFile[] = [];
    try {
      for (const file of (made?.files ?? []).filter(({ path }) => /\.(onnx|gguf)$/.test(path))) files.push(await judged(file, float, dataset.set, dataset.task, engine, tell));
    } finally {
      await float.dispose();
    }
    return { data: dataset.set.name, samples: dataset.set.count, files };
  },
};

async function judged(file: MadeFile, float: Session, set: Dataset, task: Task, engine: ReturnType<typeof ortWeb>, tell: Tell): Promise<JudgedFile> {
  tell(`run ${file.path}`, 0);
  let session: Session;
  try {
    if (file.path.endsWith('.gguf')) {
      // No engine of this page loads GGUF: what it decodes to runs instead.
      const decoded = await openBlobs([{ name: file.path, blob: file.blob }]);
      session = await openGraph(decoded.language!.graph(), engine);
    } else session = await engine.open({ bytes: new Uint8Array(await file.blob.arrayBuffer()) });
  } catch (error) {
    return { path: file.path, figures: [], notJudged: troubleOf(error).message };
  }
  try {
    const [score] = await evaluate(task, float, [{ name: file.path, session }], set, { onProgress: (done) => tell(`run ${file.path}`, done / set.count) });
    const { feeds } = await set.batch([0]);
    const [, latency] = await measureLatency([['float', float], ['low-bit', session]].map(([name, one]) => ({ name: name as string, run: () => (one as Session).run(bindFeeds(feeds, (one as Session).inputs)) })), { warmup: 1, rounds: 8, budget: 2000 });
    return { path: file.path, figures: figuresOf(score), speed: latency.ratio };
  } finally {
    await session.dispose();
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

function troubleOf(error: unknown): { message: string; wayOut?: string } {
  if (error instanceof FewbitError) return { message: error.message, ...(error.wayOut === undefined ? {} : { wayOut: error.wayOut }) };
  return { message: error instanceof Error ? error.message : String(error) };
}

/** Calls one after the other: they share the model. */
let queue: Promise<unknown> = Promise.resolve();

self.onmessage = ({ data: { id, name, give } }: MessageEvent<{ id: number; name: CallName; give: never }>) => {
  const answer = (message: Answer): void => self.postMessage(message);
  const tell: Tell = (text, share) => answer({ id, kind: 'progress', text, ...(share === undefined ? {} : { share }) });
  queue = queue.then((): Promise<unknown> => handlers[name](give, tell)).then(
    (value) => answer({ id, kind: 'done', value }),
    (error: unknown) => answer({ id, kind: 'failed', trouble: troubleOf(error) }),
  );
};
