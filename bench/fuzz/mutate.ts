/** Mutations of bytes: blind ones, and those that know where a format keeps its lengths, counts and offsets. */

/** A small seeded generator: the same seed gives the same inputs. */
export class Dice {
  #state: number;
  constructor(seed: number) { this.#state = seed >>> 0; }
  /** A whole number below `n`. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 2 ** 32 * n);
  }
  chance(one: number): boolean { return this.below(one) === 0; }
  pick<T>(list: readonly T[]): T { return list[this.below(list.length)]; }
}

/** A number in a file: its place, its width in bytes, its byte order. */
export interface Field { readonly at: number; readonly width: 1 | 2 | 4 | 8; readonly big?: boolean }

/** What a format adds to the blind mutations; either may be absent. */
export interface Structure {
  /** Where the numbers of a file are; as far as it can be read. */
  fields?(bytes: Uint8Array): readonly Field[];
  /** A mutation in terms of the format. */
  change?(bytes: Uint8Array, dice: Dice): Uint8Array;
  /** Repairs checksums and lengths, so that what lies behind them is reached. */
  repair?(bytes: Uint8Array): Uint8Array;
}

/** Longest input: enough for every structure, short enough to try thousands a second. */
export const maxInput = 256 * 1024;

const edges = [0n, 1n, 2n, 3n, 4n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 63n, 64n, 127n, 128n, 255n, 256n, 1000n, 32767n, 32768n, 65535n, 65536n, 2n ** 20n,
  2n ** 24n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 40n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 32n, 2n ** 64n - 1n];
export const edge = (dice: Dice): bigint => dice.pick(edges);

function put(bytes: Uint8Array, { at, width, big }: Field, value: bigint): void {
  for (let i = 0; i < width; i++) bytes[at + (big ? width - 1 - i : i)] = Number((value >> BigInt(8 * i)) & 255n);
}
function get(bytes: Uint8Array, { at, width, big }: Field): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + (big ? width - 1 - i : i)]);
  return value;
}

function changeField(bytes: Uint8Array, field: Field, dice: Dice): Uint8Array {
  if (field.at + field.width > bytes.length) return bytes;
  const old = get(bytes, field);
  const next = [
    () => edge(dice), () => old + BigInt(dice.below(16) + 1), () => old - BigInt(dice.below(16) + 1), () => old * 2n, () => old ^ (1n << BigInt(dice.below(field.width * 8))),
    () => BigInt(bytes.length - dice.below(64)), () => BigInt(dice.below(256)),
  ][dice.below(7)]();
  const out = bytes.slice();
  put(out, field, BigInt.asUintN(field.width * 8, next));
  return out;
}

export function joined(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

/** A stretch of the file, short more often than long. */
function stretch(bytes: Uint8Array, dice: Dice): [begin: number, end: number] {
  const begin = dice.below(bytes.length + 1);
  const longest = Math.min(bytes.length - begin, 1 << dice.below(13));
  return [begin, begin + dice.below(longest + 1)];
}

const blind: readonly ((bytes: Uint8Array, dice: Dice, other: Uint8Array) => Uint8Array)[] = [
  (bytes, dice) => { const out = bytes.slice(); if (out.length > 0) out[dice.below(out.length)] ^= 1 << dice.below(8); return out; },
  (bytes, dice) => { const out = bytes.slice(); if (out.length > 0) out[dice.below(out.length)] = dice.pick([0, 1, 0x7f, 0x80, 0xff, 0x20, 0x22, 0x5b, 0x7b, dice.below(256)]); return out; },
  (bytes, dice) => { const width = dice.pick([1, 2, 4, 8] as const); return changeField(bytes, { at: dice.below(bytes.length + 1), width, big: dice.chance(4) }, dice); },
  (bytes, dice) => { const [begin, end] = stretch(bytes, dice); return joined(bytes.subarray(0, begin), bytes.subarray(end)); },
  (bytes, dice) => { const [begin, end] = stretch(bytes, dice); const at = dice.below(bytes.length + 1); return joined(bytes.subarray(0, at), bytes.subarray(begin, end), bytes.subarray(at)); },
  (bytes, dice) => { const [begin, end] = stretch(bytes, dice); const out = bytes.slice(); out.set(bytes.subarray(begin, Math.min(end, begin + out.length - begin)), Math.min(dice.below(out.length + 1), out.length - (end - begin))); return out; },
  (bytes, dice) => { const at = dice.below(bytes.length + 1); return joined(bytes.subarray(0, at), Array.from({ length: 1 + dice.below(16) }, () => dice.below(256)), bytes.subarray(at)); },
  (bytes, dice) => bytes.slice(0, dice.below(bytes.length + 1)),
  (bytes, dice) => joined(bytes, new Uint8Array(1 << dice.below(12)).fill(dice.pick([0, 0x20, 0xff]))),
  (bytes, dice, other) => joined(bytes.subarray(0, dice.below(bytes.length + 1)), other.subarray(dice.below(other.length + 1))),
  (bytes, dice, other) => { const [begin, end] = stretch(other, dice); const at = dice.below(bytes.length + 1); return joined(bytes.subarray(0, at), other.subarray(begin, end), bytes.subarray(at)); },
];

/** A new input from one that is known, and a second one to take pieces from. */
export function mutate(bytes: Uint8Array, other: Uint8Array, dice: Dice, structure: Structure): Uint8Array {
  let out = bytes;
  for (let i = 1 + dice.below(1 << Math.max(0, dice.below(6) - 2)); i > 0; i--) {
    const kind = dice.below(8);
    if (kind < 4 && structure.change !== undefined) out = structure.change(out, dice);
    else if (kind < 6 && structure.fields !== undefined) {
      const fields = structure.fields(out);
      if (fields.length > 0) out = changeField(out, dice.pick(fields), dice);
    } else out = dice.pick(blind)(out, dice, other);
    if (out.length > maxInput) out = out.slice(0, maxInput);
  }
  return structure.repair !== undefined && !dice.chance(4) ? structure.repair(out) : out;
}
