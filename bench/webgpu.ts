/**
 * The WebGPU kernels beside ONNX Runtime's WebGPU provider on the same device and weights: `npm run bench webgpu`. Needs the
 * npm package `webgpu` (WebGPU for Node), or FEWBIT_DAWN with the path of its binary, and a Vulkan driver.
 * A time is what one more product costs in a chain of them over different weights: wall time of a long chain less that of a
 * short one, medians (least–most) of interleaved runs. FEWBIT_BENCH_SCALE divides all sizes, FEWBIT_BENCH_PARTS names parts.
 */
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attendMerge } from '../src/engine/webgpu/attend-merge.ts';
import { attendParts } from '../src/engine/webgpu/attend-parts.ts';
import { attendTiles, attentionTileBytes, type AttentionTile } from '../src/engine/webgpu/attend-tiles.ts';
import { cacheBytes, leftFloats, partPositions, partTokens, type AttentionShape } from '../src/engine/webgpu/attention-shape.ts';
import { Gpu, usage, type Step } from '../src/engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../src/engine/webgpu/inputs.ts';
import { matrixTiles, tileThreads, type TileShape } from '../src/engine/webgpu/matrix-tiles.ts';
import { matrixVector, type VectorShape } from '../src/engine/webgpu/matrix-vector.ts';
import { roundInputs } from '../src/engine/webgpu/round-inputs.ts';
import { tileBytes, tileShape, vectorShape } from '../src/engine/webgpu/shapes.ts';
import { fileSink } from '../src/files/fs-node.ts';
import { writeOnnx } from '../src/files/onnx.ts';
import { decodeBlocks, encodeBlocks } from '../src/formats/ggml/index.ts';
import { packing } from '../src/formats/index.ts';
import { GraphBuilder, int } from '../src/graph/build.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { readLlamaConfig } from '../src/models/llama-config.ts';
import { llamaShapes } from '../src/models/llama-weights.ts';
import { encodeF16, f16ToF32 } from '../src/numeric/half.ts';
import { likeliest } from '../src/runtime/sample.ts';
import { unpackers } from '../src/runtime/unpack.ts';
import { WebGpuDecoder } from '../src/runtime/webgpu-decoder.ts';
import { uploadMatrix, type GpuMatrix } from '../src/runtime/webgpu-matrix.ts';
import { memoryTensor, type TensorRef } from '../src/tensor-ref.ts';
import { checkKernels } from '../test-browser/shared/webgpu-suite.ts';
import type { Answer, Feed, Request } from './webgpu/peer.ts';

const scale = Number(process.env.FEWBIT_BENCH_SCALE ?? 1);
const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const parts = (process.env.FEWBIT_BENCH_PARTS ?? 'check,products,attention,decode').split(',');
const raw: Record<string, unknown> = {};

const require = createRequire(import.meta.url);
const { create, globals } = require(process.env.FEWBIT_DAWN ?? 'webgpu') as { create(options: string[]): GPU; globals: Record<string, unknown> };
Object.assign(globalThis, globals);
// Without limits on lengths of loops and ranges of indices, as ONNX Runtime runs its own kernels.
// Kept: devices end with what they came from.
const dawn = create(['enable-dawn-features=allow_unsafe_apis,skip_validation,vulkan_enable_f16_on_nvidia', 'disable-dawn-features=lazy_clear_resource_on_first_use']);
const gpu = await Gpu.open({ gpu: dawn });
console.log(`${gpu.name}; ${Object.entries(gpu.able).filter(([, has]) => has).map(([name]) => name).join(', ')}`);
raw.device = gpu.name;

const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const median = (list: readonly number[]): number => sorted(list)[list.length >> 1];
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;
let state = 1;
/** Uniform in [−1, 1): fast, and the same everywhere. */
const noise = (): number => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 31 - 1; };
function values(count: number, size = 1): Float32Array {
  const made = new Float32Array(count);
  for (let i = 0; i < count; i++) made[i] = noise() * size;
  return made;
}

