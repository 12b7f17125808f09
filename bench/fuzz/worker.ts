/** The thread that feeds inputs to a reader until it is told to stop; every input is put into shared memory before it is tried. */
import { parentPort, workerData } from 'node:worker_threads';
import { FewbitError } from '../../src/errors.ts';
import { Dice, mutate } from './mutate.ts';
import { targets } from './targets.ts';

export interface Assignment {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  /** [inputs tried, length of the input in work or −1, start of it in ms (low bits), inputs that were accepted, size of the corpus]. */
  readonly state: Int32Array;
  readonly input: Uint8Array;
}
export interface Finding { readonly kind: string; readonly input: Uint8Array }

const { target: name, seed, seconds, state, input } = workerData as Assignment;
const target = targets[name];
const dice = new Dice(seed);
const slowest = 2000;
const mostBytes = 300 * 2 ** 20;

const report = (kind: string, bytes: Uint8Array): void => parentPort!.postMessage({ kind, input: bytes.slice() } satisfies Finding);

/** Where an error was raised and on whose behalf: inputs that lead to a new place are kept and mutated further. */
const place = (error: FewbitError): string =>
  [error.code, ...(error.stack ?? '').split('\n').slice(2, 6).map((line) => /[^/]+:[0-9]+:[0-9]+/.exec(line)?.[0])].join(' ');

/** Gives the place that the input led to, and whether it was accepted. */
async function attempt(bytes: Uint8Array): Promise<{ word: string; accepted: boolean }> {
  input.set(bytes);
  Atomics.store(state, 2, Date.now() & 0x7fffffff);
  Atomics.store(state, 1, bytes.length);
  const before = process.memoryUsage.rss();
  const highest = process.resourceUsage().maxRSS * 1024;
  const start = performance.now();
  const cpu = process.cpuUsage();
  let word: string;
  let accepted = false;
  try {
    word = await target.run(bytes);
    accepted = true;
    Atomics.add(state, 3, 1);
  } catch (error) {
    if (error instanceof FewbitError) {
      word = place(error);
      // eslint-disable-next-line no-control-regex
      if (error.message.length >= 400 || /[\u0000-\u001f]/.test(error.message)) report(`an error of more than one short line: ${error.code}`, bytes);
    } else {
      word = `bare ${String(error).slice(0, 200)}`;
      report(`${error instanceof Error ? (error.stack ?? String(error)).split('\n').slice(0, 3).map((line) => line.trim()).join(' | ') : String(error)}`, bytes);
    }
  }
  const spent = process.cpuUsage(cpu);
  if (performance.now() - start > slowest && (spent.user + spent.system) / 1000 > slowest) report(`took ${((spent.user + spent.system) / 1e6).toFixed(1)} s`, bytes);
  const peak = process.resourceUsage().maxRSS * 1024;
  if (peak > highest && peak - before > mostBytes) report(`took ${((peak - before) / 2 ** 20).toFixed(0)} MB`, bytes);
  Atomics.store(state, 1, -1);
  Atomics.add(state, 0, 1);
  return { word, accepted };
}

// Copies: slices of a Buffer would share its memory, and mutations would spoil the seeds.
const seeds = (await target.seeds()).map((bytes) => Uint8Array.from(bytes));
const corpus: Uint8Array[] = [...seeds];
/** Inputs that the reader takes: a step from them leads further in than a step from one that it refuses at once. */
const whole: Uint8Array[] = [...seeds];
const places = new Set<string>();
for (const bytes of seeds) places.add((await attempt(bytes)).word);
const end = performance.now() + seconds * 1000;
while (performance.now() < end) {
  const from = dice.chance(3) ? corpus : whole;
  const bytes = mutate(dice.chance(4) ? from[Math.max(0, from.length - 1 - dice.below(8))] : dice.pick(from), dice.pick(corpus), dice, target.structure);
  const { word, accepted } = await attempt(bytes);
  const isNew = !places.has(word) && places.size < 5000;
  if (isNew) {
    places.add(word);
    corpus.push(bytes);
    Atomics.store(state, 4, corpus.length);
  }
  // What is accepted stays varied: new ones take the place of old ones, the seeds remain.
  if (accepted && (isNew || dice.chance(8))) {
    if (whole.length < 64) whole.push(bytes);
    else whole[seeds.length + dice.below(whole.length - seeds.length)] = bytes;
  }
}
parentPort!.close();
