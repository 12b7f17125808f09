/** What the terminal shows: the plan before a run, the verdict after it. Plain text; the width is the caller's. */
import type { Verdict } from '../evaluate/verdict.ts';
import { harmless } from '../errors.ts';
import type { DataUse, PlannedOutput, QuantizePlan, QuantizeResult, TensorLine } from '../jobs/result.ts';
import { dataText } from './data-words.ts';
import { textTable, type TextColumn } from './text-table.ts';
import { verdictColumns } from './verdict-table.ts';
import { duration, figure, integer, megabytes, plural, shape, size } from './words.ts';

export interface TextOptions {
  /** Cells of a line; unlimited where it is not a terminal. */
  readonly width?: number;
  /** Every tensor, whatever their number. */
  readonly all?: boolean;
}

/** Tensor lists up to this length are shown whole. */
const wholeList = 40;
/** Of longer ones, so many from the beginning and from the end. */
const shownHead = 24;
const shownTail = 4;

const modelLine = ({ name, origin, parameters, bytes, license }: QuantizeResult['model']): string =>
  `model        ${name}: ${origin}, ${integer(parameters)} weights, ${size(bytes)}${license === undefined ? '' : `, license ${license}`}`;

const dataLine = (title: string, data: DataUse | undefined): string[] =>
  (data === undefined ? [] : [`${title.padEnd(12)} ${dataText(data)}`]);

/** What a run is going to do. */
export function planText(plan: QuantizePlan, options: TextOptions = {}): string {
  const { convert, judge } = plan.memory;
  const { low, high } = plan.seconds;
  const lines = [
    modelLine(plan.model), ...dataLine('calibration', plan.calibration), ...dataLine('evaluation', plan.evaluation),
    ...plan.inputs.map(({ name, shape: dims, low, high }) =>
      `input        ${name} ${dims}${low === undefined || high === undefined ? '' : `, values ${figure(low)} to ${figure(high)}`}`),
  ];
  for (const output of plan.outputs) lines.push('', ...outputLines(output, options));
  lines.push('', `memory       about ${size(convert)} to convert${judge > 0 ? `, ${size(judge)} to judge` : ''}`, `time         ${duration(low)} to ${duration(high)}`);
  for (const warning of plan.warnings) lines.push(`warning      ${warning}`);
  return lines.map(harmless).join('\n');
}

function outputLines(output: PlannedOutput, options: TextOptions): string[] {
  const { file, target, format, recipe, tensors, bytes, bitsPerWeight, open = [], refusals } = output;
  const before = tensors.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0);
  return [
    `${file}  (${target}, ${format}${recipe === 'none' ? '' : `, recipe ${recipe}`})`,
    ...tensorLines(tensors, options),
    `total  ${size(before)} -> ${size(bytes)}, ${figure(bitsPerWeight)} bits per weight`,
    ...open.map((what) => `not counted  ${what}`),
    ...refusals.map((refusal) => `refused  ${refusal}`),
  ];
}

const tensorColumns: readonly TextColumn[] = [
  { title: '', align: 'left' }, { title: 'tensor', align: 'left' }, { title: 'shape', align: 'left' }, { title: 'type', align: 'left' },
  { title: 'MB', align: 'right' }, { title: 'why', align: 'left' },
];

/** One line per tensor; of long lists the beginning, the end, and every tensor that did not take its format or was given one by itself. */
function tensorLines(tensors: readonly TensorLine[], { width, all = false }: TextOptions): string[] {
  const total = String(tensors.length);
  const row = (line: TensorLine, at: number): string[] => [
    `[${String(at + 1).padStart(total.length)}/${total}]`, line.name, shape(line.shape), `${line.source} -> ${line.target}`,
    `${megabytes(line.bytesBefore)} -> ${megabytes(line.bytesAfter)}`, line.fallback !== undefined ? `fallback: ${line.fallback}` : line.asked === true ? 'as asked' : '',
  ];
  const shown = (line: TensorLine, at: number): boolean =>
    all || tensors.length <= wholeList || at < shownHead || at >= tensors.length - shownTail || line.fallback !== undefined || line.asked === true;
  const kept = tensors.flatMap((line, at) => (shown(line, at) ? [{ at, cells: row(line, at) }] : []));
  const lines = textTable(tensorColumns, kept.map(({ cells }) => cells), { width, header: false });
  // Narrow terminals get blocks, which have no line per tensor to put gaps between.
  if (lines.length !== kept.length) return lines;
  return lines.flatMap((line, i) => {
    const left = kept[i].at - (i === 0 ? -1 : kept[i - 1].at) - 1;
    return left === 0 ? [line] : [`... ${integer(left)} more`, line];
  });
}

/** The verdict table of some files, without a word about a choice. */
export function verdictText(verdicts: readonly Verdict[], options: TextOptions & { readonly floatBytes?: number; readonly marked?: Verdict | undefined } = {}): string {
  const columns = verdictColumns(verdicts, options.floatBytes);
  const marks = options.marked === undefined ? [] : [{ title: '', align: 'left' as const, cell: (verdict: Verdict) => (verdict.file === options.marked?.file ? '*' : '') }];
  const shown = [...marks, ...columns];
  return textTable(shown, verdicts.map((verdict) => shown.map((column) => column.cell(verdict))), { width: options.width }).join('\n');
}

/** What a run measured, and what it recommends. */
export function resultText(result: QuantizeResult, options: TextOptions = {}): string {
  const { model, outputs, recommendation, gates } = result;
  const verdicts = outputs.map(({ verdict }) => verdict);
  const score = verdicts.find((verdict) => verdict.score !== undefined)?.score;
  const lines = [
    modelLine(model), ...dataLine('calibration', result.calibration),
    ...(score === undefined ? [] : [`judged on    ${dataText({ ...score, name: score.data })}, task ${score.task}`]),
    '', ...verdictText(verdicts, { ...options, floatBytes: model.bytes, marked: recommendation.choice }).split('\n'), '',
    `${recommendation.choice === undefined ? 'no recommendation' : '* recommended'}: ${recommendation.reason}`,
  ];
  for (const { file, fallbacks = [], notJudged } of verdicts) {
    if (notJudged !== undefined) lines.push(`not judged   ${file}: ${notJudged}`);
    if (fallbacks.length > 0) lines.push(`fallback     ${file}: ${plural(fallbacks.length, 'tensor')} took another format, such as ${fallbacks[0].tensor} (${fallbacks[0].format}: ${fallbacks[0].reason})`);
  }
  for (const { file, notes } of outputs) for (const note of notes) lines.push(`note         ${file}: ${note}`);
  for (const { line } of gates) lines.push(`gate missed  ${line}`);
  return lines.map(harmless).join('\n');
}
