import type { NumberFormat } from '../formats/format.ts';
import type { Linear } from '../graph/linear.ts';

/** Taps of a depthwise convolution over time whose codes would take less space than the scale they need; they stay float. */
export const isTooShort = (site: Linear, { bits }: Pick<NumberFormat, 'bits'>): boolean =>
  site.kind === 'Conv' && site.kernel.length === 1 && site.groups === site.rows && site.cols * bits < 32;

/** Layers that a user wants left float: names, or patterns in which `*` stands for anything. */
export const keepsFloat = (id: string, node: string, keep: readonly string[]): boolean =>
  keep.some((pattern) => matches(pattern, id) || (node !== '' && matches(pattern, node)));

/** Leftmost matches of the pieces between stars, in time linear in the text: no regular expression from a user. */
export function matches(pattern: string, text: string): boolean {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === text;
  const last = rest.pop()!;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= text.length - last.length;
}
