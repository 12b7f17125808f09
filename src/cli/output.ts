/** What commands print on standard output. */

/** One JSON document; infinities and NaN, which JSON cannot hold, become strings. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, (_key, item: unknown) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item), 2);
  process.stdout.write(`${text}\n`);
}
