/** Runs written files in the engines that will load them, beside the float model, on inputs that calibrated nothing. */
import { createRequire } from 'node:module';
import { hasLlamaCpp, llamaCpp } from '../engine/llama-cpp-node.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds, Session } from '../engine/session.ts';
import { bindFeeds, fixedBatch } from '../evaluate/feeds.ts';
import { measureLatency } from '../evaluate/metrics/latency.ts';
import type { Score } from '../evaluate/score.ts';
import { evaluate } from '../evaluate/tasks.ts';
import { onBackend, type Verdict } from '../evaluate/verdict.ts';
import { openGraph } from '../observe/taps.ts';
import type { Data } from './data-node.ts';
import type { Progress } from './progress.ts';
import type { Target } from './schemes.ts';
import { openSource } from './source-node.ts';
import type { SourceModel } from './source.ts';

export interface Judged {
  readonly score?: Score;
  readonly notJudged?: string;
  readonly latency: Verdict['latency'];
  readonly loads: readonly string[];
}

export interface JudgeItem {
  readonly name: string;
  readonly target: Target;
  /** Absolute path of the file that the engine loads. */
  readonly path: string;
}

const version = (name: string): string => {
  try {
    return `${name} ${(createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version}`;
  } catch {
    return name;
  }
};

/** Milliseconds that all timings of one run may take. */
const timingBudget = 6000;

export async function judge(model: SourceModel, data: Data, items: readonly JudgeItem[], options: { readonly threads: number; readonly progress: Progress }): Promise<Judged[]> {
  const { threads, progress } = options;
  const sessions: Session[] = [];
  const opened: { item: JudgeItem; session?: Session; notJudged?: string; loads: string[]; backend: string }[] = [];
  try {
    const float = await openFloat(model, threads);
    sessions.push(float);
    for (const item of items) {
      const result = await openItem(item, threads);
      opened.push({ item, ...result });
      if (result.session !== undefined) sessions.push(result.session);
    }
    const running = opened.filter((entry) => entry.session !== undefined);
    progress.phase('judge', Math.max(1, data.evaluation.count));
    const scores = running.length === 0 ? [] : await evaluate(
      data.task, float, running.map(({ item, session }) => ({ name: item.name, session: session! })), data.evaluation,
      { onProgress: (done) => progress.advance(done) },
    );
    progress.end();
    const latency = await timings(float, running.map(({ session, backend }) => ({ session: session!, backend })), data, progress);
    return opened.map(({ session, notJudged, loads, backend }) => {
      const at = running.findIndex((entry) => entry.session === session);
      if (session === undefined || at < 0) return { notJudged: notJudged ?? 'no engine loads it here', latency: [], loads };
      return { score: scores[at], latency: latency === undefined || backend === 'decoded' ? [] : [onBackend(backend, latency[at])], loads };
    });
  } finally {
    for (const session of sessions) await session.dispose();
  }
}

/** The float model: the source file itself where it is one, else the graph built from it, in float32. */
async function openFloat(model: SourceModel, threads: number): Promise<Session> {
  if (model.origin === 'onnx' && model.files.length > 0) return openOnnxFile(model.location, threads);
  return openGraph(model.graph, ortNode, { threads });
}

async function openItem(item: JudgeItem, threads: number): Promise<{ session?: Session; notJudged?: string; loads: string[]; backend: string }> {
  if (item.target === 'gguf' && (await hasLlamaCpp())) {
    return { session: await llamaCpp.open({ path: item.path }, { threads }), loads: [`llama.cpp (${version('node-llama-cpp')})`], backend: 'llama.cpp' };
  }
  if (item.target === 'gguf' || item.target === 'safetensors') {
    // No engine at hand loads these: what they decode to runs in ONNX Runtime.
    const { graph, close } = await openSource(item.path);
    const session = await openGraph(graph, ortNode, { threads }).finally(close);
    return { session, loads: [], backend: 'decoded' };
  }
  return { session: await openOnnxFile(item.path, threads), loads: [version('onnxruntime-node')], backend: 'cpu' };
}

/** A file in ONNX Runtime; where it leaves the width of keys and values open, they have that of its graph. */
async function openOnnxFile(path: string, threads: number): Promise<Session> {
  const session = await ortNode.open({ path }, { threads });
  if (!session.inputs.some(({ name, shape }) => name.startsWith('past_') && shape?.length === 4 && typeof shape[3] !== 'number')) return session;
  const { graph: { inputs }, close } = await openSource(path);
  await close();
  const known = new Map(inputs.map((input) => [input.name, input]));
  return { ...session, inputs: session.inputs.map((input) => known.get(input.name) ?? input) };
}

/** All candidates in turn on one sample; ratios to the float model. */
async function timings(float: Session, candidates: readonly { readonly session: Session; readonly backend: string }[], data: Data, progress: Progress) {
  if (candidates.length === 0) return undefined;
  progress.phase('time');
  const { feeds } = await data.evaluation.batch(Array.from({ length: fixedBatch(float) ?? 1 }, (_, i) => i));
  const timed = [{ session: float, backend: 'cpu' }, ...candidates].map(({ session, backend }, i) => {
    const bound: Feeds = bindFeeds(feeds, session.inputs);
    return { name: String(i), run: () => (backend === 'llama.cpp' ? session.run(bound, []) : session.run(bound)) };
  });
  const all = await measureLatency(timed, { warmup: 2, rounds: 20, budget: timingBudget });
  progress.end();
  return all.slice(1);
}
