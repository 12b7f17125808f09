/** Values of GGUF metadata, made and read with their types. */
import { defineErrors, shown } from '../errors.ts';
import type { GgufValue } from '../files/gguf.ts';

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export const u32 = (value: number): GgufValue => ({ type: 'u32', value });
export const i32 = (value: number): GgufValue => ({ type: 'i32', value });
export const f32 = (value: number): GgufValue => ({ type: 'f32', value: Math.fround(value) });
export const text = (value: string): GgufValue => ({ type: 'string', value });
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value });
export const texts = (value: readonly string[]): GgufValue => ({ type: 'array', of: 'string', value });
export const i32s = (value: Int32Array): GgufValue => ({ type: 'array', of: 'i32', value });
export const f32s = (value: Float32Array): GgufValue => ({ type: 'array', of: 'f32', value });

const errors = defineErrors('ggufMetadata', {
  missing: (f: { key: string }) => `metadata ${f.key} is missing`,
  type: (f: { key: string; expected: string; found: string }) => `metadata ${f.key} must be ${f.expected}, found ${f.found}`,
  perLayer: (f: { key: string }) => `metadata ${f.key} differs from layer to layer, which is not supported`,
});

const described = (value: GgufValue): string => (value.type === 'array' ? `a list of ${value.of}` : `${value.type} ${shown(String(value.value))}`);

/** A number of any type; lists per layer count as one number when all are equal. */
export function numberOf(metadata: GgufMetadata, key: string): number | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === 'array' && found.of !== 'string' && found.of !== 'bool' && found.value.length > 0) {
    const values = Array.from(found.value as ArrayLike<number | bigint>, Number);
    if (values.some((value) => value !== values[0])) throw errors.perLayer({ key });
    return values[0];
  }
  if (found.type === 'array' || found.type === 'string' || found.type === 'bool') throw errors.type({ key, expected: 'a number', found: described(found) });
  return found.type === 'f32' ? shortest(found.value) : Number(found.value);
}

export function requiredNumber(metadata: GgufMetadata, key: string): number {
  const value = numberOf(metadata, key);
  if (value === undefined) throw errors.missing({ key });
  return value;
}

export function textOf(metadata: GgufMetadata, key: string): string | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'string') throw errors.type({ key, expected: 'a text', found: described(found) });
  return found.value;
}

export function boolOf(metadata: GgufMetadata, key: string): boolean | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'bool') throw errors.type({ key, expected: 'true or false', found: described(found) });
  return found.value;
}

export function textsOf(metadata: GgufMetadata, key: string): readonly string[] | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'array' || found.of !== 'string') throw errors.type({ key, expected: 'a list of texts', found: described(found) });
  return found.value as readonly string[];
}

export function numbersOf(metadata: GgufMetadata, key: string): ArrayLike<number> | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'array' || found.of === 'string' || found.of === 'bool') throw errors.type({ key, expected: 'a list of numbers', found: described(found) });
  return Array.from(found.value as ArrayLike<number | bigint>, Number);
}

/** The shortest decimal that is this float32: 1e-5 for the float32 nearest to it. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}