interface Contender {
  readonly name: string;
  /** Runs a chain of this length; gives milliseconds. */
  run(length: number): Promise<number>;
  readonly short: number;
  readonly long: number;
  /** Farthest value from the plain twin, as a share of the root mean square. */
  error(): Promise<number>;
  dispose(): Promise<void>;
}

async function race(title: string, contenders: readonly Contender[]): Promise<void> {
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
    const [least, most] = [sorted(times[i])[0], sorted(times[i]).at(-1)!];
    console.log(`  ${contender.name.padEnd(46)} ${problem ?? `${median(times[i]).toFixed(1)} µs (${least.toFixed(1)}–${most.toFixed(1)}), ${(median(times[i]) / median(times[0])).toFixed(2)} of the first one's time; error ${far.toExponential(1)}`}`);
    kept[contender.name] = problem ?? { microseconds: times[i], error: far };
    await contender.dispose().catch(() => {});
  }
  raw[title] = kept;
}

/** A contender on our kernels: steps of one link over different weights. */
function ours(name: string, link: (i: number) => Step[], error: () => Promise<number>, [short, long]: readonly [number, number]): Contender {
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
async function fastest<T>(what: string, shapes: readonly T[], link: (shape: T, i: number) => Step[], length: number): Promise<T> {
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

const folder = await mkdtemp(join(tmpdir(), 'fewbit-webgpu-'));
const peer = fork(process.env.FEWBIT_PEER ?? fileURLToPath(new URL('webgpu/peer.ts', import.meta.url)));

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
async function theirs(name: string, [short, long]: readonly [number, number], graph: (length: number) => GraphBuilder, fed: readonly Fed[], error: (first: Float32Array) => number): Promise<Contender | undefined> {
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
const unit = (type: 'f16' | 'f32'): Fed[] => [['one', type, [1], Float32Array.of(1)]];
const inside = (g: GraphBuilder, type: 'f16' | 'f32', shape: number[], values: Float32Array): string =>
  g.op('Mul', [g.weight(memoryTensor('x', type, shape, new Uint8Array((type === 'f32' ? values : encodeF16(values)).buffer))), g.input('one', type, [1])]);

const there = <T>(list: readonly (T | undefined)[]): T[] => list.filter((one): one is T => one !== undefined);

/** Weights of a chain: links take 4096 columns to some and, where those are more, back. */
interface Weights { readonly N: number; readonly K: number; readonly blocks: Uint8Array; readonly decoded: Float32Array; readonly codes: Uint8Array; readonly scales: Float32Array; readonly matrices: readonly GpuMatrix[] }

async function weightsOf(N: number, K: number, copies: number): Promise<Weights> {
  const blocks = encodeBlocks('q4_0', values(N * K, 0.05), N, K);
  const [codes, scales, mins, block, one] = [new Uint8Array(N * K), new Float32Array((N * K) / 32), new Float32Array(1), new Int8Array(32), new Float32Array(1)];
  for (let b = 0; b < scales.length; b++) {
    unpackers.q4_0!.unpack(blocks, b * 18, block, one, mins);
    scales[b] = one[0];
    codes.set(block, b * 32);
  }
  const tensor = memoryTensor('w', 'q4_0', [N, K], blocks);
  const matrices: GpuMatrix[] = [];
  for (let i = 0; i < copies; i++) matrices.push(await uploadMatrix(gpu, [tensor]));
  return { N, K, blocks, decoded: decodeBlocks('q4_0', blocks), codes, scales, matrices };
}

/** Farthest of 64 results a token from float64 sums, as a share of their root mean square. */
function productError(results: Float32Array, x: Float32Array, { N, K, decoded }: Weights, tokens: number): number {
  let [most, squares, count] = [0, 0, 0];
  for (let t = 0; t < tokens; t += Math.ceil(tokens / 8)) {
    for (let r = 0; r < N; r += Math.ceil(N / 64)) {
      let sum = 0;
      for (let c = 0; c < K; c++) sum += x[t * K + c] * decoded[r * K + c];
      const far = Math.abs(results[t * N + r] - sum);
      if (!(far <= most)) most = far;
      squares += sum * sum;
      count++;
    }
  }
  return most / Math.sqrt(squares / count);
}

async function products(): Promise<void> {
  const K = Math.round(4096 / scale);
  for (const wide of [false, true]) {
    const N = wide ? Math.round(11008 / scale / 32) * 32 : K;
    // More than the caches of large GPUs hold.
    const chain = (wide ? [1, 9] : [1, 17]) as [number, number];
    const up = await weightsOf(N, K, chain[1]);
    const down = wide ? await weightsOf(K, N, chain[1]) : undefined;
    const links = down === undefined ? [up] : [up, down];
    const packed = new Map(links.map((w) => [w, packing.packMatMulNBits(w.codes, new Uint8Array(w.scales.length).fill(8), { N: w.N, K: w.K, bits: 4, block: 32 })]));
    const turned = new Map(links.map((w) => { const to = new Float32Array(w.N * w.K); for (let r = 0; r < w.N; r++) for (let c = 0; c < w.K; c++) to[c * w.N + r] = w.decoded[r * w.K + c]; return [w, new Uint8Array(encodeF16(to).buffer)]; }));
    for (const M of (wide ? [1, 512] : [1, 64, 512]).map((m) => (m === 1 ? 1 : Math.max(64, m / scale)))) {
      const x = values(M * K);
      const [first, second, results] = [new Map<InputKind, GPUBuffer[]>(), new Map<InputKind, GPUBuffer[]>(), gpu.buffer('results', 4 * M * N)];
      const given = gpu.buffer('x', x);
      const kinds = (['float', 'half', 'rounded'] as const).filter((kind) => kind !== 'half' || gpu.able.half);
      for (const kind of kinds) {
        first.set(kind, inputBytes[kind].map((bytes) => gpu.buffer('inputs', ((M * K) / groupSize) * bytes)));
        second.set(kind, inputBytes[kind].map((bytes) => gpu.buffer('inputs', ((M * N) / groupSize) * bytes)));
        gpu.run([gpu.step(roundInputs(kind, gpu.able), [given, ...first.get(kind)!], Math.ceil((M * K) / groupSize / 64))]);
      }
      const title = `${wide ? `${K} → ${N} → ${K}` : `${N} × ${K}`}, int4 in groups of 32, ${M} token${M === 1 ? '' : 's'}`;
      const contenders: (Contender | undefined)[] = [];
      for (const kind of kinds) {
        const product = (w: Weights) => ({ layout: 'four' as const, rows: w.N, groups: w.K / 32, stride: w.N, offset: 0, inputs: kind, bias: false, add: false });
        const step = (shape: VectorShape | TileShape, w: Weights, i: number): Step => {
          const buffers = [...w.matrices[i].buffers, ...(w === up ? first : second).get(kind)!, results];
          return 'threads' in shape ? gpu.step(matrixVector(product(w), shape, gpu.able), buffers, Math.ceil(w.N / shape.rows))
            : gpu.step(matrixTiles(product(w), shape, gpu.able), buffers, Math.ceil(w.N / shape.rows), Math.ceil(M / shape.tokens));
        };
        const usual = M === 1 ? vectorShape(1, kind) : tileShape(M, kind, gpu.workgroupBytes);
        const all: (VectorShape | TileShape)[] = [usual, ...(M === 1 ? vectorShapes : tileShapes(kind))];
        const shape = wide ? usual : await fastest(`${kind}, ${M} tokens`, all, (one, i) => links.map((w) => step(one, w, i)), 8);
        const error = async (): Promise<number> => {
          gpu.run([step(shape, up, 0)]);
          return productError(new Float32Array(await gpu.read(results, 4 * M * N)), x, up, M);
        };
        contenders.push(ours(`fewbit int4, inputs ${kind === 'rounded' ? 'int8' : kind}`, (i) => links.map((w) => step(shape, w, i)), error, chain));
      }
      const graph = (link: (g: GraphBuilder, x: string, w: Weights, i: number) => string, type: 'f32' | 'f16') => (length: number): GraphBuilder => {
        const g = new GraphBuilder('chain');
        let at = inside(g, type, [M, K], x);
        // Of one link, the first half is what the error is of.
        for (let i = 0; i < length; i++) for (const w of length === 1 && wide ? [up] : links) at = link(g, at, w, i);
        if (length === 1) g.output(at, 'y', type, [M, N]);
        else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([0])]), 'y', type, [1, K]);
        return g;
      };
      const nBits = (type: 'f32' | 'f16', accuracy: number) => graph((g, x, w, i) => g.op('MatMulNBits', [x,
        g.weight(memoryTensor(`w${i}${w === up ? 'u' : 'd'}`, 'u8', [w.N, w.K / 32, 16], packed.get(w)!)),
        g.weight(memoryTensor(`s${i}${w === up ? 'u' : 'd'}`, type, [w.N, w.K / 32], new Uint8Array((type === 'f32' ? w.scales : encodeF16(w.scales)).buffer))),
      ], { N: int(w.N), K: int(w.K), bits: int(4), block_size: int(32), accuracy_level: int(accuracy) }, { domain: 'com.microsoft' }), type);
      const matMul = graph((g, x, w, i) => g.op('MatMul', [x, g.weight(memoryTensor(`w${i}${w === up ? 'u' : 'd'}`, 'f16', [w.K, w.N], turned.get(w)!))]), 'f16');
      const error = (y: Float32Array): number => productError(y, x, up, M);
      // Chains end where they begin, so that short and long ones move the same to and fro; a chain of one is for its error.
      const theirChain = wide ? [2, 6] as const : [2, 17] as const;
      contenders.push(
        await theirs('onnxruntime MatMulNBits f32', theirChain, nBits('f32', 0), unit('f32'), error),
        await theirs('onnxruntime MatMulNBits f32, int8 inputs', theirChain, nBits('f32', 4), unit('f32'), error),
        ...(gpu.able.half ? [
          await theirs('onnxruntime MatMulNBits f16', theirChain, nBits('f16', 0), unit('f16'), error),
          await theirs('onnxruntime MatMulNBits f16, int8 inputs', theirChain, nBits('f16', 4), unit('f16'), error),
          await theirs('onnxruntime MatMul f16', theirChain, matMul, unit('f16'), error),
        ] : []),
      );
      await race(title, there(contenders));
      for (const buffers of [...first.values(), ...second.values()]) for (const buffer of buffers) buffer.destroy();
      results.destroy();
    }
    for (const { matrices } of links) for (const { buffers } of matrices) for (const buffer of buffers) buffer.destroy();
  }
}

