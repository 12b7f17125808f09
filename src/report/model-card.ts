/** The card of an output (README.md of its folder): front matter of the Hugging Face hub, the verdict, how to load it. */
import type { Output, QuantizeResult } from '../jobs/result.ts';
import { alternativesFor } from '../jobs/snippets.ts';
import { dataText } from './data-words.ts';
import { worstLayers } from './layers.ts';
import { executionText } from './loader-words.ts';
import { verdictColumns } from './verdict-table.ts';
import { decibels, integer, size } from './words.ts';

/** A text that Markdown shows as it is. */
const escaped = (text: string): string => text.replace(/[\r\n]+/g, ' ').replace(/[\\`*<>|[\]&]/g, (sign) => (sign === '<' ? '&lt;' : sign === '&' ? '&amp;' : `\\${sign}`));

/** Which library the hub names for each target. */
const libraries: Readonly<Record<string, string>> = { onnx: 'onnxruntime', 'transformers.js': 'transformers.js', gguf: 'gguf', safetensors: 'transformers' };

function frontMatter({ model, settings }: QuantizeResult, { target, verdict }: Output): string[] {
  const source = String(settings.model ?? '');
  const hub = /^hf:([^/@]+\/[^/@]+)/.exec(source)?.[1];
  const text = (value: string): string => (/^[A-Za-z][\w.-]*$/.test(value) ? value : JSON.stringify(value));
  const tags = ['fewbit', 'quantized', verdict.format, ...(target === 'gguf' ? ['gguf'] : target === 'onnx' || target === 'transformers.js' ? ['onnx'] : [])];
  return [
    '---',
    ...(model.license === undefined ? [] : [`license: ${text(model.license)}`]),
    ...(hub === undefined ? [] : [`base_model: ${text(hub)}`, 'base_model_relation: quantized']),
    `library_name: ${text(libraries[target] ?? target)}`,
    ...(model.origin === 'onnx' ? [] : ['pipeline_tag: text-generation']),
    'tags:', ...[...new Set(tags)].map((tag) => `- ${text(tag)}`),
    '---',
  ];
}

/** Markdown with the verdict of the whole run, this output's row in bold. */
export function modelCard(result: QuantizeResult, output: Output): string {
  const { model, recommendation, calibration, evaluation, tool, outputs } = result;
  const verdicts = outputs.map(({ verdict }) => verdict);
  const columns = verdictColumns(verdicts, model.bytes, '→');
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const { fallbacks = [] } = output.verdict;
  const worst = worstLayers(output, 3);
  const lines = [
    ...frontMatter(result, output), '',
    `# ${escaped(model.name)}, ${escaped(output.label)}`, '',
    `${escaped(output.file)}: the weights of ${escaped(model.name)} (${integer(model.parameters)} weights, ${size(model.bytes)}) as ${escaped(output.verdict.format)}, `
      + `${size(output.verdict.size)}, made by ${tool.name} ${tool.version}${output.recipe === 'none' ? '' : ` with the recipe ${escaped(output.recipe)}`}.`, '',
    '## Verdict', '',
    ...(evaluation === undefined ? [] : [`Measured on the written files, against the float model, on ${escaped(dataText(evaluation))}.`, '']),
    row(columns.map(({ title }) => title)), row(columns.map(({ align }) => (align === 'right' ? '---:' : '---'))),
    ...verdicts.map((verdict) => row(columns.map((column) => {
      const cell = escaped(column.cell(verdict));
      return verdict.file === output.file ? `**${cell}**` : cell;
    }))), '',
    ...columns.map(({ title, meaning }) => `- ${title}: ${meaning}`), '',
    `${recommendation.choice === undefined ? 'No recommendation' : 'Recommended'}: ${escaped(recommendation.reason)}.`, '',
    ...(calibration === undefined ? [] : [`Calibrated on ${escaped(dataText(calibration))}.`, '']),
    ...(worst.length === 0 ? [] : [`Weights that lost most: ${worst.map(({ tensor, sqnr }) => `${escaped(tensor)} (${decibels(sqnr)})`).join(', ')}.`, '']),
    ...(fallbacks.length === 0 ? [] : ['## Tensors in another format', '', ...fallbacks.map(({ tensor, format, reason }) => `- ${escaped(tensor)}: ${escaped(format)}, because ${escaped(reason)}`), '']),
    ...(output.notes.length === 0 ? [] : ['## Notes', '', ...output.notes.map((note) => `- ${escaped(note)}`), '']),
    '## How to load it', '',
    escaped(executionText(output.snippet)), '',
    ...fenced(output.snippet.language, output.snippet.code),
    ...alternativesFor(output).flatMap(({ title, language, code }) => [`${title}:`, '', ...fenced(language, code)]),
    '## Files', '',
    '| file | bytes | SHA-256 |', '| --- | ---: | --- |', ...output.files.map(({ path, bytes, sha256 }) => row([escaped(path), String(bytes), sha256])), '',
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

/** A code block; its fence is longer than any in the code. */
function fenced(language: string, code: string): string[] {
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}${language}`, code.trimEnd(), fence, ''];
}
