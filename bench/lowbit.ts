/**
 * Low-bit matrix products of our kernels beside those of ONNX Runtime, on the same weights: `npm run bench lowbit`.
 * Times are medians (least–most) of interleaved runs; ratios are of runs next to each other.
 */
import * as ortModule from 'onnxruntime-web';
import { fastestBuild, lowBitKernels, type LowBitKernels, type ProductPlace } from '../src/engine/kernels/lowbit.ts';
import { boardBytes } from '../src/engine/kernels/lowbit-team.ts';
import { startTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { ortNode } from '../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../src/engine/ort-web.ts';
import type { Engine } from '../src/engine/session.ts';
import { f32 } from '../src/engine/tensor.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import { decodeBlocks, encodeBlocks } from '../src/formats/ggml/index.ts';
import { packing } from '../src/formats/index.ts';
import { GraphBuilder, int } from '../src/graph/build.ts';
import { normal } from '../src/numeric/random.ts';
import { Arena } from '../src/runtime/arena.ts';
import { packMatrix } from '../src/runtime/packed-matrix.ts';
import { unpackers } from '../src/runtime/unpack.ts';
import { floatTensor, memoryTensor } from '../src/tensor-ref.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const [N, K] = [4096, 4096];
const values = Float32Array.from({ length: N * K }, (_, i) => normal(1, 0, i) * 0.02);
const blocks = encodeBlocks('q4_0', values, N, K);
const decoded = decodeBlocks('q4_0', blocks);

/** The same codes and scales as MatMulNBits holds them. */
async function matMulNBits(accuracy: 0 | 4): Promise<Uint8Array> {
  const [codes, scales, mins] = [new Uint8Array(N * K), new Float32Array((N * K) / 32), new Float32Array(1)];
  const block = new Int8Array(32);
  for (let b = 0; b < scales.length; b++) {
    const scale = new Float32Array(1);
    unpackers.q4_0!.unpack(blocks, b * 18, block, scale, mins);
    scales[b] = scale[0];
    codes.set(block, b * 32);
  }
  const layout = { N, K, bits: 4, block: 32 } as const;
  const g = new GraphBuilder('product');
  const x = g.input('x', 'f32', ['rows', K]);
  const y = g.op('MatMulNBits', [x, g.weight(memoryTensor('w', 'u8', [N, K / 32, 16], packing.packMatMulNBits(codes, new Uint8Array(scales.length).fill(8), layout))), g.weight(floatTensor('s', [N, K / 32], scales))],
    { N: int(N), K: int(K), bits: int(4), block_size: int(32), accuracy_level: int(accuracy) }, { domain: 'com.microsoft' });
  g.output(y, 'y', 'f32', ['rows', N]);
  return onnxBytes(g.graph());
}

async function floatMatMul(): Promise<Uint8Array> {
  const turned = new Float32Array(N * K);
  for (let r = 0; r < N; r++) for (let c = 0; c < K; c++) turned[c * N + r] = decoded[r * K + c];
  const g = new GraphBuilder('product');
  g.output(g.op('MatMul', [g.input('x', 'f32', ['rows', K]), g.weight(floatTensor('w', [K, N], turned))]), 'y', 'f32', ['rows', N]);
  return onnxBytes(g.graph());
}

interface Contender { readonly name: string; run(rows: number): Promise<Float32Array> }
const inputs = (rows: number): Float32Array => Float32Array.from({ length: rows * K }, (_, i) => normal(2, rows, i));

async function onEngine(name: string, engine: Engine, bytes: Uint8Array): Promise<Contender> {
  const session = await engine.open({ bytes });
  const feeds = new Map([1, 64].map((rows) => [rows, { x: f32([rows, K], inputs(rows)) }]));
  return { name, run: async (rows) => (await session.run(feeds.get(rows)!)).y.data as Float32Array };
}

/** Ours: a matrix and its inputs in one memory. */
async function ours(name: string, kind: 'rounded' | 'float' | 'eight', members: number): Promise<Contender> {
  const arena = new Arena(members > 1);
  const board = members > 1 ? arena.take(boardBytes) : 0;
  const tensor = kind === 'eight' ? memoryTensor('w', 'q8_0', [N, K], encodeBlocks('q8_0', decoded, N, K)) : memoryTensor('w', 'q4_0', [N, K], blocks);
  const matrix = await packMatrix(tensor, arena);
  const [x, out, spread] = [arena.take(64 * K * 4), arena.take(64 * N * 4), arena.take(64 * K * 4)];
  const rounded = { codes: arena.take(64 * K * 2), bytes: arena.take(64 * K), scales: arena.take((64 * K) / 8), totals: arena.take((64 * K) / 8) };
  const kernels: LowBitKernels = members > 1 ? await startTeam(arena.memory, board, members) : lowBitKernels(arena.memory);
  const given = new Map([1, 64].map((rows) => [rows, inputs(rows)]));
  return {
    name,
    async run(rows) {
      arena.floats(x, rows * K).set(given.get(rows)!);
      const place: ProductPlace = { weights: matrix.weights, groups: matrix.groups, tokens: rows, out, stride: N, first: 0, last: matrix.panels };
      if (kind === 'float') {
        kernels.spreadInputs(x, (rows * K) / 32, { values: spread, totals: rounded.totals });
        kernels.product4Float(place, matrix.scales, matrix.mins, { values: spread, totals: rounded.totals });
      } else {
        kernels.roundInputs(x, (rows * K) / 32, rounded);
        if (kind === 'eight') kernels.product8(place, matrix.scales, 0, rounded);
        else kernels.product4(place, matrix.scales, matrix.mins, rounded);
      }
      return arena.floats(out, rows * N);
    },
  };
}

const web = ortWeb(ortModule as unknown as OrtWebModule);
const contenders = [
  await ours('fewbit int4, inputs int8', 'rounded', 1), await ours('fewbit int4, inputs float', 'float', 1), await ours('fewbit int8, inputs int8', 'eight', 1),
  await ours('fewbit int4, inputs int8, 2 threads', 'rounded', 2),
  await onEngine('onnxruntime-web MatMulNBits, float', web, await matMulNBits(0)), await onEngine('onnxruntime-web MatMulNBits, int8', web, await matMulNBits(4)),
  await onEngine('onnxruntime-web MatMul f32', web, await floatMatMul()),
  await onEngine('onnxruntime-node MatMulNBits, int8', ortNode, await matMulNBits(4)), await onEngine('onnxruntime-node MatMul f32', ortNode, await floatMatMul()),
];
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const median = (list: readonly number[]): number => sorted(list)[list.length >> 1];

console.log(`4096 × 4096 in groups of 32, ${runs} interleaved runs, ${fastestBuild()}, one thread where none are named`);
for (const rows of [1, 64]) {
  const times = contenders.map((): number[] => []);
  const reference = (await contenders.at(-1)!.run(rows)).slice();
  const scale = Math.sqrt(reference.reduce((sum, v) => sum + v * v, 0) / reference.length);
  const far: number[] = [];
  for (const contender of contenders) far.push((await contender.run(rows)).reduce((most, v, i) => Math.max(most, Math.abs(v - reference[i])), 0) / scale);
  for (let run = 0; run < runs; run++) {
    for (const [i, contender] of contenders.entries()) {
      const started = performance.now();
      await contender.run(rows);
      times[i].push(performance.now() - started);
    }
  }
  console.log(`\n${rows} row${rows === 1 ? '' : 's'}`);
  contenders.forEach(({ name }, i) => {
    const ratio = median(times[4].map((time, run) => time / times[i][run]));
    const float = median(times[6].map((time, run) => time / times[i][run]));
    const [least, ...rest] = sorted(times[i]);
    console.log(`${name.padEnd(38)} ${median(times[i]).toFixed(2)} ms (${least.toFixed(2)}–${rest.at(-1)!.toFixed(2)}), ${ratio.toFixed(1)} times as fast as web MatMulNBits, ${float.toFixed(2)} as web f32; farthest value ${far[i].toExponential(1)} of the rms`);
  });
}
process.exit(0);
