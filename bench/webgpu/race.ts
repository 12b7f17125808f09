/** What is raced in `bench/webgpu.ts`: chains on our kernels, and on ONNX Runtime in a process beside it. */
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gpu, type Step } from '../../src/engine/webgpu/gpu.ts';
import { fileSink } from '../../src/files/fs-node.ts';
import { writeOnnx } from '../../src/files/onnx.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { encodeF16, f16ToF32 } from '../../src/numeric/half.ts';
import { median, minMax } from '../../src/numeric/statistics.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import type { Answer, Feed, Request } from './peer.ts';

export const scale = Number(process.env.FEWBIT_BENCH_SCALE ?? 1);
export const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
export const raw: Record<string, unknown> = {};

const require = createRequire(import.meta.url);
const { create, globals } = require(process.env.FEWBIT_DAWN ?? 'webgpu') as { create(options: string[]): GPU; globals: Record<string, unknown> };
Object.assign(globalThis, globals);
// Without limits on lengths of loops and ranges of indices, as ONNX Runtime runs its own kernels.
// Kept: devices end with what they came from.
export const dawn = create(['enable-dawn-features=allow_unsafe_apis,skip_validation,vulkan_enable_f16_on_nvidia', 'disable-dawn-features=lazy_clear_resource_on_first_use']);
export const gpu = await Gpu.open({ gpu: dawn });
console.log(`${gpu.name}; ${Object.entries(gpu.able).filter(([, has]) => has).map(([name]) => name).join(', ')}`);
raw.device = gpu.name;

let state = 1;
/** Uniform in [−1, 1): fast, and the same everywhere. */
const noise = (): number => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 31 - 1; };
export function values(count: number, size = 1): Float32Array {
  const made = new Float32Array(count);
  for (let i = 0; i < count; i++) made[i] = noise() * size;
  return made;
}

export interface Contender {
  readonly name: string;
  /** Runs a chain of this length; gives milliseconds. */
  run(length: number): Promise<number>;
  readonly short: number;
  readonly long: number;
  /** Farthest value from the plain twin, as a share of the root mean square. */
  error(): Promise<number>;
  dispose(): Promise<void>;
}

