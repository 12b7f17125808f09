/**
 * Matrix products shared by threads over one memory. A board of words says what is to be done; members take shares
 * of the panels until none are left. Every output is computed by one member in the order that it always has, so that any number of members
 * gives the same bits.
 */
import { lowBitKernels, type LowBitBuild, type LowBitKernels, type PackedForm, type ProductPlace, type RoundedPlace } from './lowbit.ts';

/** Bytes of the board; it lies at an address that is a multiple of 64. */
export const boardBytes = 256;

/** What a new thread must know. */
export interface Membership { readonly memory: WebAssembly.Memory; readonly board: number; readonly index: number; readonly members: number; readonly build: LowBitBuild }

/** Kernels whose products are shared; `stop` ends the other members. */
export type TeamKernels = LowBitKernels & { stop(): void };

/** How many threads share the products of a memory, the caller's own included, and what starts the others. */
export interface Team { readonly members: number; start(memory: WebAssembly.Memory, board: number, members: number): Promise<TeamKernels> }

/** Words of the board. What members look at while they wait, what they take work from and what is to be done do not share a line of a cache. */
const word = { epoch: 0, next: 16, done: 32, kind: 48, place: 49, rest: 56 } as const;
const kinds = ['product4', 'product8', 'product8Halves', 'productPacked', 'productFloat', 'stop'] as const;
type Kind = (typeof kinds)[number];

/** Groups of panels below which waking others costs what they save: some 60 microseconds of work; measured on a decoder of 34 million weights. */
const worthSharing = 8192;
/** Looks at the board before a member goes to sleep, some hundreds of microseconds: what a decoder does between products, and less than waking. */
const patience = 100_000;
/** Shares of the work per member. Members that begin late or are slower take fewer. */
const sharesEach = 8;

/** A form as a number, and back. */
const flagged = ({ bits, less, fine, minima, halves }: PackedForm): number => bits | (less << 4) | (Number(fine) << 8) | (Number(minima) << 9) | (Number(halves) << 10);
const unflagged = (flags: number, table: number): PackedForm =>
  ({ bits: (flags & 15) as PackedForm['bits'], less: (flags >> 4) & 15, table, fine: (flags & 256) !== 0, minima: (flags & 512) !== 0, halves: (flags & 1024) !== 0 });

/** Carries out shares of what the board says until none are left. */
function perform(kernels: LowBitKernels, board: Int32Array, members: number): void {
  const at = (index: number): number => board[index] >>> 0;
  const [first, last] = [at(word.place + 5), at(word.place + 6)];
  const each = Math.max(1, Math.ceil((last - first) / (members * sharesEach)));
  const place = { weights: at(word.place), groups: at(word.place + 1), tokens: at(word.place + 2), out: at(word.place + 3), stride: at(word.place + 4) };
  const [scales, mins] = [at(word.rest), at(word.rest + 1)];
  const inputs: RoundedPlace = { at: at(word.rest + 2), bits: at(word.rest + 3) === 8 ? 8 : 16 };
  for (;;) {
    const from = first + each * Atomics.add(board, word.next, 1);
    if (from >= last) return;
    const share: ProductPlace = { ...place, first: from, last: Math.min(last, from + each) };
    switch (kinds[board[word.kind]]) {
      case 'product4': kernels.product4(share, scales, mins, inputs); break;
      case 'product8': kernels.product8(share, scales, mins, inputs); break;
      case 'product8Halves': kernels.product8Halves(share, scales, inputs); break;
      case 'productPacked': kernels.productPacked(share, unflagged(at(word.rest + 4), at(word.rest + 5)), scales, inputs); break;
      case 'productFloat': kernels.productFloat(share, inputs.at); break;
      default: return;
    }
  }
}

/** The thread of a page may not. */
function maySleep(board: Int32Array): boolean {
  try {
    return Atomics.wait(board, word.done, -1, 0) === 'not-equal';
  } catch {
    return false;
  }
}

/** Kernels whose products are shared with the other members; member 0 is the caller's thread. */
export function teamKernels({ memory, board: at, members, build }: Omit<Membership, 'index'>): TeamKernels {
  const own = lowBitKernels(memory, build);
  const board = new Int32Array(memory.buffer, at, boardBytes / 4);
  const announce = (kind: Kind, values: readonly number[]): void => {
    board[word.kind] = kinds.indexOf(kind);
    values.forEach((value, i) => { board[word.place + i] = value; });
    Atomics.store(board, word.done, 0);
    Atomics.store(board, word.next, 0);
    Atomics.add(board, word.epoch, 1);
    Atomics.notify(board, word.epoch);
  };
  const sleeps = maySleep(board);
  /** Others have at most the share that each has taken left, unless they are kept from running: then this thread makes room. */
  const finished = (): void => {
    for (let looks = 0; ; looks++) {
      const done = Atomics.load(board, word.done);
      if (done === members - 1) return;
      if (sleeps && looks >= patience) Atomics.wait(board, word.done, done);
    }
  };
  const share = (kind: Kind, p: ProductPlace, rest: readonly number[], alone: () => void): void => {
    if ((p.last - p.first) * p.groups * p.tokens < worthSharing) return alone();
    announce(kind, [p.weights, p.groups, p.tokens, p.out, p.stride, p.first, p.last, ...rest]);
    perform(own, board, members);
    finished();
  };
  return {
    ...own,
    product4: (p, scales, mins, x) => share('product4', p, [scales, mins, x.at, x.bits], () => own.product4(p, scales, mins, x)),
    product8: (p, scales, mins, x) => share('product8', p, [scales, mins, x.at, x.bits], () => own.product8(p, scales, mins, x)),
    product8Halves: (p, scales, x) => share('product8Halves', p, [scales, 0, x.at, x.bits], () => own.product8Halves(p, scales, x)),
    productPacked: (p, form, sides, x) => share('productPacked', p, [sides, 0, x.at, x.bits, flagged(form), form.table], () => own.productPacked(p, form, sides, x)),
    productFloat: (p, x) => share('productFloat', p, [0, 0, x, 0], () => own.productFloat(p, x)),
    stop: () => announce('stop', []),
  };
}

/** The life of another member: works whenever the board says so, until it says stop. */
export function joinTeam({ memory, board: at, index, members, build }: Membership, onReady: () => void): void {
  const kernels = lowBitKernels(memory, build, index);
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
    perform(kernels, board, members);
    if (Atomics.add(board, word.done, 1) === members - 2) Atomics.notify(board, word.done);
  }
}

