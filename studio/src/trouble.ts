/** Failures as sentences with a way out. */
import { FewbitError } from '../../src/errors.ts';
import type { Trouble } from './protocol.ts';

/** Failures of the browser itself, by their names. */
const known: Readonly<Record<string, Trouble>> = {
  QuotaExceededError: { message: 'the space that the browser gives this page is used up', wayOut: 'drop earlier runs on this page, or free disk space' },
  NotReadableError: { message: 'a file that was given can no longer be read: it changed or moved', wayOut: 'open the model again' },
  RangeError: { message: 'the memory that the browser gives this page is used up', wayOut: 'close other tabs, or use the command: it needs less' },
};

export function troubleOf(error: unknown): Trouble {
  if (error instanceof FewbitError) return { message: error.message, ...(error.wayOut === undefined ? {} : { wayOut: error.wayOut }) };
  if (!(error instanceof Error)) return { message: String(error) };
  const named = known[error.name];
  if (error.name === 'RangeError' && !/alloc|memory|length/i.test(error.message)) return { message: error.message };
  return named ?? { message: error.message };
}
