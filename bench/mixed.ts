/**
 * Products with inputs of 4 and 8 bits beside those of 8 bits alone and of float32, 4096 × 4096, one thread:
 * node --import tsx bench/mixed.ts [runs]. Times are medians (least–most) of interleaved runs, ratios of runs next to
 * each other. The roofline: float32 weights are bound by memory, so its rate with one token is what memory gives; rates
 * over 256 rows, again and again, are what the instructions give once weights lie in the second-level cache.
 */
import { lowBitKernels } from '../src/engine/kernels/lowbit.ts';
import { blockSize, codeBytes, mixedKernels, packBytes, packNibbles, packScales } from '../src/engine/kernels/mixed.ts';
import { encodeFast } from '../src/engine/kernels/scales.ts';
import { encodeBlocks } from '../src/formats/ggml/index.ts';
import { parseFormat } from '../src/formats/registry.ts';
import { normal } from '../src/numeric/random.ts';
import { Arena } from '../src/runtime/arena.ts';
import { packMatrix } from '../src/runtime/packed-matrix.ts';
import { floatTensor, memoryTensor } from '../src/tensor-ref.ts';

const runs = Number(process.argv[2] ?? 11);
const [N, K, most, rank] = [4096, 4096, 16, 32];
const blocks = K / blockSize;
const arena = new Arena();
const put = (values: Uint8Array | Int8Array | Float32Array | Uint32Array): number => {
  const at = arena.take(values.byteLength);
  arena.bytesAt(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return at;
};
const values = Float32Array.from({ length: N * K }, (_, i) => normal(1, 0, i) * 0.02);
const x = put(Float32Array.from({ length: most * K }, (_, i) => normal(2, 0, i)));
const out = arena.take(4 * most * N);
const [mixed, lowbit] = [mixedKernels(arena.memory), lowBitKernels(arena.memory, 'plain SIMD')];

const four = encodeFast(parseFormat(`int4/g${blockSize}`), values, N, K)!;
const eight = encodeFast(parseFormat('int8/channel'), values, N, K)!;
const [fourAt, fourScales] = [put(packNibbles(four.codes as Int8Array, N, K)), put(packScales(four.scales, N, blocks))];
const [eightAt, eightScales] = [put(packBytes(eight.codes as Int8Array, N, K)), put(eight.scales)];
const [q4, q8, float] = [
  await packMatrix(memoryTensor('w', 'q4_0', [N, K], encodeBlocks('q4_0', values, N, K)), arena),
  await packMatrix(memoryTensor('w', 'q8_0', [N, K], encodeBlocks('q8_0', values, N, K)), arena), await packMatrix(floatTensor('w', [N, K], values), arena),
];
const [codes, scales, lifts, wideAt, order] = [arena.take(2 * most * K), arena.take(4 * most * K), arena.take(4 * most * blocks), arena.take(blocks), put(Uint32Array.from({ length: K }, (_, i) => (i * 5) % K))];
const [up, down] = [put(new Float32Array(N * rank).fill(0.01)), put(new Float32Array(most * rank).fill(1))];
const rounded = { codes, bytes: arena.take(most * K), scales, totals: arena.take(4 * most * K) };
const panels = { out, stride: N, first: 0, last: N / 4 };
const few = { ...panels, last: 64 };

interface Contender { readonly name: string; readonly bytes: number; run(tokens: number, rows?: typeof panels): void }
const withShare = (name: string, share: number, branch = false): Contender => ({
  name, bytes: N * K / 2 + 4 * N * blocks,
  run(tokens, rows = panels) {
    const flags = Uint8Array.from({ length: blocks }, (_, b) => (b >= blocks * (1 - share) ? 1 : 0));
    arena.bytesAt(wideAt, blocks).set(flags);
    const inputs = { tokens, blocks, wide: wideAt, codes, width: codeBytes(flags), scales, lifts };
    mixed.roundBlocks(x, order, inputs);
    mixed.product(fourAt, fourScales, inputs, rows, branch ? { up, down, rank } : undefined);
  },
});
const lowbitOf = (name: string, matrix: typeof q4, bytes: number): Contender => ({
  name, bytes,
  run(tokens, rows = panels) {
    const place = { weights: matrix.weights, groups: matrix.groups, tokens, ...rows };
    if (matrix === float) { lowbit.productFloat(place, x); return; }
    lowbit.roundInputs(x, (tokens * K) / 32, rounded);
    if (matrix === q4) lowbit.product4(place, matrix.scales, matrix.mins, rounded);
    else lowbit.product8(place, matrix.scales, 0, rounded);
  },
});
const contenders: readonly Contender[] = [
  lowbitOf('float32', float, 4 * N * K), withShare('W4A8, groups of 128', 1), withShare('W4A4 in blocks of 128', 0), withShare('W4, an eighth of the blocks A8', 1 / 8), withShare('the same with a branch of rank 32', 1 / 8, true),
  lowbitOf('W4A8, groups of 32', q4, N * K / 2 + N * K / 4), lowbitOf('W8A8, groups of 32', q8, N * K + N * K / 8),
  { name: 'W8A8, rows and tokens', bytes: N * K, run(tokens, rows = panels) { mixed.roundTokens(x, tokens, K, codes, scales); mixed.product8(eightAt, eightScales, K, codes, scales, tokens, rows); } },
];

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(`${N} × ${K}, ${runs} interleaved runs, plain SIMD, one thread`);
for (const [tokens, rows] of [[1, panels], [most, panels], [most, few]] as const) {
  const times = contenders.map((): number[] => []);
  for (const contender of contenders) contender.run(tokens, rows);
  for (let run = 0; run < runs; run++) {
    contenders.forEach((contender, i) => {
      const started = performance.now();
      contender.run(tokens, rows);
      times[i].push(performance.now() - started);
    });
  }
  const part = (4 * rows.last) / N;
  console.log(`\n${tokens} token${tokens === 1 ? '' : 's'}, ${4 * rows.last} rows`);
  contenders.forEach(({ name, bytes }, i) => {
    const against = (other: number): string => median(times[other].map((time, run) => time / times[i][run])).toFixed(2);
    const time = median(times[i]);
    console.log(`${name.padEnd(34)} ${time.toFixed(2)} ms (${Math.min(...times[i]).toFixed(2)}–${Math.max(...times[i]).toFixed(2)}), ${against(0)} times float32, ${against(1)} times W4A8; ${((bytes * part) / time / 1e6).toFixed(1)} GB/s of weights, ${((N * K * part * tokens) / time / 1e6).toFixed(1)} G products/s`);
  });
}
