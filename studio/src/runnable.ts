/** Papers that run today, with the command that runs them. */
import { papers } from '../../src/recipes/catalogue.ts';
import { trainedRecipes } from '../../src/recipes/trained.ts';
import { recipes } from '../../src/recipes/registry.ts';

export const recipeNames: ReadonlyMap<string, string> = new Map([
  ...recipes.map(({ name }) => [name, `npx fewbit quantize model --recipe ${name}`] as const),
  ...papers.flatMap(({ name, runBy }) => (runBy === undefined ? [] : [[name, `npx fewbit ${runBy.command} model ${runBy.option}`] as const])),
  ...trainedRecipes.map(({ name }) => [name, `npx fewbit finetune model --recipe ${name}`] as const),
]);
