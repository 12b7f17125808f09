/** Recipes beside the plain formats: files with float activations, and files with low-bit ones, each set against its own line. */
import { ofPlain, plainFront, type SizedError } from '../evaluate/plain-line.ts';
import { errorOf } from '../evaluate/verdict.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Output, QuantizeResult } from '../jobs/result.ts';
import { speedText } from './verdict-table.ts';
import { duration, figure } from './words.ts';

export interface ComparedFile extends SizedError {
  readonly output: Output;
  /** Bits of what layers multiply weights with. */
  readonly activationBits: number;
  /** Rounded to nearest in one format: what others are measured by. */
  readonly isPlain: boolean;
  /** Error by that of plain files of the same size and activation bits. */
  readonly ofPlain: number | undefined;
}

export interface Comparison {
  readonly title: string;
  readonly files: readonly ComparedFile[];
  /** Lines of plain files, one per number of activation bits. */
  readonly lines: readonly { readonly activationBits: number; readonly front: readonly SizedError[] }[];
}

/** Recipes that only round each weight to the nearest code. */
const plainRecipes = new Set(['rtn', 'scale-search', 'krishnamoorthi-int8']);

/** Bits that inputs of layers have when they are multiplied. */
export function activationBits(activations: string | undefined): number {
  if (activations === undefined || activations === 'float') return 32;
  return activations === 'static' || activations === 'dynamic' ? 8 : parseFormat(activations).bits;
}

/** Sets of judged files that hold plain ones and others. */
export function comparisons({ outputs }: Pick<QuantizeResult, 'outputs'>): Comparison[] {
  const judged = outputs.flatMap((output) => {
    const error = output.verdict.score === undefined ? undefined : errorOf(output.verdict.score.error);
    return error === undefined || output.recipe === 'none' ? [] : [{ output, error, bits: output.verdict.bitsPerWeight, activationBits: activationBits(output.activations), isPlain: plainRecipes.has(output.recipe) && output.allocation === undefined }];
  });
  return [{ title: 'Weights alone', low: false }, { title: 'Weights and activations', low: true }].flatMap(({ title, low }) => {
    const files = judged.filter((file) => (file.activationBits < 16) === low);
    if (!files.some(({ isPlain }) => isPlain) || files.every(({ isPlain }) => isPlain)) return [];
    const lines = [...new Set(files.map((file) => file.activationBits))].sort((a, b) => a - b)
      .map((count) => ({ activationBits: count, front: plainFront(files.filter((file) => file.isPlain && file.activationBits === count)) })).filter(({ front }) => front.length > 0);
    return [{
      title, lines,
      files: files.map((file) => {
        const front = lines.find((line) => line.activationBits === file.activationBits)?.front ?? [];
        return { ...file, ofPlain: file.isPlain ? undefined : ofPlain(front, file) };
      }),
    }];
  });
}

export interface ComparisonColumn { readonly title: string; readonly align: 'left' | 'right'; readonly meaning: string; cell(file: ComparedFile): string }

export function comparisonColumns({ files }: Comparison): ComparisonColumn[] {
  const isKl = files.some(({ output }) => output.verdict.score?.error.kl !== undefined);
  const low = files.some((file) => file.activationBits < 16);
  const metric = files.flatMap(({ output }) => output.verdict.score?.metrics.slice(0, 1) ?? [])[0];
  return [
    { title: 'recipe', align: 'left', meaning: 'how weights became codes', cell: ({ output }) => output.recipe },
    { title: 'weights', align: 'left', meaning: 'format of the weights', cell: ({ output }) => output.verdict.format },
    ...(low ? [{ title: 'inputs', align: 'left' as const, meaning: 'how inputs of layers are rounded', cell: ({ output }: ComparedFile) => output.activations ?? 'float' }] : []),
    { title: 'bits/weight', align: 'right', meaning: 'bits per weight of the file: scales, zero points, codebooks, branches, copied channels and what stays float', cell: ({ bits }) => bits.toFixed(2) },
    ...(low ? [{ title: 'bits/input', align: 'right' as const, meaning: 'bits of what weights are multiplied with', cell: ({ activationBits: count }: ComparedFile) => String(count) }] : []),
    { title: isKl ? 'KL' : 'noise', align: 'right', meaning: isKl ? 'mean KL divergence from the float model, nats' : 'noise in the outputs, share of their power', cell: ({ error }) => figure(error) },
    { title: 'of plain', align: 'right', meaning: 'error by that of files that are only rounded to nearest, at the same bits; below 1 is better', cell: (file) => (file.isPlain ? 'plain' : file.ofPlain === undefined ? '–' : `${figure(file.ofPlain, 2)}×`) },
    ...(metric === undefined ? [] : [{
      title: `${metric.name}${metric.unit === '' ? '' : `, ${metric.unit}`} (float ${figure(metric.float, 4)})`, align: 'right' as const, meaning: 'the task, on the same inputs',
      cell: ({ output }: ComparedFile) => { const found = output.verdict.score?.metrics.find(({ name }) => name === metric.name); return found === undefined ? '–' : figure(found.quantized, 4); },
    }]),
    { title: 'made in', align: 'right', meaning: 'time that the recipe and the writing took on this machine', cell: ({ output }) => (output.seconds === undefined ? '–' : duration(output.seconds)) },
    { title: 'speed', align: 'right', meaning: 'times as fast as the float model on this machine, in the same run', cell: ({ output }) => speedText(output.verdict) },
  ];
}