export async function race(title: string, contenders: readonly Contender[]): Promise<void> {
  console.log(`\n${title}`);
  const times = contenders.map((): number[] => []);
  const problems = new Map<Contender, string>();
  const attempt = async (contender: Contender, run: () => Promise<void>): Promise<void> => {
    if (!problems.has(contender)) await run().catch((problem: Error) => problems.set(contender, problem.message.slice(0, 150)));
  };
  for (const contender of contenders) await attempt(contender, async () => { for (const length of [contender.long, contender.short]) await contender.run(length); });
  for (let run = 0; run < runs; run++) {
    for (const [i, contender] of contenders.entries()) {
      const { run: go, short, long } = contender;
      await attempt(contender, async () => { times[i].push((1000 * (await go(long) - await go(short))) / (long - short)); });
    }
  }
  const kept: Record<string, unknown> = {};
  for (const [i, contender] of contenders.entries()) {
    let far = NaN;
    await attempt(contender, async () => { far = await contender.error(); });
    const problem = problems.get(contender);
    const { min, max } = minMax(times[i]);
    console.log(`  ${contender.name.padEnd(46)} ${problem ?? `${median(times[i]).toFixed(1)} µs (${min.toFixed(1)}–${max.toFixed(1)}), ${(median(times[i]) / median(times[0])).toFixed(2)} of the first one's time; error ${far.toExponential(1)}`}`);
    kept[contender.name] = problem ?? { microseconds: times[i], error: far };
    await contender.dispose().catch(() => {});
  }
  raw[title] = kept;
}

/** A contender on our kernels: steps of one link over different weights. */
export function ours(name: string, link: (i: number) => Step[], error: () => Promise<number>, [short, long]: readonly [number, number]): Contender {
  const made = Array.from({ length: long }, (_, i) => link(i));
  return {
    name, short, long, error, dispose: async () => {},
    async run(length) {
      const started = performance.now();
      gpu.run(made.slice(0, length).flat());
      await gpu.device.queue.onSubmittedWorkDone();
      return performance.now() - started;
    },
  };
}

/** Fastest of some shapes of a kernel. */
export async function fastest<T>(what: string, shapes: readonly T[], link: (shape: T, i: number) => Step[], length: number): Promise<T> {
  const times: number[] = [];
  for (const shape of shapes) {
    const steps = Array.from({ length }, (_, i) => link(shape, i)).flat();
    const own: number[] = [];
    for (let run = 0; run < 4; run++) {
      const started = performance.now();
      gpu.run(steps);
      await gpu.device.queue.onSubmittedWorkDone();
      own.push((1000 * (performance.now() - started)) / length);
    }
    times.push(Math.min(...own.slice(1)));
  }
  const order = shapes.map((shape, i) => ({ shape, time: times[i] })).sort((a, b) => a.time - b.time);
  console.log(`  shapes of ${what}: ${order.slice(0, 4).map(({ shape, time }) => `${JSON.stringify(shape)} ${time.toFixed(1)} µs`).join('; ')}; last ${order.at(-1)!.time.toFixed(1)} µs`);
  raw[`shapes of ${what}`] = order;
  return order[0].shape;
}

export const folder = await mkdtemp(join(tmpdir(), 'fewbit-webgpu-'));
export const peer = fork(process.env.FEWBIT_PEER ?? fileURLToPath(new URL('peer.ts', import.meta.url)));

let told: (answer: Answer) => void = () => {};
peer.on('message', (answer: Answer) => told(answer));
peer.on('exit', () => told({ problem: 'onnxruntime ended' }));

async function ask(request: Request): Promise<number> {
  if (peer.exitCode !== null || peer.signalCode !== null) throw new Error('onnxruntime ended');
  peer.send(request);
  const answer = await new Promise<Answer>((resolve) => { told = resolve; });
  if ('problem' in answer) throw new Error(answer.problem);
  return answer.milliseconds;
}

type Fed = readonly [name: string, type: 'f16' | 'f32', dims: readonly number[], values: Float32Array];
let count = 0;

/** A contender on ONNX Runtime: a chain of links in a graph, for both lengths and for one. */
export async function theirs(name: string, [short, long]: readonly [number, number], graph: (length: number) => GraphBuilder, fed: readonly Fed[], error: (first: Float32Array) => number): Promise<Contender | undefined> {
  const type = fed[0][1];
  const sessions = new Map<number, number>();
  const dispose = async (): Promise<void> => { await ask({ close: [...sessions.values()] }); };
  try {
    const feeds: Feed[] = [];
    for (const [input, kind, dims, values] of fed) {
      const file = join(folder, input);
      await writeFile(file, new Uint8Array((kind === 'f32' ? values : encodeF16(values)).buffer));
      feeds.push({ name: input, type: kind === 'f32' ? 'float32' : 'float16', dims, file });
    }
    for (const length of new Set([1, short, long])) {
      const model = join(folder, `model-${++count}.onnx`);
      const [sink, data] = [await fileSink(model), await fileSink(`${model}_data`)];
      await writeOnnx(graph(length).graph(), sink, { external: { location: `model-${count}.onnx_data`, sink: data } });
      await data.commit();
      await sink.commit();
      await ask({ open: count, model, feeds });
      sessions.set(length, count);
      await rm(model);
      await rm(`${model}_data`);
    }
    return {
      name, short, long, dispose,
      run: (length) => ask({ run: sessions.get(length)! }),
      async error() {
        const file = join(folder, 'y');
        await ask({ result: sessions.get(1)!, file });
        const { buffer } = Uint8Array.from(await readFile(file));
        return error(type === 'f32' ? new Float32Array(buffer) : Float32Array.from(new Uint16Array(buffer), f16ToF32));
      },
    };
  } catch (problem) {
    console.log(`  ${name}: ${(problem as Error).message}`);
    await dispose().catch(() => {});
    return undefined;
  }
}

/** Inputs of a chain as weights times a one that is fed: nothing large moves to the device while time is taken. */
export const unit = (type: 'f16' | 'f32'): Fed[] => [['one', type, [1], Float32Array.of(1)]];
export const inside = (g: GraphBuilder, type: 'f16' | 'f32', shape: number[], values: Float32Array): string =>
  g.op('Mul', [g.weight(memoryTensor('x', type, shape, new Uint8Array((type === 'f32' ? values : encodeF16(values)).buffer))), g.input('one', type, [1])]);

export const there = <T>(list: readonly (T | undefined)[]): T[] => list.filter((one): one is T => one !== undefined);