const vectorShapes: VectorShape[] = [1, 2, 4, 8].flatMap((rows) => [32, 64, 128].map((threads) => ({ tokens: 1, rows, threads })));
const tileShapes = (kind: InputKind): TileShape[] => [[32, 32, 4, 4], [64, 32, 4, 4], [64, 64, 4, 4], [64, 64, 8, 4], [64, 64, 8, 8], [64, 128, 8, 4], [128, 64, 8, 8], [128, 128, 8, 8], ...(kind === 'rounded' ? [[32, 32, 2, 4], [32, 64, 4, 4], [64, 128, 8, 8]] : [])]
  .flatMap(([tokens, rows, ownTokens, ownRows]) => (kind === 'rounded' ? [1, 2, 4] : kind === 'half' ? [1, 2] : [1]).map((stage) => ({ tokens, rows, ownTokens, ownRows, stage })))
  .filter((shape) => tileThreads(shape) <= gpu.workgroupThreads && tileThreads(shape) >= 32 && tileBytes(shape, kind) <= gpu.workgroupBytes);

/** Queries [tokens, heads, 128] over keys and values, causal; heads as of a model of 8 billion weights. */
async function attention(): Promise<void> {
  const [heads, kvHeads, headDim] = [Math.max(2, 32 / scale), Math.max(1, 8 / scale), 128];
  const kinds: { cache: AttentionShape['cache']; half: boolean }[] = [{ cache: 'float', half: false }, { cache: 'half', half: false }, ...(gpu.able.half ? [{ cache: 'half' as const, half: true }] : [])];
  const found = new Map<string, AttentionTile>();
  for (const length of [1024, 2048, 4096, 8192].map((n) => Math.max(64, n / scale))) {
    const width = (heads + 2 * kvHeads) * headDim;
    const x = values(length * width);
    for (const prompt of [true, false]) {
      const tokens = prompt ? length : 1;
      const contenders: (Contender | undefined)[] = [];
      const given = gpu.buffer('x', x);
      const chain = prompt ? [2, length > 4096 ? 4 : 8] as const : [2, 33] as const;
      for (const { cache, half: inHalves } of kinds) {
        const shape: AttentionShape = { heads, kvHeads, headDim, context: length, cache };
        const stored = Array.from({ length: prompt ? 1 : 8 }, () => [gpu.buffer('keys', cacheBytes(shape)), gpu.buffer('values', cacheBytes(shape))]);
        fillCache(shape, x, stored);
        const partCount = prompt ? 1 : Math.ceil(length / partPositions);
        const state = gpu.buffer('state', Uint32Array.of(prompt ? 0 : length - 1, tokens, partCount, 0), usage.uniform);
        const left = gpu.buffer('left', 4 * leftFloats(headDim) * heads * Math.max(partTokens * partCount, tokens));
        const out = gpu.buffer('mixed', 4 * tokens * heads * headDim);
        const merge = gpu.step(attendMerge({ heads, headDim, inputs: 'float' }, gpu.able), [state, left, out], (heads * headDim) / 32, tokens);
        const query = prompt ? given : gpu.buffer('query', x.slice((length - 1) * width));
        const tiled = (tile: AttentionTile, i: number): Step[] => [gpu.step(attendTiles(shape, tile), [state, query, ...stored[i % stored.length], left], Math.ceil(tokens / tile.queries), heads), merge];
        const link = prompt
          ? await (async () => {
            const key = `attention, cache ${cache}${inHalves ? ', in halves' : ''}`;
            const best = found.get(key) ?? await fastest(key, attentionShapes(inHalves), tiled, 1);
            found.set(key, best);
            return (i: number) => tiled(best, i);
          })()
          : (i: number) => [gpu.step(attendParts(shape, gpu.able), [state, query, ...stored[i % stored.length], left], partCount, heads, 1), merge];
        if (!prompt && inHalves) continue;
        contenders.push(ours(`fewbit, cache ${cache}${inHalves ? ', in halves' : ''}`, link, async () => {
          gpu.run(link(0));
          return attentionError(new Float32Array(await gpu.read(out, 4 * tokens * heads * headDim)), x, length, tokens, { heads, kvHeads, headDim });
        }, chain));
      }
      for (const kind of gpu.able.half ? ['f16'] as const : ['f32'] as const) {
        contenders.push(await attentionPeer('MatMul, Softmax, MatMul', kind, x, length, tokens, { heads, kvHeads, headDim }, chain));
        if (prompt) contenders.push(await attentionPeer('GroupQueryAttention', kind, x, length, tokens, { heads, kvHeads, headDim }, chain));
      }
      await race(`attention of ${tokens === 1 ? 'one token over' : 'a prompt of'} ${length}, ${heads} heads over ${kvHeads} of ${headDim}`, there(contenders));
    }
  }
}

