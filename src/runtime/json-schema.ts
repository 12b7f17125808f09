/** The part of JSON Schema that output can be held to, checked and brought into one form; every other keyword is refused by name. */
import { defineErrors } from '../errors.ts';

/** Values that are written as JSON. */
export type Shape =
  | { readonly kind: 'anything' }
  | { readonly kind: 'string' }
  /** With `least` none below 0, or below 1. */
  | { readonly kind: 'number'; readonly integer: boolean; readonly least?: 0 | 1 }
  /** Values by their JSON texts. */
  | { readonly kind: 'texts'; readonly texts: readonly string[] }
  | { readonly kind: 'array'; readonly items: Shape; readonly min: number; readonly max: number }
  | ObjectShape
  | { readonly kind: 'either'; readonly of: readonly Shape[] };

export interface ObjectShape {
  readonly kind: 'object';
  readonly properties: readonly { readonly name: string; readonly shape: Shape; readonly required: boolean }[];
  /** What properties of other names hold; without it there are none. */
  readonly others: Shape | undefined;
}

/** Any object: what `json_object` asks for. */
export const anyObject: Shape = { kind: 'object', properties: [], others: { kind: 'anything' } };

/** Digits of a number before and after its point: they stay exact, and with a short exponent finite. */
export const maxDigits = 15;
/** Integers of a range that are written out as texts. */
const maxRange = 1000;
/** Nested schemas; those that people write stay below 10. */
const maxDepth = 32;
/** Schemas within one; each is a place that output can be at. */
const maxSchemas = 5000;
/** Characters of all texts of enumerations, and of names. */
const maxText = 200_000;

const errors = defineErrors('schema', {
  keyword: (f: { path: string; keyword: string }) => [`${f.path}: ${f.keyword} is not supported`, `supported: ${[...constraining, ...annotations].join(', ')}`] as const,
  beside: (f: { path: string; keyword: string; other: string }) => `${f.path}: ${f.other} beside ${f.keyword} is not supported`,
  value: (f: { path: string; expected: string }) => `${f.path} must be ${f.expected}`,
  reference: (f: { path: string; to: string }) => [`${f.path}: $ref ${f.to} leads nowhere`, 'references go to #/$defs/NAME or #/definitions/NAME of the same schema'] as const,
  bounds: (f: { path: string; keyword: string; value: number }) => [`${f.path}: ${f.keyword} ${f.value} is not supported`, `supported are integers between two bounds at most ${maxRange} apart, integers from 0 or 1 on, and numbers from 0 on`] as const,
  recursive: (f: { path: string; to: string }) => `${f.path}: $ref ${f.to} leads back to where it stands, which is not supported`,
  nothing: (f: { path: string; reason: string }) => `${f.path}: no value can be valid: ${f.reason}`,
  large: (f: { what: string; limit: number }) => `the schema has more than ${f.limit} ${f.what}`,
});

const constraining = ['type', 'properties', 'required', 'additionalProperties', 'items', 'minItems', 'maxItems', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'enum', 'const', 'anyOf', '$ref'] as const;
/** Words about a schema that no value has to obey, and places for schemas that others refer to. */
const annotations = ['$defs', 'definitions', 'title', 'description', 'default', 'examples', '$schema', '$id', '$comment', 'deprecated', 'readOnly', 'writeOnly'] as const;
const types = ['string', 'number', 'integer', 'boolean', 'null', 'array', 'object'] as const;
type TypeName = (typeof types)[number];

/** Keywords that speak about one type; where no type is named, they name it. */
const about: Readonly<Record<string, TypeName>> = { properties: 'object', required: 'object', additionalProperties: 'object', items: 'array', minItems: 'array', maxItems: 'array', minimum: 'number', maximum: 'number', exclusiveMinimum: 'number', exclusiveMaximum: 'number' };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

