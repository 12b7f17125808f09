/** Every recipe that `--recipe` accepts. Adding one touches its own file and one row here. */
import { defineErrors } from '../errors.ts';
import { adaround, brecq } from './adaround.ts';
import { arcquant, arcquantAll, arcquantEighth } from './arcquant.ts';
import { awq, gptq, hqq, importance, rtn, scaleSearch } from './baselines.ts';
import { comet, cometEighth } from './comet.ts';
import { fp4dit } from './fp4dit.ts';
import { genie } from './genie.ts';
import { hawqv3, hawqv3Int8 } from './hawqv3.ts';
import { krishnamoorthiInt8 } from './krishnamoorthi-int8.ts';
import { lowbitFpDiffusion } from './lowbit-fp-diffusion.ts';
import { joined, stepAlone } from './join.ts';
import { lqLora } from './lq-lora.ts';
import { mambaquant } from './mambaquant.ts';
import { mixdq } from './mixdq.ts';
import { qPalette } from './q-palette.ts';
import { quamba2 } from './quamba2.ts';
import { quantvggt } from './quantvggt.ts';
import type { Recipe } from './recipe.ts';
import { sageattention2 } from './sageattention2.ts';
import { steps } from './steps.ts';
import { svdquant, svdquantGptq } from './svdquant.ts';
import { trainedRecipes } from './trained.ts';
import { viditQ, viditQMp } from './vidit-q.ts';
import { zeroq } from './zeroq.ts';

export const recipes: readonly Recipe[] = [rtn, scaleSearch, importance, gptq, awq, hqq, adaround, brecq, krishnamoorthiInt8, arcquant, arcquantEighth, arcquantAll, comet, cometEighth, zeroq, genie, fp4dit, hawqv3, hawqv3Int8, lowbitFpDiffusion, lqLora, quantvggt, mambaquant, mixdq, qPalette, quamba2, sageattention2, svdquant, svdquantGptq, viditQ, viditQMp];

const errors = defineErrors('recipes', {
  trains: (f: { name: string }) => [`${f.name} trains a network, which quantize does not`, `fewbit finetune MODEL --recipe ${f.name} --data DATA`],
  unknown: (f: { name: string }) => [`unknown recipe: ${f.name}`, `known recipes: ${recipes.map((recipe) => recipe.name).join(', ')}; steps to join with + before one of them: ${Object.keys(steps).filter((name) => stepAlone(name) !== undefined).join(', ')}`],
});

/** A recipe by its name, or several recipes and steps joined by `+`, such as `smooth+gptq`. */
export const findRecipe = (name: string): Recipe => joined(name.split('+').map(partNamed));

function partNamed(name: string): Recipe {
  const wanted = name.trim().toLowerCase().replaceAll('_', '-');
  const part = recipes.find((candidate) => candidate.name === wanted) ?? stepAlone(wanted);
  if (part === undefined && trainedRecipes.some((trained) => trained.name === wanted)) throw errors.trains({ name: wanted });
  if (part === undefined) throw errors.unknown({ name });
  return part;
}
