/** One recipe: what it does, its steps, and what we measured beside what the paper says. */
import type { Recipe, Step } from '../recipes/recipe.ts';
import type { ReproductionReport } from '../reproductions/reproduction.ts';
import { reproductionText } from './reproduction-text.ts';

export interface RecipeEntry {
  readonly name: string;
  readonly area: string;
  readonly summary: string;
  readonly title?: string;
  readonly arxiv?: string | null;
  readonly published?: string | null;
  readonly reproduced: boolean;
  readonly runBy?: { readonly command: string; readonly option: string };
  readonly claim?: string;
  /** Why nothing is measured. */
  readonly reason?: string;
}

/** `smooth (alpha 0.5)` */
function stepText({ step, ...settings }: Step): string {
  const shown = Object.entries(settings).map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  return shown.length === 0 ? step : `${step} (${shown.join(', ')})`;
}

/** `int4/g64 with inputs in int4/g64`, of `int4/g64:int4/g64`. */
export function pointText(point: string): string {
  const [weights, inputs] = point.split(':');
  return inputs === undefined ? weights : `${weights} with ${inputs === 'static' ? 'static inputs' : `inputs in ${inputs}`}`;
}

export function recipeText(entry: RecipeEntry, recipe: Recipe | undefined, results: readonly (ReproductionReport & { readonly environment?: { readonly cpu: string; readonly node: string } })[], width?: number): string {
  const { name, area, summary, title, arxiv, published, reproduced, runBy, claim, reason } = entry;
  const run = `fewbit reproduce ${name}`;
  return [
    `${name}  ${area}${published ? `, ${published.slice(0, 4)}` : ''}${arxiv ? `, arXiv:${arxiv}` : ''}`, ...(title === undefined ? [] : [title]), '', summary, '',
    ...(recipe === undefined ? [`runs on your model: ${runBy === undefined ? 'no' : `fewbit ${runBy.command} MODEL ${runBy.option}`}`] : [
      `runs on your model: fewbit quantize MODEL --recipe ${name}${recipe.needs.includes('sample inputs') ? ' --data FOLDER' : ''}`,
      ...(recipe.formats.length === 0 ? [] : [`made for ${recipe.formats.map(pointText).join(', ')}; by itself ${recipe.formats.length > 1 ? 'the first, others as ' : 'that, others as '}--recipe ${name}:WEIGHTS:INPUTS`]),
      ...(recipe.steps.length === 0 ? [] : [`steps    ${recipe.steps.map(stepText).join(' → ')}`]),
      ...(recipe.needs.length === 0 ? [] : [`needs    ${recipe.needs.join(', ')}`]), `written  as ${recipe.exports.join(', ')}`,
    ]),
    ...(reason === undefined ? [] : ['', `claims          ${claim}`, `not measured    ${reason}`]),
    ...results.flatMap((result) => [
      '', `What we measured (${result.full ? 'the full protocol' : 'the reduced protocol'}${result.environment === undefined ? '' : `, ${result.environment.cpu}, Node ${result.environment.node}`}); claims are the paper's:`, '',
      reproductionText(result, width),
    ]),
    ...(results.length > 0 ? ['', `again: ${run} --assets FOLDER`] : reproduced ? ['', `its claim: ${run} --assets FOLDER; no result is kept here`] : []),
  ].join('\n');
}
