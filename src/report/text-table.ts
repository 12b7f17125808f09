/** Tables of plain text: aligned where they fit, one block per row where they do not. */
import { harmless } from '../errors.ts';

export interface TextColumn {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Terminal cells that a text takes: marks that combine take none, wide East Asian signs two. */
export function cellsOf(text: string): number {
  let cells = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    cells += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(character) ? 2 : 1;
  }
  return cells;
}

/** The text within so many cells; the middle gives way, because names differ at both ends. */
export function shorten(text: string, cells: number): string {
  if (cellsOf(text) <= cells) return text;
  const characters = [...text];
  const head = Math.ceil((cells - 1) / 2);
  const tail = Math.max(0, cells - 1 - head);
  return `${characters.slice(0, head).join('')}…${tail === 0 ? '' : characters.slice(-tail).join('')}`;
}

const pad = (text: string, cells: number, align: 'left' | 'right'): string => {
  const space = ' '.repeat(Math.max(0, cells - cellsOf(text)));
  return align === 'right' ? space + text : text + space;
};

const gap = '  ';
/** A cut name of fewer cells says too little. */
const narrowest = 24;

/**
 * Lines of a table; `header: false` leaves the titles out. Within `width` cells long texts of left-aligned columns are cut;
 * where that is not enough, each row becomes a block of `title: value` lines.
 */
export function textTable(columns: readonly TextColumn[], rows: readonly (readonly string[])[], { width = Infinity, header = true } = {}): string[] {
  const cells = rows.map((row) => row.map(harmless));
  const widths = columns.map(({ title }, i) => Math.max(header ? cellsOf(title) : 0, ...cells.map((row) => cellsOf(row[i]))));
  const total = () => widths.reduce((sum, cells) => sum + cells, gap.length * (columns.length - 1));
  for (let excess = total() - width; excess > 0; excess = total() - width) {
    const longest = columns.reduce((best, { align }, i) => (align === 'left' && widths[i] > narrowest && (best < 0 || widths[i] > widths[best]) ? i : best), -1);
    if (longest < 0) return blocks(columns, cells);
    widths[longest] = Math.max(narrowest, widths[longest] - excess);
  }
  const line = (row: readonly string[]) => row.map((cell, i) => pad(shorten(cell, widths[i]), widths[i], columns[i].align)).join(gap).trimEnd();
  return [...(header ? [line(columns.map(({ title }) => title))] : []), ...cells.map(line)];
}

function blocks(columns: readonly TextColumn[], rows: readonly (readonly string[])[]): string[] {
  const label = Math.max(...columns.map(({ title }) => cellsOf(title)));
  return rows.flatMap((row, at) => [
    ...(at === 0 ? [] : ['']),
    ...row.flatMap((cell, i) => (cell === '' ? [] : [`${pad(columns[i].title, label, 'left')}${gap}${cell}`.trim()])),
  ]);
}
