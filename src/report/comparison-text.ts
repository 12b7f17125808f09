/** Recipes beside plain formats as terminal text and as Markdown. */
import type { QuantizeResult } from '../jobs/result.ts';
import { comparisonColumns, comparisons } from './comparison.ts';
import { textTable } from './text-table.ts';

export function comparisonText(result: Pick<QuantizeResult, 'outputs'>, width?: number): string {
  return comparisons(result).flatMap((one) => {
    const columns = comparisonColumns(one);
    return [one.title, '', ...textTable(columns, one.files.map((file) => columns.map((column) => column.cell(file))), width === undefined ? {} : { width }), ''];
  }).join('\n');
}

/** The tables in Markdown, each under what `figure` gives for it. */
export function comparisonMarkdown(result: Pick<QuantizeResult, 'outputs'>, figure: (title: string) => string): string {
  const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return comparisons(result).flatMap((one) => {
    const columns = comparisonColumns(one);
    return [
      `### ${one.title}`, '', figure(one.title), '', row(columns.map(({ title }) => title)), row(columns.map(({ align }) => (align === 'right' ? '---:' : ':---'))),
      ...[...one.files].sort((a, b) => a.bits - b.bits).map((file) => row(columns.map((column) => column.cell(file)))), '',
    ];
  }).join('\n');
}
