/** Values of a config.json, read within bounds. */
import { defineErrors } from '../errors.ts';

export type RawConfig = Readonly<Record<string, unknown>>;

/** Well above the largest published models (126 layers, 256k entries, 128 heads), far below what hurts to count. */
export const limits = { layers: 1024, vocabulary: 1 << 24, hidden: 1 << 20, intermediate: 1 << 22, heads: 4096, headDim: 8192, positions: 2 ** 31 } as const;

export const errors = defineErrors('config', {
  family: (f: { found: string; known: string }) => [`config.json: unknown model_type ${f.found}`, `known: ${f.known}`] as const,
  architecture: (f: { found: string; expected: string }) => `config.json: architecture ${f.found} cannot be built, only ${f.expected}`,
  missing: (f: { key: string }) => `config.json: ${f.key} is missing`,
  value: (f: { key: string; value: string; allowed: string }) => `config.json: ${f.key} is ${f.value}, must be ${f.allowed}`,
  feature: (f: { key: string; value: string }) => `config.json: ${f.key} ${f.value} is not supported`,
  grouping: (f: { heads: number; kvHeads: number }) => `config.json: ${f.heads} query heads do not fall into ${f.kvHeads} groups`,
});

export const shown = (value: unknown): string => (JSON.stringify(value) ?? 'undefined').slice(0, 60);

/** A whole number within bounds; null counts as absent. */
export function integer(raw: RawConfig, key: string, min: number, max: number, fallback?: number): number {
  const value = raw[key] ?? fallback;
  if (value === undefined) throw errors.missing({ key });
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) throw errors.value({ key, value: shown(value), allowed: `a whole number from ${min} to ${max}` });
  return value;
}

/** A number within bounds; null counts as absent. */
export function real(raw: RawConfig, key: string, min: number, max: number, fallback?: number): number {
  const value = raw[key] ?? fallback;
  if (value === undefined) throw errors.missing({ key });
  if (typeof value !== 'number' || !(value >= min && value <= max)) throw errors.value({ key, value: shown(value), allowed: `a number from ${min} to ${max}` });
  return value;
}

export function flag(raw: RawConfig, key: string, fallback: boolean): boolean {
  const value = raw[key] ?? fallback;
  if (typeof value !== 'boolean') throw errors.value({ key, value: shown(value), allowed: 'true or false' });
  return value;
}
