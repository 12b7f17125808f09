/** What `inspect` prints. */
import { harmless } from '../errors.ts';
import type { Inspection, TensorFacts, ValueFacts } from '../jobs/inspect.ts';
import type { TextOptions } from './table.ts';
import { textTable, type TextColumn } from './text-table.ts';
import { decibels, figure, integer, megabytes, percent, plural, shape, size } from './words.ts';

const left = (title: string): TextColumn => ({ title, align: 'left' });
const right = (title: string): TextColumn => ({ title, align: 'right' });

const tensorColumns = [left('tensor'), left('shape'), left('type'), right('MB'), right('min'), right('max'), right('mean |x|'), right('max/rms'), right('zeros'), left('')];

function tensorRow({ name, shape: dims, type, bytes, statistics }: TensorFacts): string[] {
  const start = [name, shape(dims), type, megabytes(bytes)];
  if (statistics === undefined) return [...start, '', '', '', '', '', bytes === 0 ? 'empty' : 'not decoded'];
  const { min, max, meanMagnitude, outlierRatio, zeros, notFinite, values } = statistics;
  const remarks = [
    ...(notFinite > 0 ? [`${integer(notFinite)} not finite`] : []),
    ...(values < dims.reduce((product, dim) => product * dim, 1) ? [`of ${integer(values)} values`] : []),
  ];
  return [...start, figure(min), figure(max), figure(meanMagnitude), figure(outlierRatio), zeros === 0 ? '0 %' : percent(zeros), remarks.join(', ')];
}

const valueText = ({ name, type, shape: dims }: ValueFacts): string => `${name} ${type} ${dims === null ? 'of unknown rank' : `[${dims.join(', ')}]`}`;

export function inspectionText(inspection: Inspection, options: TextOptions = {}): string {
  const { name, kind, bytes, tensorCount, weights, types, metadata, graph, tensors, costs } = inspection;
  const { width } = options;
  const lines = [
    `${name}: ${kind}, ${size(bytes)}`,
    `${tensors.length === tensorCount ? plural(tensorCount, 'tensor') : `${integer(tensors.length)} of ${plural(tensorCount, 'tensor')}`}, ${integer(weights)} weights`,
    ...types.map(({ type, tensors: count, bytes: size }) => `  ${type.padEnd(8)} ${plural(count, 'tensor')}, ${megabytes(size)} MB`),
  ];
  if (metadata.length > 0) lines.push('', 'Metadata', ...metadata.map(([key, value]) => `  ${key}: ${value}`));
  if (graph !== undefined) {
    lines.push(
      '', 'Graph', ...graph.inputs.map((value) => `  input   ${valueText(value)}`), ...graph.outputs.map((value) => `  output  ${valueText(value)}`),
      `  ${plural(graph.nodes, 'node')}: ${graph.operators.map(([operator, count]) => `${operator} ${count}`).join(', ')}`,
    );
    if (graph.sites.length > 0) {
      lines.push('', 'Linear sites, where a weight matrix multiplies an activation', ...textTable(
        [left('weight'), left('operator'), right('rows'), right('columns'), right('groups'), left('kernel'), left('bias')],
        graph.sites.map((site) => [site.weight, site.kind, integer(site.rows), integer(site.cols), String(site.groups), site.kernel.join('x'), site.bias ? 'yes' : '']), { width },
      ));
    }
  }
  lines.push('', 'Tensors', ...textTable(tensorColumns, tensors.map(tensorRow), { width }));
  const { formats, sampled, notFinite } = costs;
  if (formats.some(({ matrices, refused }) => matrices + refused > 0)) {
    lines.push('', 'What formats would cost, rounded to nearest without data; what takes no format stays as it is stored', ...textTable(
      [left('format'), right('MB'), right('bits/weight'), right('SQNR'), right('matrices'), left('cannot take it')],
      formats.map((cost) => [
        cost.format, megabytes(cost.bytes), cost.bitsPerWeight.toFixed(2), cost.sqnr === undefined ? '–' : decibels(cost.sqnr), integer(cost.matrices),
        cost.refused === 0 ? '' : `${integer(cost.refused)}, such as ${cost.refusal}`,
      ]), { width },
    ));
    lines.push(sampled.values === 0 ? 'SQNR: nothing could be decoded'
      : sampled.values === sampled.of ? 'SQNR of the weights, over all of their values'
      : `SQNR of the weights, estimated from ${integer(sampled.values)} of ${integer(sampled.of)} values, evenly spaced rows of every matrix`);
    if (notFinite.length > 0) lines.push(`left out of the SQNR, with values that are not finite: ${notFinite.slice(0, 5).join(', ')}${notFinite.length > 5 ? `, ${notFinite.length - 5} more` : ''}`);
  }
  return lines.map(harmless).join('\n');
}
