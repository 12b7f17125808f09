/**
 * VidKV (arXiv:2503.16257): keys and values of a film's tokens in one to two bits, as bytes from which they are read back.
 *
 * Groups are 32 tokens of one channel of one head. Keys: the channels with the widest range over all tokens and heads take
 * 2 bits between minimum and maximum; the others go through a Fourier transform along the channels of each token, of which
 * the half spectrum (as many real numbers as channels) keeps its signs and a mean magnitude. Values: −1, 0 or 1 times the
 * mean magnitude; protected tokens, 32 of them in a group, take 2 bits. Tokens that fill no group stay in float32.
 *
 * Bytes, in this order: which channels take 2 bits, which tokens are protected (one bit each, where there is a choice);
 * numbers of groups in half precision; codes of 1 bit, of 2 bits, and trits, five to a byte; tokens in float32.
 */
import { ends, packCodes, packedBytes, signs, ternary, twoBits, unpackCodes, type GroupFormat } from '../formats/cache-groups.ts';
import { f16ToF32, f32ToF16 } from '../numeric/half.ts';
import { fromHalfSpectrum, halfSpectrum } from '../numeric/half-spectrum.ts';

/** Rows [tokens, heads, width], as caches hold them. */
export interface RowShape { readonly tokens: number; readonly heads: number; readonly width: number }

/** Tokens, or channels, of a group. */
export const groupOf = 32;

export interface KeyCoding {
  /** Channels of a head that take 2 bits. */
  readonly loud: readonly number[];
  /** What the other channels take. */
  readonly others: 'signs of the spectrum' | 'signs' | 'minimum or maximum';
}

export interface ValueCoding {
  readonly format: 'ternary' | '2 bits' | 'sign';
  /** What a group runs along: 32 tokens of a channel, or 32 channels of a token. */
  readonly along: 'tokens' | 'channels';
  /** Tokens that take 2 bits; a multiple of 32 of them. */
  readonly protected?: readonly number[];
}

/** As many channels as `bits` of 1 to 2 ask for, those with the widest range over all tokens and heads. */
export function loudChannels(x: Float32Array, { tokens, heads, width }: RowShape, bits: number): number[] {
  const [low, high] = [new Float64Array(width).fill(Infinity), new Float64Array(width).fill(-Infinity)];
  for (let i = 0; i < tokens * heads * width; i++) {
    low[i % width] = Math.min(low[i % width], x[i]);
    high[i % width] = Math.max(high[i % width], x[i]);
  }
  const range = (c: number): number => high[c] - low[c];
  return Array.from({ length: width }, (_, c) => c).sort((a, b) => range(b) - range(a) || a - b).slice(0, Math.floor(width * (bits - 1))).sort((a, b) => a - b);
}

/** Tokens to protect of those that match the text best: a share of them, in whole groups. `visual` and `text` hold embeddings. */
export function matchingTokens(visual: readonly Float32Array[], text: readonly Float32Array[], share: number): number[] {
  const mean = text[0].map((_, c) => text.reduce((sum, row) => sum + row[c], 0) / text.length);
  const score = visual.map((row) => row.reduce((sum, v, c) => sum + v * mean[c], 0));
  return Array.from(visual.keys()).sort((a, b) => score[b] - score[a] || a - b).slice(0, protectedCount(visual.length, share)).sort((a, b) => a - b);
}

export const protectedCount = (tokens: number, share: number): number => Math.max(groupOf, Math.floor((share * tokens) / groupOf) * groupOf);

interface Group { readonly format: GroupFormat; readonly at: readonly number[] }

/** Consecutive pieces of 32, the last one shorter where they do not fill it. */
const pieces = (list: readonly number[]): number[][] => Array.from({ length: Math.ceil(list.length / groupOf) }, (_, i) => list.slice(i * groupOf, (i + 1) * groupOf));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Groups along tokens, a multiple of 32 of them. */
function* alongTokens(tokens: readonly number[], { heads, width }: RowShape, formatOf: (channel: number) => GroupFormat): Generator<Group> {
  for (const some of pieces(tokens)) for (let h = 0; h < heads; h++) for (let c = 0; c < width; c++) yield { format: formatOf(c), at: some.map((t) => (t * heads + h) * width + c) };
}

function* alongChannels(tokens: readonly number[], { heads, width }: RowShape, format: GroupFormat): Generator<Group> {
  for (const t of tokens) for (const some of pieces(upTo(heads * width))) yield { format, at: some.map((c) => t * heads * width + c) };
}

/** One bit for each of `count` things. */
const marks = (chosen: readonly number[], count: number): Uint8Array => {
  const is = new Uint8Array(count);
  for (const one of chosen) is[one] = 1;
  return packCodes(is, 2);
};
const markedIn = (bytes: Uint8Array, count: number): number[] => [...unpackCodes(bytes, 2, count)].flatMap((is, i) => (is === 1 ? [i] : []));

const bases = [2, 4, 3] as const;

/** Numbers and codes of all groups, then the rows of tokens that are in none. */
function pack(x: Float32Array, groups: readonly Group[], loose: readonly number[], rowWidth: number): Uint8Array[] {
  const numbers: number[] = [];
  const codes: Record<GroupFormat['base'], number[]> = { 2: [], 3: [], 4: [] };
  for (const { format, at } of groups) {
    const coded = format.encode(at.map((i) => x[i]));
    numbers.push(...coded.numbers);
    codes[format.base].push(...coded.codes);
  }
  const rows = Float32Array.from(loose.flatMap((t) => [...x.subarray(t * rowWidth, (t + 1) * rowWidth)]));
  return [new Uint8Array(Uint16Array.from(numbers, f32ToF16).buffer), ...bases.map((base) => packCodes(Uint8Array.from(codes[base]), base)), new Uint8Array(rows.buffer)];
}

