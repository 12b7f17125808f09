/**
 * Work shared by threads over one memory. A board of words says what is to be done; members take shares of it until none
 * are left. Every output is computed by one member in the order that it always has, so that any number of members gives
 * the same bits.
 */
import type { Build } from './builds.ts';

/** Bytes of the board; it lies at an address that is a multiple of 64. */
export const boardBytes = 320;

/** Kernels that members have beside those of language models, each loaded where it is asked for. */
const others = {
  attention: async () => (await import('./attention-team.ts')).attentionWorks,
  lookup: async () => (await import('./lookup-team.ts')).lookupWorks,
  mixed: async () => (await import('./mixed-team.ts')).mixedWorks,
  qdq: async () => (await import('./qdq-team.ts')).qdqWorks,
} satisfies Readonly<Record<string, () => Promise<(memory: WebAssembly.Memory, member: number) => Works>>>;
export type OtherKernels = keyof typeof others;

/** What a new thread must know. */
export interface Membership {
  readonly memory: WebAssembly.Memory; readonly board: number; readonly index: number; readonly members: number; readonly build: Build;
  readonly also: readonly OtherKernels[];
}

/** Does the share [first, last) of a work whose numbers, signed words of 32 bits, are read one by one. */
export type Work = (word: (index: number) => number, first: number, last: number) => void;
/** By name; all members have the same ones in the same order. */
export type Works = Readonly<Record<string, Work>>;

/** Has all members, the caller's thread among them, do [first, last) of a work; ends when all of it is done. */
export type Share = (name: string, words: readonly number[], first: number, last: number) => void;

/**
 * Words of the board. What members look at while they wait, what they take work from and what is to be done do not share a line of
 * a cache. `next` holds the lowest bits of the epoch beside the number of the next share: a member that was kept from running
 * since it read what is to be done takes no share of something else, and nobody waits for one that has taken none.
 */
const word = { epoch: 0, next: 16, done: 32, kind: 48, first: 49, last: 50, rest: 51 } as const;
const words = boardBytes / 4;
const shareBits = 8;
const mostShares = 2 ** shareBits - 1;
/** All bits: no share has this number. The board is being written. */
const closed = -1;
/** Kind of work that ends members. */
const stop = -1;

/** Looks at the board before a member goes to sleep, some hundreds of microseconds: what a decoder does between products, and less than waking. */
const patience = 100_000;
/** Shares of the work per member. Members that begin late or are slower take fewer. */
const sharesEach = 8;

/** Those that members have beside the ones of language models. */
export async function otherWorks({ memory, index, also }: Pick<Membership, 'memory' | 'index' | 'also'>): Promise<Works> {
  const made = await Promise.all(also.map(async (name) => (await others[name]())(memory, index)));
  return Object.assign({}, ...made) as Works;
}

/** What the board says at an epoch, as one member has read it. */
interface Task { readonly epoch: number; readonly kind: number; readonly first: number; readonly last: number; readonly each: number; readonly shares: number; readonly at: (index: number) => number }

function read(board: Int32Array, epoch: number, members: number): Task {
  const copy = board.slice(word.kind, words);
  const [kind, first, last] = copy;
  const each = Math.max(1, Math.ceil((last - first) / (members * sharesEach)));
  return { epoch, kind, first, last, each, shares: Math.min(mostShares, Math.ceil((last - first) / each)), at: (index) => copy[word.rest - word.kind + index] };
}

/** Carries out shares until none are left, or the board is about something else. */
function perform(list: readonly Work[], board: Int32Array, { epoch, kind, first, last, each, shares, at }: Task): void {
  for (;;) {
    const next = Atomics.load(board, word.next);
    const share = next & mostShares;
    if (share >= shares || next >> shareBits !== (epoch << shareBits) >> shareBits) return;
    if (Atomics.compareExchange(board, word.next, next, next + 1) !== next) continue;
    const from = first + each * share;
    list[kind](at, from, Math.min(last, from + each));
    if (Atomics.add(board, word.done, 1) === shares - 1) Atomics.notify(board, word.done);
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

/** What the first member, the caller's thread, leads the others by. */
export function leadTeam({ memory, board: at, members }: Pick<Membership, 'memory' | 'board' | 'members'>, works: Works): { readonly share: Share; stop(): void } {
  const board = new Int32Array(memory.buffer, at, words);
  const [names, list] = [Object.keys(works), Object.values(works)];
  const announce = (kind: number, rest: readonly number[], first: number, last: number): Task => {
    Atomics.store(board, word.next, closed);
    board[word.kind] = kind;
    board[word.first] = first;
    board[word.last] = last;
    rest.forEach((value, i) => { board[word.rest + i] = value; });
    const epoch = (Atomics.load(board, word.epoch) + 1) | 0;
    Atomics.store(board, word.done, 0);
    Atomics.store(board, word.next, epoch << shareBits);
    Atomics.store(board, word.epoch, epoch);
    Atomics.notify(board, word.epoch);
    return read(board, epoch, members);
  };
  const sleeps = maySleep(board);
  /** Others have at most the share that each has taken left, unless they are kept from running: then this thread makes room. */
  const finished = ({ shares }: Task): void => {
    for (let looks = 0; ; looks++) {
      const done = Atomics.load(board, word.done);
      if (done === shares) return;
      if (sleeps && looks >= patience) Atomics.wait(board, word.done, done);
    }
  };
  return {
    share(name, rest, first, last) {
      const kind = names.indexOf(name);
      if (kind < 0) throw new RangeError(`the team knows no ${name}: it was started with ${names.join(', ')}`);
      const task = announce(kind, rest, first, last);
      perform(list, board, task);
      finished(task);
    },
    stop: () => void announce(stop, [], 0, 0),
  };
}

/** The life of another member: works whenever the board says so, until it says stop. */
export function followTeam({ memory, board: at, members }: Membership, works: Works, onReady: () => void): void {
  const board = new Int32Array(memory.buffer, at, words);
  const list = Object.values(works);
  let seen = Atomics.load(board, word.epoch);
  onReady();
  for (;;) {
    for (let i = 0; i < patience && Atomics.load(board, word.epoch) === seen; i++);
    if (Atomics.load(board, word.epoch) === seen) Atomics.wait(board, word.epoch, seen);
    const now = Atomics.load(board, word.epoch);
    if (now === seen) continue;
    seen = now;
    // Read while the next thing is being written it may be anything, but then there is no share to be had.
    const task = read(board, now, members);
    if (task.kind === stop) return;
    perform(list, board, task);
  }
}
