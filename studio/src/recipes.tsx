/** Recipes for this model and place: what each does and needs, and what it gained elsewhere. */
import type { ReactNode } from 'react';
import { recipes } from '../../src/recipes/registry.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { pointText } from '../../src/report/recipe-text.ts';
import { measuredResults } from './measured.ts';
import type { OpenedModel } from './protocol.ts';

/** Steps that train run the network thousands of times. */
const trains = (recipe: Recipe): boolean => recipe.steps.some(({ step }) => step === 'reconstruct' || step === 'distil' || step === 'learn-balance');

const dataOf = ({ needs }: Recipe): string => (needs.length === 0 ? 'nothing but the weights' : needs.join(', '));
/** Memory of the float network while it runs or is trained, beside the page; weights alone pass by in pieces. */
const memoryOf = (recipe: Recipe, parameters: number): string =>
  (trains(recipe) ? `${megabytes(12 * parameters)} and activations` : recipe.needs.length > 0 ? `${megabytes(8 * parameters)} and activations` : 'a few rows at a time');
const timeOf = (recipe: Recipe): string => (trains(recipe) ? 'minutes to hours: it trains' : recipe.needs.length > 0 ? 'runs the float model on 64 samples' : 'seconds');
const megabytes = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`);

function gained(name: string): string {
  const result = measuredResults.get(name);
  if (result === undefined) return '';
  const held = result.checks.filter(({ holds }) => holds).length;
  const told = result.checks.find(({ holds }) => holds);
  return `${held} of ${result.checks.length} checks held${told === undefined ? '' : `; ${told.name}: ${told.measured}`}`;
}

export function Recipes({ model, to, hasData, recipe, onRecipe }: { readonly model: OpenedModel; readonly to: string; readonly hasData: boolean; readonly recipe: string; readonly onRecipe: (name: string) => void }): ReactNode {
  const fitting = recipes.filter(({ exports }) => exports.includes(to as Recipe['exports'][number]));
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="recipes">
      <table>
        <thead><tr><th scope="col">recipe</th><th scope="col">needs</th><th scope="col">time</th><th scope="col">memory</th><th scope="col">what it gained in our reproduction</th></tr></thead>
        <tbody>
          <tr>
            <td><label className="check"><input type="radio" name="recipe" checked={recipe === ''} onChange={() => onRecipe('')} /> the best of what the data allow</label></td><td /><td /><td /><td />
          </tr>
          {fitting.map((one) => {
            const blocked = one.needs.includes('sample inputs') && !hasData;
            return (
              <tr key={one.name}>
                <td><label className="check" title={one.summary}><input type="radio" name="recipe" checked={recipe === one.name} disabled={blocked} onChange={() => onRecipe(one.name)} /> {one.name}</label><p className="hint">{one.summary}{one.formats.length === 0 ? '' : ` Made for ${one.formats.map(pointText).join(', ')}.`}</p></td>
                <td>{dataOf(one)}</td><td>{timeOf(one)}</td><td>{memoryOf(one, model.parameters)}</td><td>{gained(one.name)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
