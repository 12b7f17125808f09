/** What a run measured about one written file, the choice among several, and the gates a build can set. */
import { defineErrors } from '../errors.ts';
import type { Latency } from './metrics/latency.ts';
import type { OutputError, Score } from './score.ts';

export interface Verdict {
  /** File or folder as written, relative to the output folder. */
  readonly file: string;
  /** Target such as `onnx`, `gguf`, `transformers.js`. */
  readonly target: string;
  /** Format in its one spelling, such as `int4/g32` or `q4_k`. */
  readonly format: string;
  /** Bytes of everything that ships: model, external data, and what the target needs beside it. */
  readonly size: number;
  /** Bits per weight with scales, zero points and codebooks counted; floats left as they are included. */
  readonly bitsPerWeight: number;
  /** Absent when the verdict was skipped; `reason` then says why. */
  readonly score?: Score;
  readonly notJudged?: string;
  /** One entry per backend, ratios to the float model on that backend. */
  readonly latency: readonly { readonly backend: string; readonly ratio: number; readonly ratioP10: number; readonly ratioP90: number; readonly median: number }[];
  /** Engines that loaded and ran this very file, such as `onnxruntime-node 1.30.0`. */
  readonly loads: readonly string[];
  /** Tensors that took another format than asked, with the reason. */
  readonly fallbacks?: readonly { readonly tensor: string; readonly format: string; readonly reason: string }[];
}

/** A latency measurement as a verdict keeps it. */
export const onBackend = (backend: string, { ratio, ratioP10, ratioP90, median }: Latency) => ({ backend, ratio, ratioP10, ratioP90, median });

export interface Gates {
  /** Mean KL to the float model, nats. */
  readonly maxKl?: number;
  /** Share of equal first choices, 0..1. */
  readonly minAgreement?: number;
  /** Largest drop by metric name, in the metric's unit. */
  readonly maxDrop?: Readonly<Record<string, number>>;
  /** Bytes. */
  readonly maxSize?: number;
}

export interface GateFailure {
  readonly file: string;
  readonly gate: string;
  readonly limit: number;
  /** Absent when the figure was not measured: a gate that cannot be checked fails. */
  readonly measured?: number;
  /** One line for the terminal. */
  readonly line: string;
}

const errors = defineErrors('gates', {
  badDrop: (f: { text: string }) => [`--max-drop ${f.text}: not METRIC=NUMBER`, 'for example: --max-drop top-1=0.5'] as const,
  badSize: (f: { text: string }) => [`--max-size ${f.text}: not a size`, 'for example: --max-size 25MB'] as const,
});

/** `top-1=0.5` as a gate. */
export function parseMaxDrop(text: string): Record<string, number> {
  const match = /^([^=]+)=(\d+\.?\d*|\.\d+)$/.exec(text.trim());
  if (match === null) throw errors.badDrop({ text });
  return { [match[1]]: Number(match[2]) };
}

const units: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };

/** `25MB`, `300 KiB` or plain bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+\.?\d*)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match?.[2].toLowerCase();
  if (match === null || unit === undefined || !Object.hasOwn(units, unit)) throw errors.badSize({ text });
  return Number(match[1]) * units[unit];
}

/** Nine of 900 answers are one per cent, whatever a subtraction of percentages leaves behind. */
const roundingOff = 1e-9;

/** Every row that misses a gate; empty when all hold. */
export function failingGates(verdicts: readonly Verdict[], gates: Gates): GateFailure[] {
  const failures: GateFailure[] = [];
  for (const verdict of verdicts) {
    const { file, score } = verdict;
    const check = (gate: string, limit: number, measured: number | undefined, holds: (value: number) => boolean, side: string) => {
      if (measured === undefined) failures.push({ file, gate, limit, line: `${file}: ${gate} was not measured (gate: ${side} ${limit})` });
      else if (!holds(measured)) failures.push({ file, gate, limit, measured, line: `${file}: ${gate} is ${figure(measured)} (gate: ${side} ${limit})` });
    };
    const { maxKl, minAgreement, maxSize } = gates;
    if (maxKl !== undefined) check('mean KL', maxKl, score?.error.kl?.mean, (value) => value <= maxKl, 'at most');
    if (minAgreement !== undefined) check('agreement', minAgreement, score?.error.agreement, (value) => value >= minAgreement, 'at least');
    if (maxSize !== undefined) check('size', maxSize, verdict.size, (value) => value <= maxSize, 'at most');
    for (const [name, limit] of Object.entries(gates.maxDrop ?? {})) {
      check(`drop of ${name}`, limit, score?.metrics.find((metric) => metric.name === name)?.drop, (value) => value <= limit + roundingOff, 'at most');
    }
  }
  return failures;
}

const figure = (value: number) => String(Number(value.toPrecision(4)));

/** A single number to rank by: mean KL where outputs are distributions, else the noise share 10^(−SQNR/10). Lower is better. */
export function errorOf(error: OutputError): number | undefined {
  if (error.kl !== undefined) return error.kl.mean;
  if (error.sqnr !== undefined) return 10 ** (-error.sqnr / 10);
  return undefined;
}

