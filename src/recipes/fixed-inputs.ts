/** Recipes that put what layers read on fixed grids of their own, whatever was asked for. */
import type { Recipe } from './recipe.ts';

/** The format of those grids; undefined where the recipe leaves inputs to the request. */
export function fixedInputs({ steps }: Recipe): string | undefined {
  for (const step of steps) {
    if (step.step === 'ssm-scales') return `int${step.bits}/tensor`;
    if (step.step === 'round-inputs') return 'uint8/tensor';
  }
  return undefined;
}
