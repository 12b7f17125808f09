/** The report as one HTML file: no network, no script, no clock. Every text from outside is escaped. */
import type { DataUse, Output, QuantizeResult } from '../jobs/result.ts';
import { alternativesFor } from '../jobs/snippets.ts';
import { comparisonColumns, comparisons, type Comparison } from './comparison.ts';
import { dataText } from './data-words.ts';
import { tensorSqnr, worstLayers } from './layers.ts';
import { codeHtml, detailsHtml, escaped, listHtml, tableHtml, type Head } from './markup.ts';
import { executionText } from './loader-words.ts';
import { allocationFigure } from './plot-allocation.ts';
import { comparisonFigure } from './plot-comparison.ts';
import { histogramFigure } from './plot-histogram.ts';
import { layersFigure, sqnrRange } from './plot-layers.ts';
import { sizeErrorFigure } from './plot-size-error.ts';
import { trainingFigure } from './plot-training.ts';
import { styleSheet } from './style.ts';
import { verdictColumns } from './verdict-table.ts';
import { decibels, duration, integer, megabytes, plural, shape, size } from './words.ts';

const tensorColumns: readonly Head[] = [
  { title: 'tensor', align: 'left' }, { title: 'shape', align: 'left' }, { title: 'from', align: 'left' }, { title: 'to', align: 'left' },
  { title: 'MB before', align: 'right' }, { title: 'MB after', align: 'right' }, { title: 'SQNR', align: 'right' }, { title: 'fallback', align: 'left' },
];

function tensorTable(output: Output): string {
  return tableHtml(`Tensors of ${output.file}`, tensorColumns, output.tensors.map((line) => {
    const sqnr = tensorSqnr(line);
    return [line.name, shape(line.shape), line.source, line.target, megabytes(line.bytesBefore), megabytes(line.bytesAfter), sqnr === undefined ? '–' : decibels(sqnr), line.fallback ?? ''];
  }));
}

function loaders(output: Output): string {
  return detailsHtml('How to load it', [
    `<p>${escaped(executionText(output.snippet))}</p>`, codeHtml(output.snippet.code),
    ...alternativesFor(output).flatMap(({ title, code }) => [`<p>${escaped(title)}:</p>`, codeHtml(code)]),
  ]);
}

function outputSection(result: QuantizeResult, output: Output, range: readonly [number, number]): string {
  const { file, target, recipe, verdict, tensors, histograms, notes } = output;
  const worst = worstLayers(output, 3);
  const fallbacks = verdict.fallbacks ?? [];
  const pictures = histograms.map(histogramFigure).filter((text) => text !== '');
  return [
    `<section><h3>${escaped(file)}</h3>`,
    `<p class="quiet">${escaped(`${target}, weights as ${verdict.format}${recipe === 'none' ? '' : `, recipe ${recipe}`}; ${size(verdict.size)}`)}</p>`,
    ...(verdict.notJudged === undefined ? [] : [`<p>Not judged: ${escaped(verdict.notJudged)}</p>`]),
    ...notes.map((note) => `<p>${escaped(note)}</p>`),
    ...(fallbacks.length === 0 ? [] : [detailsHtml(`${plural(fallbacks.length, 'tensor')} took another format`, [
      `<ul>${fallbacks.map(({ tensor, format, reason }) => `<li>${escaped(`${tensor}: ${format}, because ${reason}`)}</li>`).join('')}</ul>`,
    ])]),
    worst.length === 0 ? '' : `<p>Weights that lost most: ${worst.map(({ tensor, sqnr }) => `${escaped(tensor)} (${decibels(sqnr)})`).join(', ')}.</p>`,
    allocationFigure(output),
    layersFigure(output, range),
    pictures.length === 0 ? '' : detailsHtml(`${plural(pictures.length, 'weight')} and the levels of their codes`, pictures),
    loaders(output),
    tensors.length === 0 ? '' : detailsHtml(plural(tensors.length, 'tensor'), [tensorTable(output)]),
    '</section>',
  ].filter((text) => text !== '').join('\n');
}

const dataPairs = (title: string, data: DataUse | undefined): (readonly [string, string])[] => (data === undefined ? [] : [
  [title, dataText(data)], ...(data.sha256 === undefined ? [] : [[`${title}, SHA-256`, data.sha256] as const]),
]);