function unpack(bytes: Uint8Array, groups: readonly Group[], loose: readonly number[], rowWidth: number, out: Float32Array): void {
  let at = 0;
  const take = (count: number): Uint8Array => bytes.slice(at, at += count);
  const numbers = Array.from(new Uint16Array(take(2 * groups.reduce((sum, { format }) => sum + format.numbers, 0)).buffer), f16ToF32);
  const codes = new Map(bases.map((base) => {
    const count = groups.reduce((sum, group) => sum + (group.format.base === base ? group.at.length : 0), 0);
    return [base, unpackCodes(take(packedBytes(count, base)), base, count)] as const;
  }));
  const read = { numbers: 0, 2: 0, 3: 0, 4: 0 };
  for (const { format, at: places } of groups) {
    const from = read[format.base];
    const values = format.decode({ codes: codes.get(format.base)!.subarray(from, read[format.base] = from + places.length), numbers: numbers.slice(read.numbers, read.numbers += format.numbers) });
    places.forEach((place, i) => { out[place] = values[i]; });
  }
  const rows = new Float32Array(take(4 * loose.length * rowWidth).buffer);
  loose.forEach((t, i) => out.set(rows.subarray(i * rowWidth, (i + 1) * rowWidth), t * rowWidth));
}

const joined = (parts: readonly Uint8Array[]): Uint8Array => {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};

const wholeTokens = (tokens: number): number => tokens - (tokens % groupOf);
const keyFormats = { 'signs of the spectrum': signs, 'signs': signs, 'minimum or maximum': ends } as const;

/** The channels of each token that take one bit, transformed in place. */
function transformed(x: Float32Array, { tokens, heads, width }: RowShape, loud: readonly number[], transform: (row: number[]) => Float64Array): Float32Array {
  const quiet = upTo(width).filter((c) => !loud.includes(c));
  const out = x.slice();
  for (let row = 0; row < wholeTokens(tokens) * heads; row++) transform(quiet.map((c) => x[row * width + c])).forEach((v, i) => { out[row * width + quiet[i]] = v; });
  return out;
}

const keyGroups = (shape: RowShape, loud: ReadonlySet<number>, others: KeyCoding['others']): Group[] =>
  [...alongTokens(upTo(wholeTokens(shape.tokens)), shape, (c) => (loud.has(c) ? twoBits : keyFormats[others]))];
const looseKeys = ({ tokens }: RowShape): number[] => upTo(tokens).slice(wholeTokens(tokens));
const hasChoice = (loud: number, width: number): boolean => loud > 0 && loud < width;

export function encodeKeys(x: Float32Array, shape: RowShape, { loud, others }: KeyCoding): Uint8Array {
  const turned = others === 'signs of the spectrum' && loud.length < shape.width ? transformed(x, shape, loud, halfSpectrum) : x;
  const parts = pack(turned, keyGroups(shape, new Set(loud), others), looseKeys(shape), shape.heads * shape.width);
  return joined([...(hasChoice(loud.length, shape.width) ? [marks(loud, shape.width)] : []), ...parts]);
}

/** `loudCount` says how many channels take 2 bits; which, the bytes say. */
export function decodeKeys(bytes: Uint8Array, shape: RowShape, { loudCount, others }: { readonly loudCount: number; readonly others: KeyCoding['others'] }): Float32Array {
  const { tokens, heads, width } = shape;
  const head = hasChoice(loudCount, width) ? packedBytes(width, 2) : 0;
  const loud = head > 0 ? markedIn(bytes.subarray(0, head), width) : upTo(loudCount);
  const out = new Float32Array(tokens * heads * width);
  unpack(bytes.subarray(head), keyGroups(shape, new Set(loud), others), looseKeys(shape), heads * width, out);
  return others === 'signs of the spectrum' && loudCount < width ? transformed(out, shape, loud, fromHalfSpectrum) : out;
}

const valueFormats = { 'ternary': ternary, '2 bits': twoBits, 'sign': signs } as const;

function valueGroups(shape: RowShape, format: ValueCoding['format'], along: ValueCoding['along'], kept: readonly number[]): { readonly groups: Group[]; readonly loose: number[] } {
  const rest = upTo(shape.tokens).filter((t) => !kept.includes(t));
  const whole = along === 'channels' ? rest.length : wholeTokens(rest.length);
  const groups = along === 'channels' ? alongChannels(rest, shape, valueFormats[format]) : alongTokens(rest.slice(0, whole), shape, () => valueFormats[format]);
  return { groups: [...groups, ...alongTokens(kept, shape, () => twoBits)], loose: rest.slice(whole) };
}

export function encodeValues(x: Float32Array, shape: RowShape, { format, along, protected: kept = [] }: ValueCoding): Uint8Array {
  const { groups, loose } = valueGroups(shape, format, along, kept);
  return joined([...(kept.length > 0 ? [marks(kept, shape.tokens)] : []), ...pack(x, groups, loose, shape.heads * shape.width)]);
}

/** `hasProtected` says that some tokens take 2 bits; which, the bytes say. */
export function decodeValues(bytes: Uint8Array, shape: RowShape, { format, along, hasProtected = false }: Omit<ValueCoding, 'protected'> & { readonly hasProtected?: boolean }): Float32Array {
  const head = hasProtected ? packedBytes(shape.tokens, 2) : 0;
  const kept = markedIn(bytes.subarray(0, head), hasProtected ? shape.tokens : 0);
  const { groups, loose } = valueGroups(shape, format, along, kept);
  const out = new Float32Array(shape.tokens * shape.heads * shape.width);
  unpack(bytes.subarray(head), groups, loose, shape.heads * shape.width, out);
  return out;
}
