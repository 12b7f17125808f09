/** Every recipe that `--recipe` accepts. Adding one touches its own file and one row here. */
import { defineErrors } from '../errors.ts';
import { adaround, brecq } from './adaround.ts';
import { awq, gptq, hqq, importance, rtn, scaleSearch } from './baselines.ts';
import { genie } from './genie.ts';
import { krishnamoorthiInt8 } from './krishnamoorthi-int8.ts';
import type { Recipe } from './recipe.ts';
import { zeroq } from './zeroq.ts';

export const recipes: readonly Recipe[] = [rtn, scaleSearch, importance, gptq, awq, hqq, adaround, brecq, krishnamoorthiInt8, zeroq, genie];

const errors = defineErrors('recipes', {
  unknown: (f: { name: string }) => [`unknown recipe: ${f.name}`, `known recipes: ${recipes.map((recipe) => recipe.name).join(', ')}`],
});

export function findRecipe(name: string): Recipe {
  const wanted = name.trim().toLowerCase().replaceAll('_', '-');
  const recipe = recipes.find((candidate) => candidate.name === wanted);
  if (recipe === undefined) throw errors.unknown({ name });
  return recipe;
}