/** A setting as it was understood, as text. */
const settingText = (value: unknown): string => (typeof value === 'string' ? value : Array.isArray(value) ? value.map(settingText).join(', ') : JSON.stringify(value) ?? '');

function verdictSection(result: QuantizeResult): string {
  const { model, outputs, recommendation } = result;
  const verdicts = outputs.map(({ verdict }) => verdict);
  const columns = verdictColumns(verdicts, model.bytes, '→');
  const best = verdicts.findIndex(({ file }) => file === recommendation.choice?.file);
  const rows = verdicts.map((verdict, at) => columns.map((column, i) => (i === 0 && at === best ? `${column.cell(verdict)} (recommended)` : column.cell(verdict))));
  const score = verdicts.find((verdict) => verdict.score !== undefined)?.score;
  return [
    '<h2>Verdict</h2>',
    score === undefined ? '' : `<p>${escaped(`The written files were run against the float model on ${dataText({ ...score, name: score.data })}.`)}</p>`,
    tableHtml('What was measured on the written files', columns, rows, best),
    detailsHtml('What the columns hold', [listHtml(columns.map(({ title, meaning }) => [title, meaning]))]),
  ].filter((text) => text !== '').join('\n');
}

function comparisonSection(comparison: Comparison): string {
  const columns = comparisonColumns(comparison);
  return [
    comparisonFigure(comparison), tableHtml(comparison.title, columns, comparison.files.map((file) => columns.map((column) => column.cell(file)))),
    detailsHtml('What the columns hold', [listHtml(columns.map(({ title, meaning }) => [title, meaning]))]),
  ].join('\n');
}

export function resultHtml(result: QuantizeResult): string {
  const { model, outputs, recommendation, gates, environment, tool } = result;
  const files = [...model.files, ...outputs.flatMap((output) => output.files)];
  const range = sqnrRange(outputs);
  const plot = sizeErrorFigure(result);
  const compared = comparisons(result);
  const curves = trainingFigure(result.training ?? []);
  const data = [...dataPairs('calibration', result.calibration), ...dataPairs('evaluation', result.evaluation)];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(model.name)}, quantized</title>
<style>${styleSheet}</style></head>
<body><main>
<h1>${escaped(model.name)}</h1>
<p class="quiet">${escaped(`${model.origin}, ${integer(model.parameters)} weights, ${size(model.bytes)}${model.license === undefined ? '' : `, license ${model.license}`}`)}</p>
<h2>${recommendation.choice === undefined ? 'No recommendation' : 'Recommendation'}</h2>
<p class="choice">${escaped(recommendation.reason)}.</p>
${gates.map(({ line }) => `<p class="missed">Gate missed: ${escaped(line)}</p>`).join('\n')}
${verdictSection(result)}
${plot === '' ? '' : `<h2>Size against error</h2>\n${plot}`}
${compared.length === 0 ? '' : `<h2>Recipes beside plain formats</h2>\n${compared.map(comparisonSection).join('\n')}`}
${curves === '' ? '' : `<h2>Training</h2>\n${curves}`}
<h2>Outputs</h2>
${outputs.map((output) => outputSection(result, output, range)).join('\n')}
${data.length === 0 ? '' : `<h2>Data</h2>\n${listHtml(data)}`}
<h2>Settings</h2>
${listHtml(Object.entries(result.settings).filter(([, value]) => value !== undefined).map(([name, value]) => [name, settingText(value)]))}
<h2>Environment</h2>
${listHtml([['made by', `${tool.name} ${tool.version}`], ['runtime', `Node ${environment.node}, ${environment.platform}`], ['processor', `${environment.cpu}, ${plural(environment.threads, 'thread')}`], ['engines', environment.engines.join(', ') || 'none'], ['float model ran in', result.float.engine], ['took', duration(result.seconds)]])}
<h2>Files</h2>
${tableHtml('Files and their hashes', [{ title: 'file', align: 'left' }, { title: 'bytes', align: 'right' }, { title: 'SHA-256', align: 'left' }], files.map(({ path, bytes, sha256 }) => [path, integer(bytes), sha256]))}
</main></body></html>
`;
}
