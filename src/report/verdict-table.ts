/** The columns of a verdict table, chosen once for the terminal, the report and the card. */
import type { Verdict } from '../evaluate/verdict.ts';
import type { Metric } from '../evaluate/score.ts';
import { decibels, figure, megabytes, percent, times } from './words.ts';

export interface VerdictColumn {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** What the column holds, for readers who want to know. */
  readonly meaning: string;
  cell(verdict: Verdict): string;
}

const none = '–';
const unitOf = ({ unit }: Metric): string => (unit === '' ? '' : ` ${unit}`);

/** Four digits, so that small drops show. */
export const metricText = (metric: Metric, arrow = '->'): string => `${figure(metric.float, 4)} ${arrow} ${figure(metric.quantized, 4)}${unitOf(metric)}`;

/** Speed per backend; what only decodes a file for judging it says nothing of speed. */
export function speedText(verdict: Verdict): string {
  const measured = verdict.latency.filter(({ backend }) => backend !== 'decoded');
  if (measured.length === 0) return none;
  return measured.map(({ backend, ratio }) => (measured.length === 1 ? times(ratio) : `${backend} ${times(ratio)}`)).join(', ');
}

/** The first metric of each task that any row has. */
function mainMetric(verdicts: readonly Verdict[]): string | undefined {
  return verdicts.flatMap(({ score }) => score?.metrics.slice(0, 1) ?? [])[0]?.name;
}

export function verdictColumns(verdicts: readonly Verdict[], floatBytes?: number, arrow = '->'): VerdictColumn[] {
  const judged = verdicts.flatMap(({ score }) => (score === undefined ? [] : [score]));
  const some = (has: (score: (typeof judged)[number]) => unknown): boolean => judged.some((score) => has(score) !== undefined);
  const columns: VerdictColumn[] = [
    { title: 'file', align: 'left', meaning: 'main file, relative to the output folder', cell: ({ file }) => file },
    { title: 'weights', align: 'left', meaning: 'format of the weights', cell: ({ format }) => format },
    { title: 'MB', align: 'right', meaning: 'everything that ships, in millions of bytes', cell: ({ size }) => megabytes(size) },
  ];
  if (floatBytes !== undefined) {
    columns.push({ title: 'smaller', align: 'right', meaning: 'size of the float weights over the size of the file', cell: ({ size }) => `${figure(floatBytes / size, floatBytes >= size ? 2 : 3)}×` });
  }
  columns.push({ title: 'bits/weight', align: 'right', meaning: 'bits per weight with scales, zero points and what stays float', cell: ({ bitsPerWeight }) => bitsPerWeight.toFixed(2) });
  if (some(({ error }) => error.kl)) {
    columns.push({ title: 'KL', align: 'right', meaning: 'mean Kullback–Leibler divergence from the float model, nats', cell: ({ score }) => (score?.error.kl === undefined ? none : figure(score.error.kl.mean)) });
  }
  if (some(({ error }) => error.agreement)) {
    columns.push({ title: 'same top-1', align: 'right', meaning: 'share of first choices that equal the float model\'s', cell: ({ score }) => (score?.error.agreement === undefined ? none : percent(score.error.agreement)) });
  }
  if (!some(({ error }) => error.kl) && some(({ error }) => error.sqnr)) {
    columns.push({ title: 'SQNR', align: 'right', meaning: 'signal to quantization noise of the outputs', cell: ({ score }) => (score?.error.sqnr === undefined ? none : decibels(score.error.sqnr)) });
  }
  if (some(({ error }) => error.psnrToFloat)) {
    columns.push({ title: 'PSNR to float', align: 'right', meaning: 'peak signal to noise against the float model\'s images', cell: ({ score }) => (score?.error.psnrToFloat === undefined ? none : decibels(score.error.psnrToFloat)) });
  }
  const name = mainMetric(verdicts);
  if (name !== undefined) {
    columns.push({
      title: name, align: 'right', meaning: `${name} of the float model and of the file, on the same inputs`,
      cell: ({ score }) => {
        const metric = score?.metrics.find((candidate) => candidate.name === name);
        return metric === undefined ? none : metricText(metric, arrow);
      },
    });
  }
  if (verdicts.some(({ latency }) => latency.length > 0)) {
    columns.push({ title: 'speed', align: 'right', meaning: 'times as fast as the float model on this machine, in the same run', cell: speedText });
  }
  columns.push({ title: 'runs in', align: 'left', meaning: 'engines that loaded and ran the file', cell: ({ loads, notJudged }) => (loads.length > 0 ? loads.join(', ') : notJudged === undefined ? none : `not run: ${notJudged}`) });
  return columns;
}