const attentionShapes = (inHalves: boolean): AttentionTile[] => [64, 32].flatMap((queries) => [[32, 16], [64, 32], [32, 32], [64, 16]].map(([dims, positions]) => ({ queries, dims, positions, half: inHalves })))
  .filter((shape) => attentionTileBytes(128, shape) <= gpu.workgroupBytes && 4 * shape.queries <= gpu.workgroupThreads);

/** Keys and values of all positions as the kernels store them. */
function fillCache({ heads, kvHeads, headDim, context, cache }: AttentionShape, x: Float32Array, stored: readonly GPUBuffer[][]): void {
  const width = (heads + 2 * kvHeads) * headDim;
  const n = cache === 'half' ? 8 : 4;
  const [keys, vals] = [new Float32Array(kvHeads * headDim * context), new Float32Array(kvHeads * headDim * context)];
  for (let h = 0; h < kvHeads; h++) {
    for (let p = 0; p < context; p++) {
      for (let d = 0; d < headDim; d++) {
        keys[((h * (headDim / n) + Math.floor(d / n)) * context + p) * n + (d % n)] = x[p * width + (heads + h) * headDim + d];
        vals[(h * context + p) * headDim + d] = x[p * width + (heads + kvHeads + h) * headDim + d];
      }
    }
  }
  for (const [k, v] of stored) {
    gpu.write(k, 0, cache === 'half' ? encodeF16(keys) : keys);
    gpu.write(v, 0, cache === 'half' ? encodeF16(vals) : vals);
  }
}