export interface Recommendation {
  readonly choice: Verdict | undefined;
  /** One sentence. */
  readonly reason: string;
}

/** Below these a file is taken to behave like the float model, where no gate says otherwise. */
export const tolerances = {
  /** Nats per token or sample. */
  kl: 0.02,
  /** Percentage points, dB, or per cent of the float value for other units. */
  points: 1,
  decibels: 0.3,
  relative: 0.02,
  /** dB, where nothing else was measured. */
  sqnr: 20,
} as const;

/**
 * The smallest file that keeps the model's behaviour: within the gates where there are gates, else within `tolerances`;
 * where none is, the one nearest to the float model. Models that were trained further are meant to answer otherwise:
 * where labels are known, these alone judge them.
 */
export function recommend(verdicts: readonly Verdict[], floatSize: number, gates: Gates = {}, { trained = false }: { readonly trained?: boolean } = {}): Recommendation {
  const judged = verdicts.filter(({ score }) => score !== undefined && errorOf(score.error) !== undefined);
  if (judged.length === 0) return { choice: undefined, reason: 'nothing was judged, so nothing is recommended' };
  const gated = Object.keys(gates).length > 0;
  const failing = new Set(failingGates(judged, gates).map(({ file }) => file));
  const good = judged.filter((verdict) => (gated ? !failing.has(verdict.file) : keeps(verdict, trained)));
  const kept = trained && judged.some(({ score }) => score!.metrics.length > 0) ? 'does the task as well as the float model' : 'keeps the float model\'s behaviour';
  const order = (a: Verdict, b: Verdict) => a.size - b.size || rank(a) - rank(b) || (a.file < b.file ? -1 : 1);
  if (good.length > 0) {
    const choice = [...good].sort(order)[0];
    const among = good.length === judged.length ? (judged.length === 1 ? 'the only file' : 'the smallest file, and all') : 'the smallest file';
    const bound = gated ? 'within the gates' : `that ${kept}`;
    const clause = among.endsWith('all') ? `${among} are ${gated ? bound : trained ? 'as good' : 'close to the float model'}` : `${among} ${bound}`;
    return { choice, reason: `${choice.file} is ${clause}: ${times(floatSize, choice.size)}, ${evidence(choice)}` };
  }
  const choice = [...judged].sort((a, b) => rank(a) - rank(b) || order(a, b))[0];
  const bound = gated ? 'no file is within the gates' : `no file ${kept}`;
  return { choice: gated ? undefined : choice, reason: `${bound}; ${choice.file} comes nearest: ${times(floatSize, choice.size)}, ${evidence(choice)}` };
}

const rank = (verdict: Verdict) => (verdict.score === undefined ? Infinity : errorOf(verdict.score.error) ?? Infinity);
const times = (floatSize: number, size: number) => (Math.abs(size / floatSize - 1) < 0.02 ? 'no smaller than float' : size <= floatSize ? `${figure2(floatSize / size)} times smaller than float` : `${figure2(size / floatSize)} times larger than float`);
const figure2 = (value: number) => (value >= 10 ? value.toFixed(0) : value.toFixed(1));

function keeps({ score }: Verdict, trained: boolean): boolean {
  if (score === undefined) return false;
  const { error, metrics } = score;
  const dropsLittle = metrics.every(({ unit, drop, float }) =>
    drop <= (unit === '%' ? tolerances.points : unit === 'dB' ? tolerances.decibels : tolerances.relative * Math.abs(float)));
  if (!dropsLittle) return false;
  if (trained && metrics.length > 0) return true;
  // Labels speak for the task; without them the outputs must.
  if (error.kl !== undefined) return metrics.length > 0 ? error.kl.mean <= 2 * tolerances.kl : error.kl.mean <= tolerances.kl;
  return metrics.length > 0 || (error.sqnr ?? -Infinity) >= tolerances.sqnr;
}

/** The figures that carry the choice, in words. */
function evidence({ score }: Verdict): string {
  if (score === undefined) return 'not judged';
  const parts: string[] = [];
  const [first] = score.metrics;
  if (first !== undefined) {
    const unit = first.unit === '' ? '' : first.unit === '%' ? ' %' : ` ${first.unit}`;
    parts.push(`${first.name} ${figure(first.quantized)}${unit} against ${figure(first.float)}${unit}`);
  }
  if (score.error.kl !== undefined) parts.push(`mean KL ${figure(score.error.kl.mean)}`);
  if (score.error.agreement !== undefined) parts.push(`${(100 * score.error.agreement).toFixed(1)} % equal first choices`);
  if (score.error.kl === undefined && score.error.sqnr !== undefined) parts.push(`SQNR ${score.error.sqnr === Infinity ? 'infinite' : `${score.error.sqnr.toFixed(1)} dB`}`);
  return parts.join(', ');
}
