/** Strict JSON from files nobody vouches for: bounded size and depth, no duplicate keys, no prototype tricks. */
import { defineErrors, shown } from '../errors.ts';
import type { ByteSource } from './source.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface JsonLimits {
  /** Bytes of text; the largest tokenizer.json in circulation has about 35 MB. */
  readonly maxBytes?: number;
  /** Nested arrays and objects; real configurations stay below 20, and recursion must not exhaust the stack. */
  readonly maxDepth?: number;
  /** Values and keys together, weighted by the memory that they take; the largest vocabularies come to 2 500 000. */
  readonly maxValues?: number;
}

const defaults = { maxBytes: 50_000_000, maxDepth: 64, maxValues: 3_000_000 };
/** What a key with its place and an object weigh, beside a number or a short text. */
const keyWeight = 2;
const objectWeight = 4;

/** Objects of this kind have no prototype chain that a key could reach, and yet take the memory of plain ones. */
function Members(this: object): void {}
Members.prototype = Object.freeze(Object.create(null));
const emptyObject = (): Record<string, Json> => new (Members as unknown as new () => Record<string, Json>)();

const errors = defineErrors('json', {
  tooLarge: (f: { name: string; size: number; limit: number }) => `${f.name}: JSON of ${f.size} bytes exceeds the limit of ${f.limit}`,
  notUtf8: (f: { name: string }) => `${f.name}: JSON is not valid UTF-8`,
  tooDeep: (f: { name: string; limit: number; at: number }) => `${f.name}: JSON nests deeper than ${f.limit} at character ${f.at}`,
  tooMany: (f: { name: string; limit: number; at: number }) => `${f.name}: JSON holds more than ${f.limit} values and keys at character ${f.at}`,
  duplicate: (f: { name: string; key: string; at: number }) => `${f.name}: duplicate key ${shown(f.key)} at character ${f.at}`,
  syntax: (f: { name: string; at: number; expected: string }) => `${f.name}: expected ${f.expected} at character ${f.at}`,
  number: (f: { name: string; at: number }) => `${f.name}: number at character ${f.at} is too large`,
});

const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// A run of plain characters is skipped at once; one alternative only, so the match is linear.
const plainPattern = /[^"\\\u0000-\u001f]*/y;
const escapes = '"\\/bfnrt';

/** Where a text has one comma more than `limit` outside of strings, or −1; a comma stands between two values. */
function commaBeyond(text: string, limit: number): number {
  let commas = 0;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 44 && ++commas > limit) return at;
    if (c !== 34) continue;
    for (at++; at < text.length && text.charCodeAt(at) !== 34; at++) if (text.charCodeAt(at) === 92) at++;
  }
  return -1;
}

/** Parses one JSON text strictly; objects have no prototype. Throws one `json.*` error with the position. */
export function parseJson(text: string, name = 'json', limits: JsonLimits = {}): Json {
  const maxDepth = limits.maxDepth ?? defaults.maxDepth;
  const maxValues = limits.maxValues ?? defaults.maxValues;
  let at = 0;
  let values = 0;
  const spend = (weight: number): void => {
    values += weight;
    if (values > maxValues) throw errors.tooMany({ name, limit: maxValues, at });
  };
  // Before anything is built: millions of small values take ten times the memory of their text.
  const crowded = text.length > maxValues ? commaBeyond(text, maxValues) : -1;
  if (crowded >= 0) throw errors.tooMany({ name, limit: maxValues, at: crowded });
  const fail = (expected: string): never => { throw errors.syntax({ name, at, expected }); };
  const space = (): void => {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return;
      at++;
    }
  };
  const string = (): string => {
    if (text[at] !== '"') fail('a string');
    const start = at++;
    let plain = true;
    for (;;) {
      plainPattern.lastIndex = at;
      plainPattern.test(text);
      at = plainPattern.lastIndex;
      const c = text[at];
      if (c === '"') break;
      if (c !== '\\') fail('the end of a string');
      plain = false;
      const escape = text[at + 1] ?? '';
      if (escape === 'u') {
        if (!/^[0-9a-fA-F]{4}$/.test(text.slice(at + 2, at + 6))) fail('four hexadecimal digits');
        at += 6;
      } else {
        if (!escapes.includes(escape) || escape === '') fail('an escape');
        at += 2;
      }
    }
    at++;
    // Escapes are checked above; the language's own parser puts millions of them together without a rope of pieces.
    return plain ? text.slice(start + 1, at - 1) : JSON.parse(text.slice(start, at)) as string;
  };
  const value = (depth: number): Json => {
    spend(1);
    space();
    const c = text[at];
    if (c === '"') return string();
    if (c === '{' || c === '[') {
      if (depth >= maxDepth) throw errors.tooDeep({ name, limit: maxDepth, at });
      at++;
      space();
      return c === '{' ? object(depth) : array(depth);
    }
    for (const [word, meaning] of [['true', true], ['false', false], ['null', null]] as const) {
      if (text.startsWith(word, at)) { at += word.length; return meaning; }
    }
    numberPattern.lastIndex = at;
    const match = numberPattern.exec(text) ?? fail('a value');
    const number = Number(match[0]);
    if (!Number.isFinite(number)) throw errors.number({ name, at });
    at += match[0].length;
    return number;
  };
  const array = (depth: number): Json => {
    const items: Json[] = [];
    if (text[at] === ']') { at++; return items; }
    for (;;) {
      items.push(value(depth + 1));
      space();
      if (text[at] === ']') { at++; return items; }
      if (text[at] !== ',') fail('"," or "]"');
      at++;
    }
  };
  const object = (depth: number): Json => {
    spend(objectWeight);
    const members = emptyObject();
    if (text[at] === '}') { at++; return members; }
    for (;;) {
      space();
      spend(keyWeight);
      const start = at;
      const key = string();
      if (Object.hasOwn(members, key)) throw errors.duplicate({ name, key, at: start });
      space();
      if (text[at] !== ':') fail('":"');
      at++;
      members[key] = value(depth + 1);
      space();
      if (text[at] === '}') { at++; return members; }
      if (text[at] !== ',') fail('"," or "}"');
      at++;
    }
  };
  const result = value(0);
  space();
  if (at !== text.length) fail('the end');
  return result;
}

/** Parses UTF-8 bytes of JSON; a byte order mark is refused. */
export function parseJsonBytes(bytes: Uint8Array, name = 'json', limits: JsonLimits = {}): Json {
  const limit = limits.maxBytes ?? defaults.maxBytes;
  if (bytes.byteLength > limit) throw errors.tooLarge({ name, size: bytes.byteLength, limit });
  let text: string;
  try { text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes); } catch { throw errors.notUtf8({ name }); }
  return parseJson(text, name, limits);
}

/** Reads a JSON file; its size is checked before anything is allocated. */
export async function readJson(source: ByteSource, limits: JsonLimits = {}): Promise<Json> {
  const limit = limits.maxBytes ?? defaults.maxBytes;
  if (source.size > limit) throw errors.tooLarge({ name: source.name, size: source.size, limit });
  return parseJsonBytes(await source.read(0, source.size), source.name, limits);
}

/** True for a JSON object (not an array, not null). */
export const isJsonObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
