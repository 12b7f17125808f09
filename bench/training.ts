/**
 * Milliseconds of one training step (forward, gradients, SGD update) on two threads, best of interleaved runs, beside
 * jax-js and, where FEWBIT_PYTHON names an interpreter that has it, PyTorch: npm run bench training [models]
 * Then where the time goes, by operator, and the same step with low-rank adapters alone.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-node';
import { wrapSession } from '../src/engine/ort.ts';
import { ortNode } from '../src/engine/ort-node.ts';
import type { Engine } from '../src/engine/session.ts';
import { linearSites } from '../src/graph/linear.ts';
import { trainBatchNorm } from '../src/graph/train-batchnorm.ts';
import { insertAdapters } from '../src/train/adapters.ts';
import { classification } from '../src/train/objective.ts';
import { sgd } from '../src/train/optimizers.ts';
import { trainableWeights } from '../src/train/parameters.ts';
import { Trainer } from '../src/train/trainer.ts';
import { jaxSteps } from './training/jax.ts';
import { models, type BenchModel } from './training/models.ts';

const threads = 2;
const assets = process.env.FEWBIT_ASSETS ?? fileURLToPath(new URL('../../shared/assets', import.meta.url));
const wanted = process.argv.slice(2);
/** Rounds, and the seconds after which a model's rounds end. */
const [rounds, limit] = [30, 40];

/** Times as fast as the peer that we mean to be. */
const goals: Readonly<Record<string, { readonly torch: number; readonly jax?: number }>> = {
  mlp: { torch: 0.9 }, cnn: { torch: 0.5, jax: 20 }, transformer: { torch: 0.9, jax: 4 }, resnet20: { torch: 0.5 }, llama: { torch: 0.9 },
};

/** Of adapters that are timed. */
const rank = 8;

/** A step of the adapters of every matrix product, the rest frozen; undefined where there are fewer than three. */
async function adapted(model: BenchModel): Promise<(() => Promise<unknown>) | undefined> {
  const objective = classification(model.graph, { logits: model.graph.outputs[0].name });
  const { graph, adapters } = insertAdapters(objective.graph, linearSites(model.graph), { rank, alpha: rank });
  if (adapters.length < 3) return undefined;
  const made = await Trainer.open(graph, { engine: ortNode, loss: objective.loss, session: { threads }, groups: [{ names: adapters.flatMap(({ a, b }) => [a, b]), optimizer: sgd(), rate: 0.01 }] });
  return () => made.step({ ...model.feeds, labels: model.labels });
}

async function trainer(model: BenchModel, engine: Engine = ortNode): Promise<() => Promise<unknown>> {
  const objective = classification(model.graph, { logits: model.graph.outputs[0].name });
  const { graph, carry } = await trainBatchNorm(objective.graph, { chosen: () => true });
  const { matrices, others } = trainableWeights(model.graph);
  const made = await Trainer.open(graph, {
    engine, loss: objective.loss, session: { threads }, groups: [{ names: [...matrices, ...others], optimizer: sgd(), rate: 0.01 }],
    carry,
  });
  return () => made.step({ ...model.feeds, labels: model.labels });
}

interface Torch { step(name: string): Promise<number>; end(): void }

function torch(): Torch | undefined {
  const python = process.env.FEWBIT_PYTHON;
  if (python === undefined) return undefined;
  const child = spawn(python, [fileURLToPath(new URL('./training/torch_step.py', import.meta.url)), String(threads)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async step(name) {
      child.stdin.write(`${name}\n`);
      return Number(String((await lines.next()).value).split(' ')[0]);
    },
    end: () => child.stdin.end(),
  };
}

const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await run();
  return performance.now() - start;
};
const best = (times: readonly number[]): number => Math.min(...times);
const middle = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];

/** Share of the engine's time by operator, from its own profile. */
async function profile(model: BenchModel): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'fewbit-profile-'));
  let session: ort.InferenceSession | undefined;
  const engine: Engine = {
    ...ortNode,
    async open(bytes) {
      const options: ort.InferenceSession.SessionOptions = {
        enableProfiling: true, profileFilePrefix: join(folder, 'step'), intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all', logSeverityLevel: 4,
      };
      session = 'bytes' in bytes ? await ort.InferenceSession.create(bytes.bytes, options) : await ort.InferenceSession.create(bytes.path, options);
      return wrapSession(session as never, ort.Tensor as never);
    },
  };
  try {
    const step = await trainer(model, engine);
    for (let i = 0; i < 5; i++) await step();
    session!.endProfiling();
    const [file] = readdirSync(folder);
    const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { cat: string; dur: number; args?: { op_name?: string } }[];
    const sums = new Map<string, number>();
    let total = 0;
    for (const { cat, dur, args } of events) {
      if (cat !== 'Node' || args?.op_name === undefined) continue;
      sums.set(args.op_name, (sums.get(args.op_name) ?? 0) + dur);
      total += dur;
    }
    return [...sums].sort((a, b) => b[1] - a[1]).slice(0, 10).map(([op, sum]) => `${op} ${((100 * sum) / total).toFixed(0)} %`).join(', ');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const peer = torch();
const jax = await jaxSteps();
let missed = 0;
for (const model of await models(existsSync(join(assets, 'cnn-resnet-cifar10')) ? assets : undefined)) {
  if (wanted.length > 0 && !wanted.includes(model.name)) continue;
  const ours = await trainer(model);
  const narrow = await adapted(model);
  const theirs = jax(model.name);
  const times = { ours: [] as number[], adapted: [] as number[], torch: [] as number[], jax: [] as number[] };
  const started = performance.now();
  for (let round = 0; round < rounds && performance.now() - started < 1000 * limit; round++) {
    times.ours.push(await timed(ours));
    if (narrow !== undefined) times.adapted.push(await timed(narrow));
    if (peer !== undefined) times.torch.push(await peer.step(model.name));
    if (theirs !== undefined && round < 8) times.jax.push(await timed(theirs));
  }
  const told = (name: string, list: readonly number[]): string => (list.length === 0 ? '' : `${name} ${best(list).toFixed(1)} ms (middle ${middle(list).toFixed(1)}), ours ${(best(list) / best(times.ours)).toFixed(2)}× as fast`);
  console.log(`${model.name}: ${best(times.ours).toFixed(1)} ms (middle ${middle(times.ours).toFixed(1)}, ${times.ours.length} runs)  ${[told('torch', times.torch), told('jax-js', times.jax)].filter((text) => text !== '').join('; ')}`);
  if (narrow !== undefined) console.log(`  adapters of rank ${rank} alone: ${best(times.adapted).toFixed(1)} ms (middle ${middle(times.adapted).toFixed(1)})`);
  const goal = goals[model.name];
  for (const [name, factor, list] of [['torch', goal.torch, times.torch], ['jax-js', goal.jax, times.jax]] as const) {
    if (factor === undefined || list.length === 0 || best(list) / best(times.ours) >= factor) continue;
    missed++;
    console.log(`  below the goal of ${factor}× against ${name}`);
  }
  console.log(`  ${await profile(model)}`);
}
peer?.end();
process.exit(missed > 0 ? 1 : 0);