interface Heads { readonly heads: number; readonly kvHeads: number; readonly headDim: number }

/** A few tokens and heads against attention in float64. */
function attentionError(results: Float32Array, x: Float32Array, length: number, tokens: number, { heads, kvHeads, headDim }: Heads): number {
  const width = (heads + 2 * kvHeads) * headDim;
  let [most, squares, count] = [0, 0, 0];
  for (let t = tokens - 1; t >= 0; t -= Math.ceil(tokens / 4)) {
    const seen = length - tokens + t + 1;
    for (let h = 0; h < heads; h += Math.ceil(heads / 3)) {
      const kv = heads + Math.floor((h * kvHeads) / heads);
      const scores = new Float64Array(seen);
      for (let p = 0; p < seen; p++) for (let d = 0; d < headDim; d++) scores[p] += (x[(seen - 1) * width + h * headDim + d] * x[p * width + kv * headDim + d]) / Math.sqrt(headDim);
      const top = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b);
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        for (let p = 0; p < seen; p++) sum += (weights[p] / total) * x[p * width + (kv + kvHeads) * headDim + d];
        const far = Math.abs(results[(t * heads + h) * headDim + d] - sum);
        if (!(far <= most)) most = far;
        squares += sum * sum;
        count++;
      }
    }
  }
  return most / Math.sqrt(squares / count);
}

