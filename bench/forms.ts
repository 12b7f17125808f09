/**
 * Products of one matrix in every form that decoders multiply, beside 4-bit integers, 4096 × 4096, one thread: tables,
 * trellises, block types, and inputs of 4 and 8 bits with and without a branch of low rank: `npm run bench forms`. Processor times are
 * medians (least–most) of runs that alternate, ratios of runs next to each other; before a run other matrices have emptied the
 * caches, and the same product once more finds there what fits.
 */
import { fastestBuild, lowBitKernels } from '../src/engine/kernels/lowbit.ts';
import { codesOf, isCoded, type CodedMatrix } from '../src/formats/coded.ts';
import { parseFormat } from '../src/formats/registry.ts';
import { encodeBlocks } from '../src/formats/ggml/index.ts';
import { isTrellisFormat } from '../src/formats/trellis/trellis.ts';
import { normal, randomInteger } from '../src/numeric/random.ts';
import { median, minMax } from '../src/numeric/statistics.ts';
import { Arena } from '../src/runtime/arena.ts';
import { multiply, packMatrix, takeRounded, type PackedMatrix } from '../src/runtime/packed-matrix.ts';
import { floatTensor, memoryTensor, type BlockType } from '../src/tensor-ref.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 9);
const size = Number(process.env.FEWBIT_BENCH_SIZE ?? 4096);
const rank = 32;
const counts = [1, 16];

const arena = new Arena();
const kernels = lowBitKernels(arena.memory);
const values = Float32Array.from({ length: size * size }, (_, i) => normal(1, 0, i));
const float = floatTensor('w', [size, size], values);

function coded(spelling: string): CodedMatrix {
  const format = parseFormat(spelling);
  if (isTrellisFormat(format)) {
    // Speed does not depend on which codes they are.
    const { strips, stripBytes } = format.layout(size, size);
    return { read: async () => undefined, trellis: async () => ({ format, codes: Uint8Array.from({ length: strips * stripBytes }, (_, i) => randomInteger(2, 0, i, 256)), scales: new Float32Array(size).fill(1) }) };
  }
  if (!isCoded(format, size)) throw new Error(`${spelling} is no format of codes`);
  const codes = codesOf(format, format.encode(values, size, size));
  return { read: async () => codes };
}

const four = coded('int4/g128');
const branch = async () => ({ rank, down: values.slice(0, rank * size), up: values.slice(0, rank * size) });
const of = (format: string) => ({ format: parseFormat(format) });
const forms: readonly (readonly [name: string, coded: CodedMatrix | undefined])[] = [
  ['int4/g32', coded('int4/g32')], ['int4/g128', four], ['nf4/b64', coded('nf4/b64')], ['e2m1/g32', coded('e2m1/g32')], ['int3/g32', coded('int3/g32')], ['int2/g32', coded('int2/g32')], ['int8/channel', coded('int8/channel')],
  ['tcq3 (pairs, 12 bits of state)', coded('tcq3')], ['tcq4 (sums of bytes, 12 bits)', coded('tcq4')], ['tcq3/l16 (pairs, 16 bits)', coded('tcq3/l16')],
  ['int4/g128 × int4/g128', { ...four, inputs: of('int4/g128') }], ['int4/g128 × int8/g128', { ...four, inputs: of('int8/g128') }],
  [`int4/g128 × int4/g128, branch of rank ${rank}`, { ...four, inputs: of('int4/g128'), branch }], [`int4/g128, branch of rank ${rank}`, { ...four, branch }],
  ['float32', undefined],
];
const blockTypes: readonly BlockType[] = ['q4_0', 'q4_1', 'q4_k', 'q5_0', 'q8_0', 'q5_1', 'q5_k', 'q6_k', 'q2_k', 'q3_k', 'tq2_0', 'iq4_xs', 'iq4_nl', 'mxfp4', 'nvfp4'];
/** Rows that are encoded and then repeated. */
const few = 32;
const most = Math.max(...counts);
const [x, out, rounded] = [arena.take(4 * most * size), arena.take(4 * most * size), takeRounded(arena, most, size)];
const matrices: { readonly name: string; readonly matrix: PackedMatrix }[] = [];
for (const [name, its] of forms) matrices.push({ name, matrix: await packMatrix(its === undefined ? float : { ...float, coded: its }, arena) });
for (const type of blockTypes) {
  const rows = encodeBlocks(type, values.subarray(0, few * size), few, size);
  const bytes = Uint8Array.from({ length: (rows.length * size) / few }, (_, i) => rows[i % rows.length]);
  matrices.push({ name: type, matrix: await packMatrix(memoryTensor('w', type, [size, size], bytes), arena) });
}
arena.floats(x, most * size).forEach((_, i, all) => { all[i] = normal(3, 0, i); });

/** Milliseconds of a product, rounding of its inputs included. */
function timed(matrix: PackedMatrix, tokens: number): number {
  const before = process.cpuUsage().user;
  kernels.roundInputs(x, (tokens * size) / 32, rounded);
  multiply(kernels, matrix, { x, rounded }, tokens, out, size);
  return (process.cpuUsage().user - before) / 1000;
}

console.log(`${size} × ${size}, ${runs} interleaved runs, one thread, ${fastestBuild()}; inputs int8 where none are named`);
for (const tokens of counts) {
  const [times, again] = [0, 1].map(() => matrices.map((): number[] => []));
  for (const { matrix } of matrices) timed(matrix, tokens);
  for (let run = 0; run < runs; run++) {
    for (const [i, { matrix }] of matrices.entries()) for (const list of [times[i], again[i]]) list.push(timed(matrix, tokens));
  }
  console.log(`\n${tokens} token${tokens === 1 ? '' : 's'}`);
  for (const [i, { name, matrix }] of matrices.entries()) {
    const { min, max } = minMax(times[i]);
    console.log(`${name.padEnd(42)} ${median(times[i]).toFixed(2)} ms (${min.toFixed(2)}–${max.toFixed(2)}), ${median(times[i].map((time, run) => time / times[0][run])).toFixed(2)} times int4/g32; once more ${median(again[i]).toFixed(2)} (from ${minMax(again[i]).min.toFixed(2)}); ${(8 * matrix.bytes / size / size).toFixed(2)} bits a weight in memory`);
  }
}
