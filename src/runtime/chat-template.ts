/**
 * Renders chat templates, apart from the rest: pages whose models have none do not load the package for it. Templates come
 * with models from strangers, so that what one may compute has an end.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

/** Steps: a conversation of a thousand messages takes some tens of thousands. Numbers of a range, and characters of a prompt, far beyond any context. */
const most = { steps: 500_000, range: 10_000, text: 50_000_000 } as const;

/** The package's own types of it are not found by every resolution of modules. */
const Base = Interpreter as new (environment: unknown) => { evaluate(statement: unknown, environment: unknown): unknown; run(program: unknown): { readonly value: unknown } };

class Counted extends Base {
  #steps = 0;
  override evaluate(statement: unknown, environment: unknown): unknown {
    if (++this.#steps > most.steps) throw new Error(`it takes more than ${most.steps} steps`);
    return super.evaluate(statement, environment);
  }
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (!(count <= most.range)) throw new Error(`a range of ${count} numbers, at most ${most.range} are made`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}

/** The time now, as templates write the date: %Y, %m, %d, %b, %B, %H, %M and %S. */
function now(format: string): string {
  const date = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const month = (length: 'short' | 'long'): string => new Intl.DateTimeFormat('en-US', { month: length }).format(date);
  const parts: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()), m: () => two(date.getMonth() + 1), d: () => two(date.getDate()), b: () => month('short'), B: () => month('long'),
    H: () => two(date.getHours()), M: () => two(date.getMinutes()), S: () => two(date.getSeconds()), '%': () => '%',
  };
  return format.replace(/%(.)/g, (token, letter: string) => parts[letter]?.() ?? token);
}

const given: Readonly<Record<string, unknown>> = {
  true: true, false: false, none: null, True: true, False: false, None: null, range, strftime_now: now,
  raise_exception: (reason: unknown) => { throw new Error(String(reason)); },
};

/** The text of a template with these values; throws an Error with the reason where it cannot be had. */
export function render(source: string, values: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...given, ...values })) environment.set(name, value);
  const text = String(new Counted(environment).run(parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }))).value);
  if (text.length > most.text) throw new Error(`it writes ${text.length} characters, at most ${most.text} are read`);
  return text;
}
