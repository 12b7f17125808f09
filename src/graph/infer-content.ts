/** Contents of small integer vectors: what Shape gives and what exporters compute from it, symbolic entries included. */
import type { Dim } from './graph.ts';
import type { Site } from './infer.ts';

type Content = readonly Dim[] | undefined;
const content = (site: Site, index: number): Content => site.input(index)?.content;
const numbers = (list: Content): readonly number[] | undefined =>
  (list?.every((entry) => typeof entry === 'number') === true ? (list as readonly number[]) : undefined);

/** Entry by entry, a single entry repeated; anything symbolic becomes unknown. */
const arithmetic = (compute: (a: number, b: number) => number) => (site: Site): Content => {
  const a = content(site, 0);
  const b = content(site, 1);
  if (a === undefined || b === undefined || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const x = a[a.length === 1 ? 0 : i];
    const y = b[b.length === 1 ? 0 : i];
    if (typeof x === 'number' && typeof y === 'number') return compute(x, y);
    return undefined;
  });
};

/** Rounds toward zero, as integer division does; division by zero is unknown to the caller as NaN. */
const quotient = (a: number, b: number): number => Math.trunc(a / b);

const isWhole = (site: Site): boolean => site.input(0)?.type === 'i64' || site.input(0)?.type === 'i32';
const finite = (list: Content): Content => list?.map((entry) => (typeof entry === 'number' && !Number.isFinite(entry) ? undefined : entry));

const rules: Readonly<Record<string, (site: Site) => Content>> = {
  Shape: (site) => {
    const shape = site.input(0)?.shape;
    return shape?.slice(site.int('start', 0), site.attribute('end') === undefined ? undefined : site.int('end', 0));
  },
  Size: (site) => {
    const dims = numbers(site.input(0)?.shape);
    return dims === undefined ? undefined : [dims.reduce((product, dim) => product * dim, 1)];
  },
  Identity: (site) => content(site, 0),
  Unsqueeze: (site) => content(site, 0),
  Squeeze: (site) => content(site, 0),
  Cast: (site) => (site.int('to', 0) === 7 || site.int('to', 0) === 6 ? content(site, 0)?.map((entry) => (typeof entry === 'number' ? Math.trunc(entry) : entry)) : content(site, 0)),
  Concat: (site) => {
    const parts = site.node.inputs.map((_, i) => content(site, i));
    return parts.every((part) => part !== undefined) ? parts.flatMap((part) => part!) : undefined;
  },
  Gather: (site) => {
    const from = content(site, 0);
    const picked = numbers(content(site, 1));
    if (from === undefined || picked === undefined || site.int('axis', 0) !== 0) return undefined;
    return picked.map((index) => from.at(index));
  },
  Slice: (site) => {
    const from = content(site, 0);
    const start = (site.ints('starts') ?? numbers(content(site, 1)))?.[0];
    const end = (site.ints('ends') ?? numbers(content(site, 2)))?.[0];
    const step = site.input(4) === undefined ? 1 : numbers(content(site, 4))?.[0];
    return from === undefined || start === undefined || end === undefined || step !== 1 ? undefined : from.slice(start, end);
  },
  Reshape: (site) => (site.input(0)?.shape?.length ?? 2) <= 1 ? content(site, 0) : undefined,
  ConstantOfShape: (site) => {
    const count = numbers(content(site, 0));
    const value = site.attribute('value');
    if (count === undefined || count.length > 1 || !((count[0] ?? 1) >= 0 && (count[0] ?? 1) <= 64) || value !== undefined) return undefined;
    return Array<number>(count[0] ?? 1).fill(0);
  },
  Add: arithmetic((a, b) => a + b),
  Sub: arithmetic((a, b) => a - b),
  Mul: arithmetic((a, b) => a * b),
  Div: (site) => finite(arithmetic(isWhole(site) ? quotient : (a, b) => a / b)(site)),
  // With the sign of the divisor, as axes counted from the end want it.
  Mod: (site) => (isWhole(site) && site.int('fmod', 0) === 0 ? finite(arithmetic((a, b) => a - b * Math.floor(a / b))(site)) : undefined),
  Floor: (site) => content(site, 0)?.map((entry) => (typeof entry === 'number' ? Math.floor(entry) : entry)),
  Ceil: (site) => content(site, 0)?.map((entry) => (typeof entry === 'number' ? Math.ceil(entry) : entry)),
};

/** Entries of the first output where they are known. */
export function contentOf(site: Site): Content {
  const { op, domain } = site.node;
  return domain === '' && Object.hasOwn(rules, op) ? rules[op](site) : undefined;
}
