/**
 * Recipes and steps joined into one, as in `rotate+svdquant+gptq`: the steps of all, by stage and in the order given, with
 * one rounder at the end. The rounder of the last part that has one takes the place of earlier ones. What cannot stand
 * together is refused with the reason.
 */
import { defineErrors } from '../errors.ts';
import type { NumberFormat } from '../formats/format.ts';
import type { Need, Recipe, Step } from './recipe.ts';
import { steps, type Stage, type StepRow } from './steps.ts';

const order: readonly Stage[] = ['data', 'transform', 'allocate', 'round', 'observe', 'restore'];

const errors = defineErrors('join', {
  noRounder: (f: { name: string }) => [`${f.name} rounds nothing`, `end it with a rounder: ${f.name}+rtn, or ${f.name}+gptq with data`] as const,
  replaced: (f: { part: string; by: string }) => [`${f.by} takes the place of the rounder of ${f.part}, and nothing else of ${f.part} is left`, 'name one of them'] as const,
  tooLate: (f: { part: string; after: string; better: string }) => [`${f.part} changes what ${f.after} rounds, so it must come before it`, `write ${f.better}`] as const,
  excluded: (f: { one: string; other: string; reason: string }) => [`${f.one} cannot stand with ${f.other}: ${f.reason}`, 'leave one of them out'] as const,
  misplaced: (f: { one: string; other: string; reason: string }) => [`${f.one} must come before ${f.other}: ${f.reason}`, 'name them in that order'] as const,
  twice: (f: { step: string; parts: string }) => [`${f.parts} each bring ${f.step}, with other settings`, 'leave one of them out'] as const,
  noExport: (f: { name: string; parts: string }) => [`${f.name} cannot be written: ${f.parts}`, 'join recipes that have a kind of file in common; see fewbit recipes'] as const,
});

const rowOf = ({ step }: Step): StepRow => steps[step] as StepRow;
const rounds = (step: Step): boolean => rowOf(step).stage === 'round';

export const stageOf = (step: Step['step']): Stage => steps[step].stage;
const same = (a: Step, b: Step): boolean => JSON.stringify(a) === JSON.stringify(b);

/** A step named by itself as a part; undefined where no step has that name or the step needs settings. */
export function stepAlone(name: string): Recipe | undefined {
  const row = (steps as Readonly<Record<string, StepRow | undefined>>)[name];
  if (row?.alone === undefined) return undefined;
  const step = row.alone as Step;
  return {
    name, summary: `The step ${name} by itself.`, needs: row.needs?.(step as never) ?? [], steps: [step], formats: [],
    exports: row.stage === 'transform' ? ['onnx', 'transformers.js'] : ['onnx', 'gguf', 'transformers.js', 'safetensors'],
  };
}

/** One recipe of several parts; a single part is checked for a rounder and returned as it is. */
export function joined(parts: readonly Recipe[]): Recipe {
  const name = parts.map((part) => part.name).join('+');
  const last = parts.findLastIndex((part) => part.steps.some(rounds));
  if (last < 0) throw errors.noRounder({ name });
  if (parts.length === 1) return parts[0];
  const rounder = parts[last];
  const taken: { step: Step; part: string }[] = [];
  parts.forEach((part, at) => {
    const left = part.steps.filter((step) => at === last || !rounds(step));
    if (at < last && left.every(({ step }) => step === 'fold-batchnorm') && part.steps.some(rounds)) throw errors.replaced({ part: part.name, by: rounder.name });
    if (at > last && left.some((step) => order.indexOf(rowOf(step).stage) < order.indexOf('round'))) {
      throw errors.tooLate({ part: part.name, after: rounder.name, better: [...parts.slice(0, last), ...parts.slice(last + 1), rounder].map((one) => one.name).join('+') });
    }
    for (const step of left) {
      if (taken.some((earlier) => same(earlier.step, step))) continue;
      const other = taken.find((earlier) => earlier.part !== part.name && earlier.step.step === step.step);
      if (other !== undefined) throw errors.twice({ step: step.step, parts: `${other.part} and ${part.name}` });
      taken.push({ step, part: part.name });
    }
  });
  // Sorting keeps the order given within a stage.
  const all = taken.map(({ step }) => step).sort((a, b) => order.indexOf(rowOf(a).stage) - order.indexOf(rowOf(b).stage));
  checkTogether(all);
  // A rounder that takes any format leaves what the others were made for.
  const madeFor = [rounder, ...parts.toReversed()].find(({ formats, steps: own }) => formats.length > 0 && own.some(rounds));
  const exports = rounder.exports.filter((target) => parts.every((part) => part.exports.includes(target)));
  if (exports.length === 0) throw errors.noExport({ name, parts: parts.map((part) => `${part.name} as ${part.exports.join(' or ')}`).join(', ') });
  return { name, summary: parts.map(({ summary }) => summary).join(' '), needs: needsOf(all), steps: all, formats: madeFor?.formats ?? [], exports };
}

/** Throws where a step excludes another one, or must come before one that it follows. */
export function checkTogether(all: readonly Step[]): void {
  const pairs = all.flatMap((step, at) => all.flatMap((other, place) => (place === at ? [] : [{ row: rowOf(step), one: step.step, other: other.step, follows: place < at }])));
  for (const { row, one, other } of pairs) {
    const reason = row.excludes?.[other];
    if (reason !== undefined) throw errors.excluded({ one, other, reason });
  }
  for (const { row, one, other, follows } of pairs) {
    const reason = row.precedes?.[other];
    if (reason !== undefined && follows) throw errors.misplaced({ one, other, reason });
  }
}

/** Why a layer cannot be given this format by itself; undefined where all steps take the formats they are given. */
export function refusesOwnFormat(all: readonly Step[], format: NumberFormat): string | undefined {
  for (const step of all) {
    const reason = rowOf(step).refusesOwn?.(step as never, format);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** What the steps need together; sample inputs that a step makes need not be given. */
function needsOf(all: readonly Step[]): Need[] {
  const needs = new Set(all.flatMap((step) => rowOf(step).needs?.(step as never) ?? []));
  if (all.some((step) => rowOf(step).stage === 'data' && rowOf(step).needs?.(step as never).includes('sample inputs') !== true)) needs.delete('sample inputs');
  return [...needs];
}
