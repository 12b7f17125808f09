/** All work of the Studio: reading, rounding, judging. The page only shows. */
import { wasmBytes } from './wasm-memory.ts';
import { loadHighsFrom } from '../../src/allocate/choose.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { linearSites, weightSites } from '../../src/graph/linear.ts';
import { openModelIn } from '../../src/jobs/source-web.ts';
import { tensorView } from '../../src/jobs/tensor-view.ts';
import { outlineOf } from './outline.ts';
import type { Answer, CallName, Calls, Tell } from './protocol.ts';
import { troubleOf } from './trouble.ts';
import { desk, fingerprintOf, folderOf, hubId, opened } from './worker-desk.ts';
import { frontFor } from './worker-front.ts';
import { compareMade, judgeMade } from './worker-judge.ts';
import { holdMade, planOpen, quantizeOpen } from './worker-run.ts';

loadHighsFrom(new URL('../solver/highs.mjs', import.meta.url).href);

type Handlers = { readonly [K in CallName]: (give: Calls[K]['give'], tell: Tell) => Promise<Calls[K]['get']> };

const handlers: Handlers = {
  async open(given) {
    const { folder, origin } = await folderOf(given);
    const model = await openModelIn(folder);
    const fingerprint = await fingerprintOf(folder, origin);
    // What was open stays so until the next one is.
    await desk.open?.model.close();
    desk.open = { folder, origin, model, fingerprint };
    const layers = new Set(linearSites(model.graph).map(({ id }) => id));
    const tensors = model.language === undefined ? model.graph.weights : model.language.tensors;
    return {
      name: model.name, kind: model.kind, origin: model.origin, parameters: model.parameters, bytes: model.bytes, fingerprint, blocks: outlineOf(model),
      argument: given.kind === 'hub' ? hubId(given.id) : `${model.name}${model.origin === 'onnx' ? '.onnx' : model.origin === 'gguf' ? '.gguf' : ''}`,
      inputs: model.graph.inputs.map(({ name, shape }) => `${name} [${shape?.join(', ') ?? ''}]`),
      tensors: [...tensors.values()].map(({ name, shape, type, byteLength }) => ({ name, shape, type, bytes: byteLength, layer: layers.has(name) })),
    };
  },

  async tensor({ name, formats }) {
    const site = linearSites(opened().model.graph).find(({ id }) => id === name);
    if (site === undefined) throw new Error(`${name} is not a matrix that is multiplied`);
    return tensorView(site, formats.map((format) => parseFormat(format)));
  },

  async heatMap({ formats }, tell) {
    const sites = weightSites(opened().model.graph);
    const parsed = formats.map((format) => parseFormat(format));
    const sqnr: (number | undefined)[][] = [];
    for (const [i, site] of sites.entries()) {
      sqnr.push((await tensorView(site, parsed)).formats.map((one) => one.sqnr));
      tell('errors of layers', (i + 1) / sites.length);
    }
    return { layers: sites.map(({ id }) => id), formats: parsed.map(({ name }) => name), sqnr };
  },

  // Brings the low-bit engine.
  write: async (give, tell) => (await import('./worker-write.ts')).writeOn(give, tell),

  plan: planOpen,
  quantize: quantizeOpen,
  hold: holdMade,

  judge: judgeMade,
  compare: compareMade,
  front: frontFor,
  // Brings training with it.
  reproduce: async (give, tell) => (await import('./worker-reproduce.ts')).reproduceHere(give, tell),
  // Brings the report's plots, which nothing else here needs.
  beside: async (give, tell) => (await import('./worker-beside.ts')).writeBeside(give, tell),
};

/** How often the page is told what memory the kernels and engines take, while there is work. */
const memoryMs = 500;
let told = 0;
setInterval(() => {
  const bytes = wasmBytes();
  if (bytes !== told) self.postMessage({ kind: 'memory', bytes: told = bytes } satisfies Answer);
}, memoryMs);

/** Calls one after the other: they share the model. */
let queue: Promise<unknown> = Promise.resolve();

self.onmessage = ({ data: { id, name, give } }: MessageEvent<{ id: number; name: CallName; give: never }>) => {
  const answer = (message: Answer): void => self.postMessage(message);
  const tell: Tell = (text, share, left) => answer({ id, kind: 'progress', text, ...(share === undefined ? {} : { share }), ...(left === undefined ? {} : { left }) });
  queue = queue.then((): Promise<unknown> => handlers[name](give, tell)).then(
    (value) => answer({ id, kind: 'done', value }),
    (error: unknown) => answer({ id, kind: 'failed', trouble: troubleOf(error) }),
  );
};
