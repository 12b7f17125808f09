/** The report as one HTML file: no network, no script, no clock. Every text from outside is escaped. */
import type { Output, QuantizeResult } from '../jobs/result.ts';
import { worstLayers } from './layers.ts';
import { snippetFor } from './snippets.ts';
import { verdictColumns } from './verdict-table.ts';
import { decibels, integer, megabytes, shape, size } from './words.ts';

const signs: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => signs[sign]);

interface Head { readonly title: string; readonly align: 'left' | 'right' }

function table(caption: string, columns: readonly Head[], rows: readonly (readonly string[])[]): string {
  const heads = columns.map(({ title, align }) => `<th scope="col" class="${align}">${escaped(title)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell, i) => `<td class="${columns[i].align}">${escaped(cell)}</td>`).join('')}</tr>`).join('\n');
  return `<div class="wide"><table><caption>${escaped(caption)}</caption><thead><tr>${heads}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600}th,td{padding:.25rem .6rem;border-bottom:1px solid #8886;text-align:left}.right{text-align:right}pre{overflow-x:auto;padding:.6rem;border:1px solid #8886}`;

const tensorColumns: readonly Head[] = [
  { title: 'tensor', align: 'left' }, { title: 'shape', align: 'left' }, { title: 'from', align: 'left' }, { title: 'to', align: 'left' },
  { title: 'MB before', align: 'right' }, { title: 'MB after', align: 'right' }, { title: 'fallback', align: 'left' },
];

function outputSection(result: QuantizeResult, output: Output): string {
  const worst = worstLayers(output, 5);
  const { code } = output.snippet ?? snippetFor(result.model, output);
  return [
    `<h3>${escaped(output.file)}</h3>`,
    worst.length === 0 ? '' : `<p>Weights that lost most: ${worst.map(({ tensor, sqnr }) => `${escaped(tensor)} (${decibels(sqnr)})`).join(', ')}</p>`,
    ...output.notes.map((note) => `<p>${escaped(note)}</p>`),
    `<pre><code>${escaped(code)}</code></pre>`,
    `<details><summary>${output.tensors.length} tensors</summary>`,
    table(`Tensors of ${output.file}`, tensorColumns, output.tensors.map((line) =>
      [line.name, shape(line.shape), line.source, line.target, megabytes(line.bytesBefore), megabytes(line.bytesAfter), line.fallback ?? ''])),
    '</details>',
  ].join('\n');
}

export function resultHtml(result: QuantizeResult): string {
  const { model, outputs, recommendation } = result;
  const verdicts = outputs.map(({ verdict }) => verdict);
  const columns = verdictColumns(verdicts, model.bytes, '→');
  const files = [...model.files, ...outputs.flatMap((output) => output.files)];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(model.name)}, quantized</title><style>${style}</style></head>
<body><main><h1>${escaped(model.name)}</h1>
<p>${integer(model.parameters)} weights, ${size(model.bytes)}</p>
<h2>Recommendation</h2><p>${escaped(recommendation.reason)}</p>
${result.gates.map(({ line }) => `<p>Gate missed: ${escaped(line)}</p>`).join('\n')}
<h2>Verdict</h2>
${table('What was measured on the written files', columns, verdicts.map((verdict) => columns.map((column) => column.cell(verdict))))}
<h2>Outputs</h2>
${outputs.map((output) => outputSection(result, output)).join('\n')}
<h2>Settings and environment</h2>
<pre>${escaped(JSON.stringify({ settings: result.settings, environment: result.environment, calibration: result.calibration, evaluation: result.evaluation }, null, 2))}</pre>
${table('Files', [{ title: 'file', align: 'left' }, { title: 'bytes', align: 'right' }, { title: 'SHA-256', align: 'left' }], files.map(({ path, bytes, sha256 }) => [path, String(bytes), sha256]))}
</main></body></html>
`;
}
