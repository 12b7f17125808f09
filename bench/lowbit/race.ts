/** Products of one matrix by several engines in turn, and the lines that tell how they did. */
import { lowBitKernels, type LowBitBuild } from '../../src/engine/kernels/lowbit.ts';
import type { Team } from '../../src/engine/kernels/lowbit-team.ts';
import { boardBytes } from '../../src/engine/kernels/team.ts';
import type { Engine } from '../../src/engine/session.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { median, minMax } from '../../src/numeric/statistics.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded } from '../../src/runtime/packed-matrix.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { blocks, decoded, floatMatMul, inputsOf, K, matMulNBits, N, rowCounts } from './models.ts';

export interface Contender { readonly name: string; run(rows: number): Promise<Float32Array>; close?(): void }

export async function onEngine(name: string, engine: Engine, bytes: Uint8Array): Promise<Contender> {
  const session = await engine.open({ bytes });
  const feeds = new Map(rowCounts.map((rows) => [rows, { x: f32([rows, K], inputsOf(rows)) }]));
  return { name, run: async (rows) => (await session.run(feeds.get(rows as 1)!)).y.data as Float32Array };
}

/** Ours: a matrix and its inputs in one memory. Rounding the inputs belongs to the time. */
export async function ours(name: string, { weights = 'q4_0', bits, build, start }: { weights?: 'q4_0' | 'q8_0'; bits: 8 | 16; build?: LowBitBuild; start?: Team['start'] }): Promise<Contender> {
  const arena = new Arena(start !== undefined);
  const board = start === undefined ? 0 : arena.take(boardBytes);
  const matrix = await packMatrix(memoryTensor('w', weights, [N, K], weights === 'q8_0' ? encodeBlocks('q8_0', decoded, N, K) : blocks), arena);
  const most = Math.max(...rowCounts);
  const [x, out] = [arena.take(most * K * 4), arena.take(most * N * 4)];
  const rounded = takeRounded(arena, most, K, bits);
  const team = await start?.(arena.memory, board, 2);
  const kernels = team ?? lowBitKernels(arena.memory, build);
  const given = new Map<number, Float32Array>(rowCounts.map((rows) => [rows, inputsOf(rows)]));
  return {
    name,
    async run(rows) {
      arena.floats(x, rows * K).set(given.get(rows)!);
      kernels.roundInputs(x, (rows * K) / 32, rounded);
      multiply(kernels, matrix, { x, rounded }, rows, out, N);
      return arena.floats(out, rows * N);
    },
    close: () => team?.stop(),
  };
}

/** What every place has; the engine's MatMulNBits with float inputs and MatMul come second and third from the end. */
export async function commonContenders(web: Engine, start: Team['start']): Promise<Contender[]> {
  return [
    await ours('fewbit int4, inputs int8', { bits: 8 }), await ours('fewbit int4, inputs float', { bits: 16 }), await ours('fewbit int8, inputs int8', { weights: 'q8_0', bits: 8 }),
    await ours('fewbit int4, inputs int8, 2 threads', { bits: 8, start }), await ours('fewbit int4, inputs float, 2 threads', { bits: 16, start }),
    await onEngine('onnxruntime-web MatMulNBits, int8', web, await matMulNBits(4)), await onEngine('onnxruntime-web MatMulNBits, float', web, await matMulNBits(0)),
    await onEngine('onnxruntime-web MatMul f32', web, await floatMatMul()),
  ];
}

/** A run is as many products as take this long, in ms, and its time their mean; the first one, for which other engines emptied the caches, is told beside it. */
const runLength = 10;

/** Lines of a table: medians (least–most) of runs that alternate, ratios of runs next to each other. */
export async function race(contenders: readonly Contender[], runs: number, baseline: { readonly nbits: number; readonly float: number }): Promise<string[]> {
  const lines: string[] = [];
  for (const rows of rowCounts) {
    const times = contenders.map((): number[] => []), first = contenders.map((): number[] => []);
    const reference = (await contenders[baseline.float].run(rows)).slice();
    const scale = Math.sqrt(reference.reduce((sum, v) => sum + v * v, 0) / reference.length);
    const far: number[] = [];
    for (const contender of contenders) far.push((await contender.run(rows)).reduce((most, v, i) => Math.max(most, Math.abs(v - reference[i])), 0) / scale);
    const timed = async (contender: Contender): Promise<number> => {
      const started = performance.now();
      await contender.run(rows);
      return performance.now() - started;
    };
    for (let run = 0; run < runs; run++) {
      for (const [i, contender] of contenders.entries()) {
        first[i].push(await timed(contender));
        let [all, count] = [0, 0];
        for (; all < runLength; count++) all += await timed(contender);
        times[i].push(all / count);
      }
    }
    lines.push('', `${rows} row${rows === 1 ? '' : 's'}`);
    contenders.forEach(({ name }, i) => {
      const ratio = (to: number): number => median(times[to].map((time, run) => time / times[i][run]));
      const { min, max } = minMax(times[i]);
      lines.push(`${name.padEnd(38)} ${median(times[i]).toFixed(2)} ms (${min.toFixed(2)}–${max.toFixed(2)}), ${ratio(baseline.nbits).toFixed(1)} times as fast as web MatMulNBits, ${ratio(baseline.float).toFixed(2)} as web f32; first product ${median(first[i]).toFixed(2)} ms; farthest value ${far[i].toExponential(1)} of the rms`);
    });
    const pairs = [[0, 3], [1, 4]] as const;
    lines.push(`two threads against one, next to each other: ${pairs.map(([one, two]) => median(times[one].map((time, run) => time / times[two][run])).toFixed(2)).join(' with inputs of int8, ')} with float ones`);
  }
  return lines;
}
