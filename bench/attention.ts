/**
 * Attention of one head in low-bit codes beside our float32 kernel, and that beside attention token by token as decoders
 * compute it: `npm run bench attention`. Times are medians (least–most) of interleaved runs; ratios are of runs next to each other.
 */
import { attentionKernels, causal, codeScratchBytes, floatScratchBytes, packedCodeBytes, packedFloatBytes, type KeysPlace, type LowBitAttention, type QueriesPlace } from '../src/engine/kernels/attention.ts';
import { fastestBuild, lowBitKernels } from '../src/engine/kernels/lowbit.ts';
import { normal } from '../src/numeric/random.ts';
import { Arena } from '../src/runtime/arena.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 9);
const width = 64;
const sizes = (process.env.FEWBIT_BENCH_SIZES ?? '1024,2048,4096').split(',').map(Number);
const smooth = { queries: true, keys: true, values: true };
const codes: Readonly<Record<string, LowBitAttention>> = { 'codes of 4 bits': { bits: 4, smooth }, 'codes of 8 bits': { bits: 8, smooth }, 'codes of 8 bits, nothing smoothed': { bits: 8, smooth: { queries: false, keys: false, values: false } } };
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const median = (list: readonly number[]): number => sorted(list)[list.length >> 1];

console.log(`attention of one head of ${width} channels, ${runs} interleaved runs, one thread, packing of keys and values included; ${fastestBuild()} for attention by token`);
for (const count of sizes) {
  for (const isCausal of [false, true]) {
    const arena = new Arena();
    const [query, keys, values, out] = [1, 2, 3, 4].map(() => arena.take(4 * count * width));
    for (const [i, at] of [query, keys, values].entries()) arena.floats(at, count * width).set(Float32Array.from({ length: count * width }, (_, j) => normal(i, 0, j)));
    const packed = arena.take(Math.max(packedFloatBytes(count, width), packedCodeBytes(count, width)));
    const scratch = arena.take(Math.max(floatScratchBytes(width), codeScratchBytes(count, width)));
    const scores = arena.take(4 * count + 16);
    const head: KeysPlace = { keys, values, stride: 4 * width, count, width };
    const place: QueriesPlace = { query, queryStride: 4 * width, rows: count, out, outStride: 4 * width, scale: 1 / Math.sqrt(width), visible: isCausal ? causal(count, count) : { shown: count, step: 0 } };
    const kernels = attentionKernels(arena.memory);
    const byToken = lowBitKernels(arena.memory);
    const ways: Record<string, () => void> = {
      float32: () => { kernels.packFloat(head, packed); kernels.attendFloat(place, head, packed, scratch); },
      'float32 by token': () => { for (let r = 0; r < count; r++) byToken.attend(query + 4 * r * width, keys, values, 4 * width, 0, isCausal ? r + 1 : count, width, place.scale, scores, out + 4 * r * width); },
    };
    for (const [name, how] of Object.entries(codes)) ways[name] = () => { kernels.packCodes(head, how, scratch, packed); kernels.attendCodes(place, head, how, packed, scratch); };
    const times = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
    const far = new Map<string, number>();
    ways.float32();
    const exact = arena.floats(out, count * width).slice();
    for (const [name, run] of Object.entries(ways)) {
      run();
      const found = arena.floats(out, count * width);
      let [both, one, other] = [0, 0, 0];
      exact.forEach((value, i) => { both += value * found[i]; one += value * value; other += found[i] * found[i]; });
      far.set(name, both / Math.sqrt(one * other));
    }
    for (let i = 0; i < runs; i++) {
      for (const [name, run] of Object.entries(ways)) {
        const started = performance.now();
        run();
        times.get(name)!.push(performance.now() - started);
      }
    }
    console.log(`\n${count} queries and keys${isCausal ? ', causal' : ''}`);
    for (const [name, list] of times) {
      const ratio = median(times.get('float32')!.map((time, i) => time / list[i]));
      console.log(`${name.padEnd(34)} ${median(list).toFixed(1)} ms (${sorted(list)[0].toFixed(1)}–${sorted(list).at(-1)!.toFixed(1)}), ${ratio.toFixed(2)} times as fast as float32; cosine to it ${far.get(name)!.toFixed(6)}`);
    }
  }
}
