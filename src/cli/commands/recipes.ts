import type { CliCommand } from '../command.ts';
import { recipeText } from '../../report/recipe-text.ts';
import { storedResults } from '../reproduction-results.ts';
import { papers, publishedOf, type Paper } from '../../recipes/catalogue.ts';
import { effectOf, effectText, type Effect } from '../../recipes/catalogue-effects.ts';
import { unmeasured } from '../../recipes/catalogue-unmeasured.ts';
import { recipes as rounding } from '../../recipes/registry.ts';
import { trainedRecipes } from '../../recipes/trained.ts';
import type { Recipe } from '../../recipes/recipe.ts';
import { reproductions } from '../../reproductions/registry.ts';
import { printJson } from '../output.ts';

const recipes: readonly Recipe[] = [...rounding, ...trainedRecipes];

interface Entry {
  readonly name: string;
  /** On a user's model. */
  readonly runnable: boolean;
  /** `fewbit reproduce` runs its claim. */
  readonly reproduced: boolean;
  readonly area: string;
  readonly summary: string;
  readonly title?: string;
  readonly arxiv?: string | null;
  readonly published?: string | null;
  readonly needs: readonly string[];
  readonly exports: readonly string[];
  readonly runBy?: Paper['runBy'];
  /** What the paper claims. */
  readonly claim?: string;
  /** Why nothing is measured, and what of it is here. */
  readonly reason?: string;
  /** What it was worth here. */
  readonly effect?: Effect;
}

const isReproduced = (name: string): boolean => reproductions.some(({ recipe }) => recipe === name);

const fromRecipe = (recipe: Recipe): Entry => ({
  name: recipe.name, runnable: true, reproduced: isReproduced(recipe.name), area: 'baseline', summary: recipe.summary,
  title: recipe.paper?.title, arxiv: recipe.paper?.arxiv, needs: recipe.needs, exports: recipe.exports,
});

function fromPaper(paper: Paper): Entry {
  const recipe = recipes.find((candidate) => candidate.name === paper.name);
  const kept = storedResults(paper.name).at(-1);
  const effect = kept === undefined ? undefined : effectOf(paper.name, kept.arms);
  return {
    ...paper, published: publishedOf(paper), runnable: recipe !== undefined || paper.runBy !== undefined, reproduced: isReproduced(paper.name), needs: recipe?.needs ?? [], exports: recipe?.exports ?? [],
    claim: kept?.claim ?? reproductions.find((one) => one.recipe === paper.name)?.claim, ...(kept === undefined ? unmeasured[paper.name] : {}), ...(effect === undefined ? {} : { effect }),
  };
}

/** Baselines first, then the papers, newest first. */
export function catalogue(words: readonly string[]): Entry[] {
  const named = new Set(papers.map((paper) => paper.name));
  const all = [...recipes.filter((recipe) => !named.has(recipe.name)).map(fromRecipe), ...papers.map(fromPaper)];
  const wanted = words.map((word) => word.toLowerCase());
  return all.filter((entry) => {
    const text = [entry.name, entry.area, entry.summary, entry.title ?? '', entry.arxiv ?? '', entry.claim ?? ''].join(' ').toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

export const recipesCommand: CliCommand = {
  usage: 'recipes [words...]',
  summary: 'the catalogue of methods: what each claims, what runs today, what was measured, and why the rest was not; a name alone shows our checks beside what the paper says',
  example: 'fewbit recipes svdquant',
  options: (command) => {
    command.option('--runnable', 'only those that run today').option('--json', 'one JSON document on standard output');
  },
  async run([words], options) {
    const found = catalogue(words as string[]).filter((entry) => options.runnable !== true || entry.runnable || entry.reproduced);
    const named = (words as string[]).length === 1 ? found.find(({ name }) => name === (words as string[])[0].toLowerCase()) : undefined;
    if (named !== undefined) {
      const results = storedResults(named.name);
      if (options.json === true) printJson({ ...named, results });
      else process.stdout.write(`${recipeText(named, recipes.find(({ name }) => name === named.name), results, process.stdout.columns)}\n`);
      return;
    }
    if (options.json === true) return printJson(found);
    const out: string[] = [];
    for (const entry of found) {
      const year = entry.published?.slice(0, 4) ?? '';
      out.push(`${entry.runnable ? '●' : entry.reproduced ? '◐' : '○'} ${entry.name}  ${entry.area}${year === '' ? '' : `, ${year}`}${entry.arxiv ? `, arXiv:${entry.arxiv}` : ''}`);
      if (entry.title !== undefined) out.push(`    ${entry.title}`);
      out.push(`    ${entry.summary}`);
      if (entry.runBy !== undefined) out.push(`    on your model: fewbit ${entry.runBy.command} MODEL ${entry.runBy.option}`);
      if (entry.claim !== undefined) out.push(`    claims: ${entry.claim}`);
      if (entry.effect !== undefined) out.push(`    measured: ${effectText(entry.effect)}`);
      if (entry.reason !== undefined) out.push(`    not measured: ${entry.reason}`);
      if (entry.reproduced) out.push(`    its claim: fewbit reproduce ${entry.name}`);
      if (entry.needs.length > 0) out.push(`    needs ${entry.needs.join(', ')}`);
    }
    const runnable = found.filter((entry) => entry.runnable).length;
    const shown = found.filter((entry) => !entry.runnable && entry.reproduced).length;
    out.push('', `${found.length} found, ${runnable} run today (●), ${shown} as a reproduction only (◐), ${found.length - runnable - shown} not here, each with its reason (○)`);
    process.stdout.write(`${out.join('\n')}\n`);
  },
};
