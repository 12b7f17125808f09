/** Attention of one head by kernels on the same machine, one thread: times of runs that alternate, packing of keys and values included. */
import { attentionKernels, causal, codeScratchBytes, floatScratchBytes, packedCodeBytes, packedFloatBytes, type KeysPlace, type LowBitAttention, type QueriesPlace } from '../engine/kernels/attention.ts';
import { lowBitKernels } from '../engine/kernels/lowbit.ts';
import { normal } from '../numeric/random.ts';
import { cosine, median } from '../numeric/statistics.ts';
import { Arena } from '../runtime/arena.ts';
import { inTurns, ratios } from './in-turns.ts';

export const speedNames = { float: 'float32', token: 'float32 by token', four: 'codes of 4 bits', eight: 'codes of 8 bits', rough: 'codes of 8 bits, nothing smoothed' } as const;
const codes: Readonly<Record<string, LowBitAttention>> = {
  [speedNames.four]: { bits: 4 }, [speedNames.eight]: { bits: 8 }, [speedNames.rough]: { bits: 8, smooth: { queries: false, keys: false, values: false } },
};

export interface AttentionTimes {
  /** Milliseconds of each round. */
  readonly times: readonly number[];
  /** Of the outputs, to those of float32. */
  readonly cosine: number;
}

/** By way: our best float32, that token by token as decoders attend, and low-bit codes. */
export function attentionTimes(count: number, width: number, isCausal: boolean, runs: number): Map<string, AttentionTimes> {
  const arena = new Arena();
  const [query, keys, values, out] = [1, 2, 3, 4].map(() => arena.take(4 * count * width));
  [query, keys, values].forEach((at, i) => arena.floats(at, count * width).set(Float32Array.from({ length: count * width }, (_, j) => normal(i, 0, j))));
  const packed = arena.take(Math.max(packedFloatBytes(count, width), packedCodeBytes(count, width)));
  const scratch = arena.take(Math.max(floatScratchBytes(width), codeScratchBytes(count, width)));
  const scores = arena.take(4 * count + 16);
  const stride = 4 * width;
  const head: KeysPlace = { keys, values, stride, count, width };
  const place: QueriesPlace = { query, queryStride: stride, rows: count, out, outStride: stride, scale: 1 / Math.sqrt(width), visible: isCausal ? causal(count, count) : { shown: count, step: 0 } };
  const [kernels, byToken] = [attentionKernels(arena.memory), lowBitKernels(arena.memory)];
  const ways = new Map<string, () => void>([
    [speedNames.float, () => { kernels.packFloat(head, packed); kernels.attendFloat(place, head, packed, scratch); }],
    [speedNames.token, () => { for (let r = 0; r < count; r++) byToken.attend(query + r * stride, keys, values, stride, 0, isCausal ? r + 1 : count, width, place.scale, scores, out + r * stride); }],
    ...Object.entries(codes).map(([name, how]) => [name, () => { kernels.packCodes(head, how, scratch, packed); kernels.attendCodes(place, head, how, packed, scratch); }] as const),
  ]);
  const outputs = [...ways.values()].map((run) => {
    run();
    return arena.floats(out, count * width).slice();
  });
  const times = inTurns([...ways.values()], runs);
  return new Map([...ways.keys()].map((name, i) => [name, { times: times[i], cosine: cosine(outputs[0], outputs[i]) }]));
}

/** Median of how many times as fast as another way one is, round by round. */
export function timesAsFast(all: ReadonlyMap<string, AttentionTimes>, one: string, other: string): number {
  return median(ratios(all.get(one)!.times, all.get(other)!.times));
}
