/** Attention of one head shared by the threads of a team, block by block of its queries. */
import { attentionKernels, blockRows, codeScratchBytes, floatScratchBytes, groupings, smoothedRows, type AttentionKernels, type KeysPlace, type LowBitAttention, type QueriesPlace } from './attention.ts';
import type { Share, Works } from './team.ts';

/** Products below which waking others costs what they save, some 60 microseconds of work. */
const worthSharing = 2 ** 21;
const everyKey = 2 ** 31 - 1;

const bitsOf = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0];
const floatOf = (bits: number): number => new Float32Array(Int32Array.of(bits).buffer)[0];

/** Places, packed keys and scratch as words, and back. */
const wordsOf = ({ query, queryStride, rows, out, outStride, scale, visible: { shown, step, window = everyKey } }: QueriesPlace, { count, width }: KeysPlace, packed: number, scratch: number): number[] =>
  [query, queryStride, rows, out, outStride, bitsOf(scale), shown, step, window, count, width, packed, scratch];

function placesOf(word: (index: number) => number, size: number, first: number, last: number): { readonly queries: QueriesPlace; readonly head: KeysPlace; readonly packed: number; readonly scratch: number } {
  const at = (i: number): number => word(i) >>> 0;
  const [before, step] = [first * size, word(7) as 0 | 1];
  return {
    queries: {
      query: at(0) + before * at(1), queryStride: at(1), rows: Math.min(at(2), last * size) - before, out: at(3) + before * at(4), outStride: at(4), scale: floatOf(word(5)),
      visible: { shown: word(6) + before * step, step, window: at(8) },
    },
    head: { keys: 0, values: 0, stride: 0, count: at(9), width: at(10) }, packed: at(11), scratch: at(12),
  };
}

const numberOf = ({ bits, grouping = 'thread', smooth = { queries: true, keys: true, values: true } }: LowBitAttention): number =>
  bits | (groupings.indexOf(grouping) << 4) | (Number(smooth.queries) << 8) | (Number(smooth.keys) << 9) | (Number(smooth.values) << 10);
const howOf = (number: number): LowBitAttention =>
  ({ bits: (number & 15) as 4 | 8, grouping: groupings[(number >> 4) & 15], smooth: { queries: (number & 256) !== 0, keys: (number & 512) !== 0, values: (number & 1024) !== 0 } });

export function attentionWorks(memory: WebAssembly.Memory, member: number): Works {
  const own = attentionKernels(memory);
  return {
    attendFloat(word, first, last) {
      const { queries, head, packed, scratch } = placesOf(word, blockRows, first, last);
      own.attendFloat(queries, head, packed, scratch + member * floatScratchBytes(head.width));
    },
    attendCodes(word, first, last) {
      const { queries, head, packed, scratch } = placesOf(word, smoothedRows, first, last);
      own.attendCodes(queries, head, howOf(word(13)), packed, scratch + member * codeScratchBytes(head.count, head.width));
    },
  };
}

/** Kernels over the memory of a team that has `attention`; each member takes as much scratch as one alone does. */
export function sharedAttention(memory: WebAssembly.Memory, share: Share): AttentionKernels {
  const own = attentionKernels(memory);
  const few = ({ rows }: QueriesPlace, { count, width }: KeysPlace): boolean => rows * count * width < worthSharing;
  return {
    ...own,
    attendFloat(queries, head, packed, scratch) {
      if (few(queries, head)) return own.attendFloat(queries, head, packed, scratch);
      share('attendFloat', wordsOf(queries, head, packed, scratch), 0, Math.ceil(queries.rows / blockRows));
    },
    attendCodes(queries, head, how, packed, scratch) {
      if (few(queries, head)) return own.attendCodes(queries, head, how, packed, scratch);
      share('attendCodes', [...wordsOf(queries, head, packed, scratch), numberOf(how)], 0, Math.ceil(queries.rows / smoothedRows));
    },
  };
}