export function jsonSchema(schema: unknown): Shape {
  let schemas = 0;
  let text = 0;
  /** References that lead to the schema that is read. */
  const following = new Set<string>();
  const spend = (characters: number): void => {
    text += characters;
    if (text > maxText) throw errors.large({ what: 'characters in names and enumerations', limit: maxText });
  };

  function read(value: unknown, path: string, depth: number): Shape {
    if (++schemas > maxSchemas) throw errors.large({ what: 'schemas within it', limit: maxSchemas });
    if (depth > maxDepth) throw errors.large({ what: 'levels', limit: maxDepth });
    if (value === true) return { kind: 'anything' };
    if (value === false) throw errors.nothing({ path, reason: 'the schema is false' });
    if (!isObject(value)) throw errors.value({ path, expected: 'an object or a boolean' });
    for (const keyword of Object.keys(value)) if (!([...constraining, ...annotations] as string[]).includes(keyword)) throw errors.keyword({ path, keyword });
    const used = constraining.filter((keyword) => value[keyword] !== undefined);
    const alone = (keyword: string, ...beside: string[]): void => {
      const other = used.find((one) => one !== keyword && !beside.includes(one));
      if (other !== undefined) throw errors.beside({ path, keyword, other });
    };
    if (value.$ref !== undefined) {
      alone('$ref');
      const to = String(value.$ref);
      if (to === '#') throw errors.recursive({ path, to });
      const [, group, name] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(to) ?? [];
      const schemasThere = group === undefined ? undefined : (schema as Readonly<Record<string, unknown>>)[group];
      const key = name?.replaceAll('~1', '/').replaceAll('~0', '~');
      if (key === undefined || !isObject(schemasThere) || !Object.hasOwn(schemasThere, key)) throw errors.reference({ path, to });
      if (following.has(to)) throw errors.recursive({ path, to });
      following.add(to);
      const found = read(schemasThere[key], `${path}.$ref(${key})`, depth + 1);
      following.delete(to);
      return found;
    }
    if (value.anyOf !== undefined) {
      alone('anyOf');
      if (!Array.isArray(value.anyOf) || value.anyOf.length === 0) throw errors.value({ path: `${path}.anyOf`, expected: 'a list of schemas' });
      return { kind: 'either', of: value.anyOf.map((one, i) => read(one, `${path}.anyOf[${i}]`, depth + 1)) };
    }
    const named = typesOf(value.type, path);
    for (const keyword of ['enum', 'const'] as const) {
      if (value[keyword] === undefined) continue;
      alone(keyword, 'type');
      const values: unknown = keyword === 'const' ? [value.const] : value.enum;
      if (!Array.isArray(values) || values.length === 0) throw errors.value({ path: `${path}.enum`, expected: 'a list of values' });
      const fitting = values.filter((one) => named === undefined || named.some((type) => hasType(one, type)));
      if (fitting.length === 0) throw errors.nothing({ path, reason: `${keyword} has no value of type ${named!.join(' or ')}` });
      const texts = [...new Set(fitting.map((one) => JSON.stringify(one)))];
      for (const one of texts) spend(one.length);
      return { kind: 'texts', texts };
    }
    const spoken = [...new Set(used.flatMap((keyword) => about[keyword] ?? []))];
    const all = named ?? (spoken.length > 0 ? spoken : undefined);
    if (all === undefined) return { kind: 'anything' };
    const shapes = all.map((type) => ofType(type, value, path, depth));
    return shapes.length === 1 ? shapes[0] : { kind: 'either', of: shapes };
  }

  function ofType(type: TypeName, value: Readonly<Record<string, unknown>>, path: string, depth: number): Shape {
    switch (type) {
      case 'string': return { kind: 'string' };
      case 'number': case 'integer': return ofNumber(type === 'integer', value, path);
      case 'boolean': return { kind: 'texts', texts: ['true', 'false'] };
      case 'null': return { kind: 'texts', texts: ['null'] };
      case 'array': {
        const [min, max] = [countOf(value.minItems, `${path}.minItems`, 0), countOf(value.maxItems, `${path}.maxItems`, Infinity)];
        if (min > max) throw errors.nothing({ path, reason: `minItems ${min} is larger than maxItems ${max}` });
        return { kind: 'array', min, max, items: value.items === undefined ? { kind: 'anything' } : read(value.items, `${path}.items`, depth + 1) };
      }
      case 'object': return ofObject(value, path, depth);
      default: return type satisfies never;
    }
  }

  function ofNumber(integer: boolean, value: Readonly<Record<string, unknown>>, path: string): Shape {
    const bound = (keyword: 'minimum' | 'maximum' | 'exclusiveMinimum' | 'exclusiveMaximum'): number | undefined => {
      const given = value[keyword];
      if (given !== undefined && typeof given !== 'number') throw errors.value({ path: `${path}.${keyword}`, expected: 'a number' });
      return given;
    };
    // Bounds of integers are integers that may be reached.
    const bounds = (['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum'] as const).flatMap((keyword) => {
      const given = bound(keyword);
      if (given === undefined) return [];
      const [lower, open] = [keyword.endsWith('inimum'), keyword.startsWith('e')];
      const at = !integer ? given : lower ? (open ? Math.floor(given) + 1 : Math.ceil(given)) : (open ? Math.ceil(given) - 1 : Math.floor(given));
      return [{ keyword, given, lower, at, open: open && !integer }];
    });
    const of = (lower: boolean): number => bounds.filter((one) => one.lower === lower).reduce((all, { at }) => (lower ? Math.max(all, at) : Math.min(all, at)), lower ? -Infinity : Infinity);
    const [least, most] = [of(true), of(false)];
    if (least > most) throw errors.nothing({ path, reason: `none lies between ${least} and ${most}` });
    if (integer && most - least <= maxRange) {
      const texts = Array.from({ length: most - least + 1 }, (_, i) => String(least + i));
      for (const one of texts) spend(one.length);
      return { kind: 'texts', texts };
    }
    // No number that is written is as large as this.
    const beyond = integer ? 10 ** maxDigits - 1 : 1e115;
    for (const { keyword, given, lower, at, open } of bounds) {
      if (!(lower ? at <= -beyond || (at === 0 && !open) || (at === 1 && integer) : at >= beyond)) throw errors.bounds({ path, keyword, value: given });
    }
    return { kind: 'number', integer, ...(least === 0 || least === 1 ? { least } : {}) };
  }

  function ofObject({ properties = {}, required = [], additionalProperties }: Readonly<Record<string, unknown>>, path: string, depth: number): Shape {
    if (!isObject(properties)) throw errors.value({ path: `${path}.properties`, expected: 'an object of schemas' });
    if (!Array.isArray(required) || !required.every((name) => typeof name === 'string')) throw errors.value({ path: `${path}.required`, expected: 'a list of names' });
    const names = Object.keys(properties);
    // Where properties are listed, others that are not asked for are not written: a valid choice, and what people mean.
    const open = additionalProperties ?? names.length === 0;
    const others = open === false ? undefined : read(open, `${path}.additionalProperties`, depth + 1);
    const shapes = new Map(names.map((name) => [name, read(properties[name], `${path}.properties.${name}`, depth + 1)]));
    for (const name of required as string[]) {
      if (shapes.has(name)) continue;
      if (others === undefined) throw errors.nothing({ path, reason: `${JSON.stringify(name)} is required and not among the properties` });
      shapes.set(name, others);
    }
    for (const name of shapes.keys()) spend(name.length);
    const needed = new Set(required as string[]);
    return { kind: 'object', others, properties: [...shapes].map(([name, shape]) => ({ name, shape, required: needed.has(name) })) };
  }

  return read(schema, 'schema', 0);
}

function typesOf(value: unknown, path: string): readonly TypeName[] | undefined {
  if (value === undefined) return undefined;
  const all: unknown[] = Array.isArray(value) ? value : [value];
  if (all.length === 0 || !all.every((one) => (types as readonly unknown[]).includes(one))) throw errors.value({ path: `${path}.type`, expected: `one or more of ${types.join(', ')}` });
  return all as TypeName[];
}

function countOf(value: unknown, path: string, missing: number): number {
  if (value === undefined) return missing;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 1e6) throw errors.value({ path, expected: 'a whole number up to 1000000' });
  return value;
}

function hasType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'null': return value === null;
    case 'array': return Array.isArray(value);
    case 'object': return isObject(value);
    case 'integer': return Number.isInteger(value);
    default: return typeof value === type;
  }
}
