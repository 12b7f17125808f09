/** Carries out a recipe on a graph, step by step. */
import type { Engine } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { momentKey, observable, observeMoments } from '../observe/moments.ts';
import type { Batches } from '../observe/taps.ts';
import type { Recipe, Step } from './recipe.ts';
import type { ApplyOptions, RecipeState, StepContext, StepRunner } from './state.ts';
import { steps } from './steps.ts';

export type { ApplyOptions } from './state.ts';

export interface Applied extends RecipeState {
  /** Largest absolute value of each value of the graph on the calibration data, where half precision asked for it. */
  readonly extremes?: ReadonlyMap<string, number>;
}

const errors = defineErrors('recipe', {
  needsData: (f: { recipe: string; step: string }) => [`recipe ${f.recipe}: ${f.step} needs sample inputs`, 'give some with --data, or choose a recipe without data such as rtn or scale-search'],
});

/** A graph before any step. */
export const untouched = (graph: Graph): RecipeState => ({
  graph, weights: new Map(), ranges: new Map(), importance: new Map(), formats: new Map(), activations: new Map(), kept: new Set(), notes: [],
});

export async function applyRecipe(recipe: Recipe, float: Graph, options: ApplyOptions): Promise<Applied> {
  const context: StepContext = {
    recipe, options, float,
    batches(state, step) {
      const found = state.batches ?? options.batches;
      if (found === undefined) throw errors.needsData({ recipe: recipe.name, step });
      return found;
    },
    formatOf: (state, site) => (state.kept.has(site.id) || options.formatOf(site) === undefined ? undefined : options.ownFormat?.(site) ?? state.formats.get(site.id) ?? options.formatOf(site)),
    activationOf: (state, site) => state.activations.get(site.output) ?? options.activationOf?.(site),
  };
  let state: RecipeState = untouched(float);
  for (const step of recipe.steps) state = await (steps[step.step].run as StepRunner<Step['step']>)(state, step, context);
  return { ...state, activations: withAsked(state, context) };
}

/** The formats of inputs, those asked for included, of the sites whose weights were rounded. */
function withAsked(state: RecipeState, context: StepContext): RecipeState['activations'] {
  const activations = new Map(state.activations);
  for (const site of linearSites(state.graph)) {
    const format = state.weights.has(site.id) ? context.activationOf(state, site) : undefined;
    if (format !== undefined) activations.set(site.output, format);
  }
  return activations;
}

/** Mean squared input of each column of every linear site, by weight id: what importance-weighted encoders take. */
export async function observeImportance(graph: Graph, engine: Engine, batches: Batches): Promise<Map<string, Float32Array>> {
  const sites = observable(linearSites(graph));
  const moments = await observeMoments(graph, engine, batches, sites, { hessian: false });
  return new Map(sites.map((site) => [site.id, moments.get(momentKey(site))!.meanSquare]));
}
