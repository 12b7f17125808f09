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

type Wording<F> = (facts: F) => string | readonly [line: string, wayOut: string];

/**
 * Makes one error constructor per row: `defineErrors('gguf', { badMagic: (f: {found: string}) => … })`
 * gives `errors.badMagic({found})`, an error with code `gguf.badMagic`. One row per way a thing can be
 * wrong; each row one lower-case line, optionally with a way out.
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
      return new FewbitError(`${module}.${key}`, facts as Record<string, unknown>, line, wayOut);
    };
  }
  return makers;
}
