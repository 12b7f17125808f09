/** Products of one matrix at several widths on the same kernels and machine, one thread: times of runs that alternate. */
import type { Build } from '../engine/kernels/builds.ts';
import { lowBitKernels } from '../engine/kernels/lowbit.ts';
import { lookupKernels, packDigits, panelRows, tableBytes, ternary } from '../engine/kernels/lookup.ts';
import { blockSize, codeBytes, mixedKernels, packBytes, packNibbles, packScales } from '../engine/kernels/mixed.ts';
import { encodeFast } from '../engine/kernels/scales.ts';
import { parseFormat } from '../formats/registry.ts';
import { normal } from '../numeric/random.ts';
import { Arena } from '../runtime/arena.ts';
import { packMatrix } from '../runtime/packed-matrix.ts';
import { floatTensor } from '../tensor-ref.ts';
import { inTurns } from './in-turns.ts';

export interface Contender {
  readonly name: string;
  /** Bytes of the weights with their scales. */
  readonly bytes: number;
  /** Rounds inputs and multiplies, of `rows` rows. */
  run(tokens: number, rows: number): void;
}

export const speedNames = {
  float: 'float32', wide: 'W4A8 in blocks of 128', narrow: 'W4A4 in blocks of 128', mixed: 'W4, an eighth of the blocks A8', branch: 'the same with a branch of rank 32',
  channel: 'W8A8, rows and tokens', ternary: 'ternary weights, A8, additions alone',
} as const;

/** Everything for a matrix of `size` × `size`, a multiple of 128, and up to `most` tokens; `build` is that of all but the float product. */
export async function openContenders(size: number, most: number, build: Build = 'plain SIMD'): Promise<readonly Contender[]> {
  const rank = 32;
  const blocks = size / blockSize;
  const arena = new Arena();
  const put = (values: Uint8Array | Int8Array | Float32Array | Uint32Array): number => {
    const at = arena.take(values.byteLength);
    arena.bytesAt(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return at;
  };
  const values = Float32Array.from({ length: size * size }, (_, i) => normal(1, 0, i) * 0.02);
  const four = encodeFast(parseFormat(`int4/g${blockSize}`), values, size, size)!;
  const eight = encodeFast(parseFormat('int8/channel'), values, size, size)!;
  const [fourAt, fourScales] = [put(packNibbles(four.codes as Int8Array, size, size)), put(packScales(four.scales, size, blocks))];
  const [eightAt, eightScales] = [put(packBytes(eight.codes as Int8Array, size, size)), put(eight.scales)];
  const digits = put(packDigits(Uint8Array.from(four.codes, (code) => (Math.abs(code) < 2 ? 0 : code > 0 ? 1 : 2)), size, size));
  const digitScales = put(new Float32Array(size * blocks).fill(0.02));
  const tables = arena.take(most * tableBytes(blocks));
  const float = await packMatrix(floatTensor('w', [size, size], values), arena);
  const x = put(Float32Array.from({ length: most * size }, (_, i) => normal(2, 0, i)));
  const order = put(Uint32Array.from({ length: size }, (_, i) => (i * 5) % size));
  const [up, down] = [put(new Float32Array(size * rank).fill(0.01)), put(new Float32Array(most * rank).fill(1))];
  const [out, codes, scales, lifts, wide] = [arena.take(4 * most * size), arena.take(2 * most * size), arena.take(4 * most * size), arena.take(4 * most * blocks), arena.take(blocks)];
  const [mixed, lookup, lowbit] = [mixedKernels(arena.memory, build), lookupKernels(arena.memory, build), lowBitKernels(arena.memory, 'plain SIMD')];
  const output = (rows: number) => ({ out, stride: size, first: 0, last: rows / 4 });

  const byBlock = (name: string, share: number, branch = false): Contender => ({
    name, bytes: (size * size) / 2 + 4 * size * blocks,
    run(tokens, rows) {
      const flags = Uint8Array.from({ length: blocks }, (_, b) => (b >= blocks * (1 - share) ? 1 : 0));
      arena.bytesAt(wide, blocks).set(flags);
      const inputs = { tokens, blocks, wide, codes, width: codeBytes(flags), scales, lifts };
      mixed.roundBlocks(x, order, inputs);
      mixed.product(fourAt, fourScales, inputs, output(rows), branch ? { up, down, rank } : undefined);
    },
  });
  return [
    { name: speedNames.float, bytes: 4 * size * size, run: (tokens, rows) => lowbit.productFloat({ weights: float.weights, groups: float.groups, tokens, ...output(rows), last: (float.panels * rows) / size }, x) },
    byBlock(speedNames.wide, 1), byBlock(speedNames.narrow, 0), byBlock(speedNames.mixed, 1 / 8), byBlock(speedNames.branch, 1 / 8, true),
    {
      name: speedNames.channel, bytes: size * size,
      run(tokens, rows) {
        mixed.roundTokens(x, tokens, size, codes, scales);
        mixed.product8(eightAt, eightScales, size, codes, scales, tokens, output(rows));
      },
    },
    {
      name: speedNames.ternary, bytes: (size * size) / 4 + 4 * size * blocks,
      run(tokens, rows) {
        const inputs = { tokens, blocks, tables, scales };
        lookup.tables(x, ternary, false, inputs);
        lookup.product(digits, digitScales, inputs, { out, stride: size, first: 0, last: rows / panelRows, panels: size / panelRows });
      },
    },
  ];
}

/** Milliseconds of each contender in each of `runs` rounds, by a clock that should leave out what other processes take. */
export function alternate(contenders: readonly Contender[], tokens: number, rows: number, runs: number, clock: () => number): number[][] {
  const ways = contenders.map((contender) => () => contender.run(tokens, rows));
  for (const run of ways) run();
  return inTurns(ways, runs, clock);
}
