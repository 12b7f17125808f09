/** Runs a network that is no language model on inputs that are given, and says what comes out: classes, pictures or numbers. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { nodeTeam } from '../engine/kernels/lowbit-team-node.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors, FewbitError } from '../errors.ts';
import { bindFeeds } from '../evaluate/feeds.ts';
import { readOutput, type OutputReading } from '../evaluate/read-output.ts';
import { openFile } from '../files/fs-node.ts';
import { encodePng, writeNpy } from '../observe/data/index.ts';
import { openIntegerGraph } from '../runtime/integer-model.ts';
import { openData } from './data-node.ts';
import { silentProgress, type Progress } from './progress.ts';
import { checkSettings, parseSettings } from './settings.ts';
import { openSource } from './source-node.ts';
import type { SourceModel } from './source.ts';

const networkSettings = z.strictObject({
  model: z.string().min(1),
  data: z.string().min(1),
  /** How images become inputs. */
  input: z.string().optional(),
  /** Inputs that are run, from the first. */
  samples: z.coerce.number().int().positive().default(8),
  /** Classes that are told. */
  top: z.coerce.number().int().positive().default(5),
  /** File with a class per line. */
  names: z.string().min(1).optional(),
  /** Folder for pictures (PNG) and numbers (.npy). */
  output: z.string().min(1).optional(),
  threads: z.coerce.number().int().positive().max(256).default(2),
});
export type RunNetworkRequest = z.input<typeof networkSettings>;

type Told = Exclude<OutputReading, { kind: 'picture' }> | { readonly kind: 'picture' };
export type NetworkOutput = Told & { readonly name: string; readonly shape: readonly number[]; readonly file?: string };

export interface NetworkRun {
  readonly model: string;
  readonly engine: string;
  /** Why it is not ours. */
  readonly reason?: string;
  readonly samples: readonly { readonly sample: number; readonly seconds: number; readonly outputs: readonly NetworkOutput[] }[];
}

const errors = defineErrors('runNetwork', {
  language: (f: { model: string }) => [`${f.model} is a language model`, 'give it a --prompt; --data is for other networks, and fewbit evaluate judges on text'],
});

/** Lists of classes stay far below this. */
const maxNamesBytes = 10_000_000;

export async function runNetwork(request: RunNetworkRequest, progress: Progress = silentProgress): Promise<NetworkRun> {
  const { model, data, input, samples, top, names: namesFile, output, threads } = checkSettings(networkSettings, request);
  const names = namesFile === undefined ? undefined : await lines(namesFile);
  const source = await openSource(model, progress);
  try {
    if (source.language !== undefined) throw errors.language({ model });
    const { evaluation } = await openData(parseSettings({ model, output: '.', evalData: data, evaluationSamples: Number.MAX_SAFE_INTEGER, ...(input === undefined ? {} : { input }) }), source);
    const network = await openNetwork(source, threads);
    if (output !== undefined) await mkdir(output, { recursive: true });
    const done: { sample: number; seconds: number; outputs: NetworkOutput[] }[] = [];
    try {
      for (let sample = 0; sample < Math.min(samples, evaluation.count); sample++) {
        const feeds = bindFeeds((await evaluation.batch([sample])).feeds, source.graph.inputs.filter(({ name }) => !source.graph.weights.has(name)));
        const started = performance.now();
        const results = await network.run(feeds);
        const seconds = (performance.now() - started) / 1000;
        const outputs: NetworkOutput[] = [];
        for (const [name, tensor] of Object.entries(results)) outputs.push(await told(name, tensor, readOutput(tensor, { top, ...(names === undefined ? {} : { names }) }), output, sample));
        done.push({ sample, seconds, outputs });
      }
    } finally {
      await network.dispose();
    }
    return { model: source.name, engine: network.engine, ...(network.reason === undefined ? {} : { reason: network.reason }), samples: done };
  } finally {
    await source.close();
  }
}

interface OpenNetwork {
  readonly engine: string;
  readonly reason?: string;
  run(feeds: Feeds): Promise<Record<string, Tensor>>;
  dispose(): Promise<void>;
}

/** On our own kernels where the file computes in 8-bit codes that they take. */
async function openNetwork({ graph, location }: SourceModel, threads: number): Promise<OpenNetwork> {
  const coded = graph.nodes.some(({ op }) => /^(DequantizeLinear|ConvInteger|MatMulInteger)$/.test(op));
  let reason = 'it computes in floats';
  if (coded) {
    try {
      const { run, dispose } = await openIntegerGraph(graph, threads === 1 ? {} : { team: nodeTeam(threads) });
      return { engine: 'fewbit', run, dispose: async () => dispose() };
    } catch (error) {
      if (!(error instanceof FewbitError)) throw error;
      reason = error.message;
    }
  }
  const session = await ortNode.open({ path: location }, { threads });
  return { engine: ortNode.name, reason, run: async (feeds) => session.run(feeds), dispose: () => session.dispose() };
}

/** Pictures and numbers go to files of the folder, where one is given. */
async function told(name: string, tensor: Tensor, reading: OutputReading, folder: string | undefined, sample: number): Promise<NetworkOutput> {
  const stem = `${sample}-${name.replace(/[^\w.-]+/g, '_').slice(0, 80)}`;
  const file = folder === undefined || reading.kind === 'classes' ? undefined : `${stem}.${reading.kind === 'picture' ? 'png' : 'npy'}`;
  if (file !== undefined) await writeFile(join(folder!, file), reading.kind === 'picture' ? encodePng(reading.image) : writeNpy(tensor));
  const common = { name, shape: tensor.shape, ...(file === undefined ? {} : { file }) };
  return reading.kind === 'picture' ? { ...common, kind: 'picture' } : { ...common, ...reading };
}

async function lines(path: string): Promise<string[]> {
  const source = await openFile(path);
  try {
    return new TextDecoder().decode(await source.read(0, Math.min(source.size, maxNamesBytes))).split(/\r?\n/).map((line) => line.trim());
  } finally {
    await source.close();
  }
}
