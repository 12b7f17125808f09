/** A matrix times tokens in a page, by one thread and by a team. */
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { lowBitKernels, type LowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { boardBytes } from '../../src/engine/kernels/team.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded } from '../../src/runtime/packed-matrix.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { moduleWorker } from './page-worker.ts';
import { sharedCodes, sharedWork } from './shared-work.ts';

const [rows, cols, tokens] = [512, 256, 5];
const blocks = encodeBlocks('q4_k', Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i)), rows, cols);

async function product(threads: number): Promise<number[]> {
  const team = threads > 1 ? workerTeam(threads, await moduleWorker('/made/worker.js')) : undefined;
  const arena = new Arena(team !== undefined);
  const board = arena.take(boardBytes);
  const matrix = await packMatrix(memoryTensor('w', 'q4_k', [rows, cols], blocks), arena);
  const [x, out, rounded] = [arena.take(4 * tokens * cols), arena.take(4 * tokens * rows), takeRounded(arena, tokens, cols, 16)];
  arena.floats(x, tokens * cols).set(Float32Array.from({ length: tokens * cols }, (_, i) => normal(2, 0, i)));
  const kernels: LowBitKernels & { stop?(): void } = (await team?.start(arena.memory, board, team.members)) ?? lowBitKernels(arena.memory);
  for (let run = 0; run < 20; run++) {
    kernels.roundInputs(x, (tokens * cols) / 32, rounded);
    multiply(kernels, matrix, { x, rounded }, tokens, out, rows);
  }
  kernels.stop?.();
  return [...arena.floats(out, tokens * rows)];
}

export async function products(threads: readonly number[]): Promise<number[][]> {
  const all: number[][] = [];
  for (const count of threads) all.push(await product(count));
  return all;
}

/** The same of attention and of products with inputs of few bits. */
export async function sharedByWorkers(threads: number): Promise<Record<string, string>> {
  return (await sharedWork(workerTeam(threads, await moduleWorker('/made/worker.js')))).hashes;
}

export const codesByWorkers = async (threads: number): Promise<string> => sharedCodes(workerTeam(threads, await moduleWorker('/made/worker.js')));
