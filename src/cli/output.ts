/** What commands print. */
import type { FewbitError } from '../errors.ts';

/** One JSON document; infinities and NaN, which JSON cannot hold, become strings. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, (_key, item: unknown) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item), 2);
  process.stdout.write(`${text}\n`);
}

/** What a model wrote, without the characters that a terminal acts on. */
// eslint-disable-next-line no-control-regex
export const onScreen = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');

/** An error and its way out, on standard error. */
export function complain({ message, wayOut }: FewbitError): void {
  process.stderr.write(`fewbit: ${message}\n${wayOut === undefined ? '' : `  ${wayOut}\n`}`);
}