/** Attention of ONNX Runtime: the results are the next queries. Standard operators see keys of every query's own head, and a prompt gets a mask. */
async function attentionPeer(what: string, type: 'f16' | 'f32', x: Float32Array, length: number, tokens: number, shape: Heads, chain: readonly [number, number]): Promise<Contender | undefined> {
  const { heads, kvHeads, headDim } = shape;
  const width = (heads + 2 * kvHeads) * headDim;
  const bytesOf = (from: Float32Array): Uint8Array => new Uint8Array((type === 'f32' ? from : encodeF16(from)).buffer);
  const columns = (first: number, count: number, from = 0): Float32Array => {
    const made = new Float32Array((length - from) * count * headDim);
    for (let p = from; p < length; p++) made.set(x.subarray(p * width + first * headDim, p * width + (first + count) * headDim), (p - from) * count * headDim);
    return made;
  };
  const ofHeads = (list: Float32Array, count: number, turn: boolean): Float32Array => {
    const made = new Float32Array(list.length);
    const rows = list.length / (count * headDim);
    for (let p = 0; p < rows; p++) for (let h = 0; h < count; h++) for (let d = 0; d < headDim; d++) made[turn ? (h * headDim + d) * rows + p : (h * rows + p) * headDim + d] = list[(p * count + h) * headDim + d];
    return made;
  };
  const name = `onnxruntime ${what} ${type}`;
  if (what === 'GroupQueryAttention') {
    return theirs(name, chain, (links) => {
      const g = new GraphBuilder('attention');
      let at = inside(g, type, [1, length, heads * headDim], columns(0, heads));
      const [k, v] = [heads, heads + kvHeads].map((first, i) => g.weight(memoryTensor(`kv${i}`, type, [1, length, kvHeads * headDim], bytesOf(columns(first, kvHeads)))));
      const [last, total] = [g.weight(memoryTensor('last', 'i32', [1], new Uint8Array(Int32Array.of(length - 1).buffer))), g.weight(memoryTensor('total', 'i32', [], new Uint8Array(Int32Array.of(length).buffer)))];
      for (let i = 0; i < links; i++) [at] = g.op('GroupQueryAttention', [at, k, v, '', '', last, total], { num_heads: int(heads), kv_num_heads: int(kvHeads) }, { domain: 'com.microsoft', outputs: 3 });
      if (links === 1) g.output(at, 'y', type, [1, length, heads * headDim]);
      else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([1])]), 'y', type, [1, 1, heads * headDim]);
      return g;
    }, unit(type),
    (y) => attentionError(y, x, length, tokens, shape));
  }
  // Scores of a long prompt do not fit.
  if (tokens > 1 && heads * length * length * 4 >= 2 ** 31) return undefined;
  const [K, V] = [bytesOf(ofHeads(columns(heads, kvHeads), kvHeads, true)), bytesOf(ofHeads(columns(heads + kvHeads, kvHeads), kvHeads, false))];
  const group = heads / kvHeads;
  // Queries that share keys stand below each other.
  const rows = group * tokens;
  const mask = bytesOf(Float32Array.from({ length: tokens === 1 ? 1 : rows * length }, (_, i) => (tokens > 1 && i % length > Math.floor(i / length) % tokens ? -60000 : 0)));
  const queries = ofHeads(columns(0, heads, length - tokens).map((q) => q / Math.sqrt(headDim)), heads, false);
  return theirs(name, chain, (links) => {
    const g = new GraphBuilder('attention');
    let at = inside(g, type, [kvHeads, rows, headDim], queries);
    for (let i = 0; i < links; i++) {
      // Different weights for one token: a cache is read from memory.
      const own = tokens === 1 ? i % 8 : 0;
      const scores = g.op('MatMul', [at, g.weight(memoryTensor(`k${own}`, type, [kvHeads, headDim, length], K))]);
      const masked = tokens === 1 ? scores : g.op('Add', [scores, g.weight(memoryTensor('mask', type, [1, rows, length], mask))]);
      at = g.op('MatMul', [g.op('Softmax', [masked], { axis: int(-1) }), g.weight(memoryTensor(`v${own}`, type, [kvHeads, length, headDim], V))]);
    }
    if (links === 1) g.output(at, 'y', type, [kvHeads, rows, headDim]);
    else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([1])]), 'y', type, [kvHeads, 1, headDim]);
    return g;
  }, unit(type), (got) => {
    return attentionError(Float32Array.from({ length: tokens * heads * headDim }, (_, i) => { const [t, h, d] = [Math.floor(i / headDim / heads), Math.floor(i / headDim) % heads, i % headDim]; return got[(h * tokens + t) * headDim + d]; }), x, length, tokens, shape);
  });
}

