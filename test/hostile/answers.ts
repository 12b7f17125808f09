/** What every hostile file must meet: one short line that names the trouble, within 2 seconds and 300 MB. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FewbitError } from '../../src/errors.ts';
import { memorySource, type ByteSource } from '../../src/files/source.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const megabyte = 2 ** 20;

/** One test: `open`, given what `make` makes, must answer with an error whose line holds `expect`. */
export function answers<T>(name: string, make: () => T, open: (made: T) => Promise<unknown>, expect: RegExp): void {
  test(`answers in one line to ${name}`, { timeout: 10_000 }, async () => {
    const made = make();
    collect();
    const before = process.memoryUsage().rss;
    const highest = process.resourceUsage().maxRSS * 1024;
    // Time of the processor: that of the clock would depend on what else the machine does.
    const start = process.cpuUsage();
    await assert.rejects(open(made), (error) => {
      assert.ok(error instanceof FewbitError, `a bare ${String(error)}`);
      assert.match(error.message, expect);
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(error.message, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
      assert.match(error.message, /^[^A-Z]/);
      assert.ok(error.message.length < 400, 'the line is short');
      return true;
    });
    const { user, system } = process.cpuUsage(start);
    assert.ok(user + system < 2e6, `within 2 s, took ${((user + system) / 1e6).toFixed(1)}`);
    const peak = process.resourceUsage().maxRSS * 1024;
    // The peak of the process tells only when this case is the one that raised it.
    if (peak > highest) assert.ok(peak - before < 300 * megabyte, `within 300 MB, took ${((peak - before) / megabyte).toFixed(0)}`);
  });
}

/** A crafted file: its bytes, or how they are made, or a source that stands for a file of any size. */
export type Crafted = Uint8Array | Vast | (() => Uint8Array);
export interface HostileCase {
  readonly name: string;
  readonly bytes: Crafted;
  /** What the one line must hold. */
  readonly expect: RegExp;
}
export const cases = (rows: readonly (readonly [name: string, bytes: Crafted, expect: RegExp])[]): HostileCase[] =>
  rows.map(([name, bytes, expect]) => ({ name, bytes, expect }));

/** The crafted file as the reader gets it. */
export function crafted(name: string, bytes: Crafted): ByteSource {
  const made = typeof bytes === 'function' ? bytes() : bytes;
  return made instanceof Uint8Array ? memorySource(name, made) : made;
}

export interface Vast extends ByteSource { readonly head: Uint8Array }
/** A file of any size: these bytes, then zeros. Refuses to hand out more than a hostile file should make anyone read. */
export function vastSource(name: string, head: Uint8Array, size: number): Vast {
  return {
    ...memorySource(name, head),
    head,
    size,
    read: async (begin, end) => {
      assert.ok(begin >= 0 && begin <= end && end <= size && end - begin <= 128 * megabyte, `read of [${begin}, ${end})`);
      const out = new Uint8Array(end - begin);
      if (begin < head.byteLength) out.set(head.subarray(begin, Math.min(end, head.byteLength)));
      return out;
    },
  };
}
