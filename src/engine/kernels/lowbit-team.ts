/**
 * Matrix products shared by threads over one memory. A board of words says what is to be done; each member takes its part
 * of the panels. Every output is computed by one member in the order that it always has, so that any number of members
 * gives the same bits.
 */
import { lowBitKernels, type LowBitBuild, type LowBitKernels, type ProductPlace } from './lowbit.ts';

/** Bytes of the board; it lies at an address that is a multiple of 64. */
export const boardBytes = 128;

/** What a new thread must know. */
export interface Membership { readonly memory: WebAssembly.Memory; readonly board: number; readonly index: number; readonly members: number; readonly build: LowBitBuild }

const word = { epoch: 0, done: 1, kind: 2, place: 3, rest: 10 } as const;
const kinds = ['product4', 'product4Float', 'product8', 'product8Halves', 'productFloat', 'stop'] as const;
type Kind = (typeof kinds)[number];

/** Groups of panels below which waking others takes longer than the work. */
const worthSharing = 4096;
/** Looks at the board before a member goes to sleep, a few tens of microseconds. */
const patience = 20_000;

const part = ({ first, last }: ProductPlace, index: number, members: number): { first: number; last: number } =>
  ({ first: first + Math.floor(((last - first) * index) / members), last: first + Math.floor(((last - first) * (index + 1)) / members) });

/** Carries out what the board says, for one member. */
function perform(kernels: LowBitKernels, board: Int32Array, index: number, members: number): void {
  const [weights, groups, tokens, out, stride, first, last] = [...board.subarray(word.place, word.place + 7)].map((n) => n >>> 0);
  const r = [...board.subarray(word.rest, word.rest + 6)].map((n) => n >>> 0);
  const place: ProductPlace = { weights, groups, tokens, out, stride, ...part({ weights, groups, tokens, out, stride, first, last }, index, members) };
  const rounded = { codes: r[2], bytes: r[3], scales: r[4], totals: r[5] };
  switch (kinds[board[word.kind]]) {
    case 'product4': return kernels.product4(place, r[0], r[1], rounded);
    case 'product4Float': return kernels.product4Float(place, r[0], r[1], { values: r[2], totals: r[3] });
    case 'product8': return kernels.product8(place, r[0], r[1], rounded);
    case 'product8Halves': return kernels.product8Halves(place, r[0], rounded);
    case 'productFloat': return kernels.productFloat(place, r[0]);
    default:
  }
}

/** Kernels whose products are shared with the other members; member 0 is the caller's thread. */
export function teamKernels({ memory, board: at, members, build }: Omit<Membership, 'index'>): LowBitKernels & { stop(): void } {
  const own = lowBitKernels(memory, build);
  const board = new Int32Array(memory.buffer, at, boardBytes / 4);
  const announce = (kind: Kind, values: readonly number[]): void => {
    board[word.kind] = kinds.indexOf(kind);
    values.forEach((value, i) => { board[word.place + i] = value; });
    Atomics.store(board, word.done, 0);
    Atomics.add(board, word.epoch, 1);
    Atomics.notify(board, word.epoch);
  };
  const share = (kind: Kind, p: ProductPlace, rest: readonly number[], alone: () => void): void => {
    if ((p.last - p.first) * p.groups * p.tokens < worthSharing) return alone();
    announce(kind, [p.weights, p.groups, p.tokens, p.out, p.stride, p.first, p.last, ...rest]);
    perform(own, board, 0, members);
    while (Atomics.load(board, word.done) < members - 1);
  };
  return {
    ...own,
    product4: (p, scales, mins, x) => share('product4', p, [scales, mins, x.codes, x.bytes, x.scales, x.totals], () => own.product4(p, scales, mins, x)),
    product4Float: (p, scales, mins, x) => share('product4Float', p, [scales, mins, x.values, x.totals], () => own.product4Float(p, scales, mins, x)),
    product8: (p, scales, mins, x) => share('product8', p, [scales, mins, x.codes, x.bytes, x.scales, x.totals], () => own.product8(p, scales, mins, x)),
    product8Halves: (p, scales, x) => share('product8Halves', p, [scales, 0, x.codes, x.bytes, x.scales, x.totals], () => own.product8Halves(p, scales, x)),
    productFloat: (p, x) => share('productFloat', p, [x], () => own.productFloat(p, x)),
    stop: () => announce('stop', []),
  };
}

/** The life of another member: works whenever the board says so, until it says stop. */
export function joinTeam({ memory, board: at, index, members, build }: Membership, onReady: () => void): void {
  const kernels = lowBitKernels(memory, build);
  const board = new Int32Array(memory.buffer, at, boardBytes / 4);
  let seen = Atomics.load(board, word.epoch);
  onReady();
  for (;;) {
    for (let i = 0; i < patience && Atomics.load(board, word.epoch) === seen; i++);
    if (Atomics.load(board, word.epoch) === seen) Atomics.wait(board, word.epoch, seen);
    const now = Atomics.load(board, word.epoch);
    if (now === seen) continue;
    seen = now;
    if (kinds[board[word.kind]] === 'stop') return;
    perform(kernels, board, index, members);
    Atomics.add(board, word.done, 1);
  }
}