/** Tokens per second of a Llama of 1.1 billion random weights of 4 bits. */
async function decode(): Promise<void> {
  const config = readLlamaConfig({
    model_type: 'llama', vocab_size: 32000, hidden_size: Math.round(2048 / scale), intermediate_size: 32 * Math.round(176 / scale), num_hidden_layers: Math.max(2, Math.round(22 / scale)), num_attention_heads: 32, num_key_value_heads: 4,
    head_dim: Math.max(8, 64 / scale), max_position_embeddings: 2048, rms_norm_eps: 1e-5, tie_word_embeddings: false,
  }) as LlamaConfig;
  const made = new Map<string, Uint8Array>();
  const tensors = new Map([...llamaShapes(config)].map(([name, shape]): [string, TensorRef] => {
    const key = shape.join();
    const vector = shape.length === 1;
    if (!made.has(key)) made.set(key, vector ? new Uint8Array(new Float32Array(shape[0]).fill(1).buffer) : encodeBlocks('q4_0', values(shape[0] * shape[1], 0.03), shape[0], shape[1]));
    return [name, memoryTensor(name, vector ? 'f32' : 'q4_0', [...shape], made.get(key)!)];
  }));
  const weights = [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const results: Record<string, { prompt: number[]; decode: number[]; handing: number[] }> = {};
  const settings: { inputs: InputKind; halfCache: boolean }[] = [{ inputs: 'rounded', halfCache: false }, { inputs: 'rounded', halfCache: true }, { inputs: 'float', halfCache: false }, ...(gpu.able.half ? [{ inputs: 'half' as const, halfCache: true }] : [])];
  const decoders = await Promise.all(settings.map(async (setting) => ({ name: `inputs ${setting.inputs === 'rounded' ? 'int8' : setting.inputs}, cache ${setting.halfCache ? 'half' : 'float'}`, decoder: await WebGpuDecoder.open(config, tensors, { context: 1024, gpu, ...setting }) })));
  const hand = gpu.run.bind(gpu);
  let handing = 0;
  gpu.run = (...of) => {
    const started = performance.now();
    hand(...of);
    handing += performance.now() - started;
  };
  const [promptTokens, written] = [Math.round(512 / scale), Math.round(128 / scale)];
  const prompt = Array.from({ length: promptTokens }, (_, i) => (i * 37 + 11) % 31000);
  for (let run = 0; run < Math.min(runs, 6); run++) {
    for (const { name, decoder } of decoders) {
      decoder.rewind(0);
      const started = performance.now();
      let next = likeliest(await decoder.feed(prompt));
      const read = performance.now();
      handing = 0;
      for (let i = 0; i < written; i++) next = likeliest(await decoder.feed([next]));
      // The first run compiles.
      if (run > 0) {
        (results[name] ??= { prompt: [], decode: [], handing: [] }).prompt.push((1000 * promptTokens) / (read - started));
        results[name].decode.push((1000 * written) / (performance.now() - read));
        results[name].handing.push(handing / written);
      }
    }
  }
  console.log(`\na Llama of ${(weights / 0.5625 / 1e9).toFixed(1)} billion weights in q4_0 (${(weights / 2 ** 20).toFixed(0)} MiB), ${promptTokens} tokens read, ${written} written`);
  for (const [name, { prompt: read, decode: wrote, handing: handed }] of Object.entries(results)) console.log(`  ${name.padEnd(30)} reads ${median(read).toFixed(0)} tokens/s (${sorted(read)[0].toFixed(0)}–${sorted(read).at(-1)!.toFixed(0)}), writes ${median(wrote).toFixed(0)} (${sorted(wrote)[0].toFixed(0)}–${sorted(wrote).at(-1)!.toFixed(0)}); handing a token's steps to the device takes ${median(handed).toFixed(2)} ms`);
  raw.decode = results;
}

const begun = performance.now();
const all = {
  check: async () => {
    const cases = await checkKernels(gpu);
    const bad = cases.filter(({ error, bound }) => !(error <= bound));
    console.log(`${cases.length} kernels against their plain twins: ${bad.length} beyond their bounds${bad.map(({ name, error, bound }) => `\n  ${name}: ${error} > ${bound}`).join('')}`);
    raw.check = cases;
  },
  products, attention, decode,
};
for (const part of parts as (keyof typeof all)[]) {
  const started = performance.now();
  try {
    await all[part]();
  } catch (problem) {
    console.error(`${part}:`, problem);
  }
  console.log(`# ${part} took ${seconds(started)}, ${seconds(begun)} in all`);
  if (process.env.FEWBIT_BENCH_RAW !== undefined) await writeFile(process.env.FEWBIT_BENCH_RAW, JSON.stringify(raw, (_, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value)));
}
peer.kill();
void dawn;
await rm(folder, { recursive: true, force: true });
process.exit(0);
