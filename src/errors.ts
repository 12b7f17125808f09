/**
 * Errors as records: a code and its facts. Words are added by the table of the module that
 * raises the error, once, so that the command line, the browser and `--json` tell the same story.
 */
export class FewbitError extends Error {
  readonly code: string;
  readonly facts: Readonly<Record<string, unknown>>;
  /** What the user can do about it, when there is something. */
  readonly wayOut: string | undefined;

  constructor(code: string, facts: Record<string, unknown>, message: string, wayOut?: string) {
    super(message);
    this.name = 'FewbitError';
    this.code = code;
    this.facts = facts;
    this.wayOut = wayOut;
  }
}

/** Names inside of hostile files can have megabytes; a line that is read has less than this. */
const longestLine = 399;
const longestFact = 1000;
/** What a terminal acts on and what breaks or reverses a line: control characters, line separators, direction marks. */
// eslint-disable-next-line no-control-regex
const acting = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The middle gives way: a line begins with the file and ends with what is wrong. */
const cut = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, Math.floor(length * 0.6))}…${text.slice(-(Math.ceil(length * 0.4) - 1))}`;

/** A text with the characters that would act on a terminal spelled out. */
export const harmless = (text: string): string => text.replace(acting, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

const oneLine = (text: string, length = longestLine): string => cut(harmless(cut(text, length)), length);

/** A name out of a file, quoted and short enough to stand in a line. */
export const shown = (name: string): string => JSON.stringify(cut(name, 80));

type Wording<F> = (facts: F) => string | readonly [line: string, wayOut: string];

/**
 * Makes one error constructor per row: `defineErrors('gguf', { badMagic: (f: {found: string}) => … })`
 * gives `errors.badMagic({found})`, an error with code `gguf.badMagic`. One row per way a thing can be
 * wrong; each row one lower-case line, optionally with a way out. What the facts carry into the line is made harmless.
 */
export function defineErrors<T extends Record<string, Wording<never>>>(
  module: string,
  table: T,
): { [K in keyof T]: (facts: Parameters<T[K]>[0]) => FewbitError } {
  const makers = {} as { [K in keyof T]: (facts: Parameters<T[K]>[0]) => FewbitError };
  for (const key of Object.keys(table) as (keyof T & string)[]) {
    makers[key] = (facts) => {
      const words = (table[key] as unknown as Wording<unknown>)(facts);
      const [line, wayOut] = typeof words === 'string' ? [words, undefined] : words;
      const short = Object.fromEntries(Object.entries((facts ?? {}) as Record<string, unknown>).map(([name, fact]) =>
        [name, typeof fact === 'string' ? cut(fact, longestFact) : fact]));
      return new FewbitError(`${module}.${key}`, short, oneLine(line), wayOut === undefined ? undefined : oneLine(wayOut, longestFact));
    };
  }
  return makers;
}
