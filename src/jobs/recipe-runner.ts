/** What happens to a source model's graph before any file is written: brought up to date, and reshaped and rounded by recipes. */
import type { Engine } from '../engine/session.ts';
import { integerValues } from '../export/onnx-integer.ts';
import { activationValues } from '../export/onnx-static.ts';
import { quantizesInput } from '../export/onnx-activations.ts';
import { parseFormat } from '../formats/registry.ts';
import { foldConstants, removeIdentities } from '../graph/constant-fold.ts';
import type { Graph } from '../graph/graph.ts';
import { oneDirection } from '../graph/one-direction.ts';
import { singlePrecision } from '../graph/single-precision.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import { observeExtremes } from '../observe/extremes.ts';
import type { Distance } from '../observe/output-distance.ts';
import type { Batches } from '../observe/taps.ts';
import { keptFigures, keptInOrder } from '../recipes/kept.ts';
import { applyRecipe, untouched, type Applied } from '../recipes/apply.ts';
import type { LayerTimes, Measurements, StorageCost } from '../recipes/state.ts';
import { betterBiases } from './bias-choice.ts';
import { floatEnds } from './float-ends.ts';
import { isTooShort, keepsFloat } from './keep.ts';
import { ownFormat } from './layer-formats.ts';
import { floatLoudest } from './loud-activations.ts';
import { silentProgress, type Progress } from './progress.ts';
import { betterRanges } from './range-choice.ts';
import { inputFormat, weightsText, type Scheme } from './schemes.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import { staticNoise } from './static-noise.ts';
import type { OutputSpec } from './target.ts';

/** Real files arrive at old operator sets and in half precision; everything downstream speaks one of each. */
export const modern = async (graph: Graph): Promise<Graph> =>
  oneDirection(await removeIdentities(await foldConstants(singlePrecision(await upgradeOpset(graph, Math.max(21, graph.opset.get('') ?? 21))))));

/** The same model, a plain graph brought up to date; those of language models are made here. */
export const modernModel = async (model: SourceModel): Promise<SourceModel> => (model.kind === 'lm' ? model : { ...model, graph: await modern(model.graph) });

export interface RecipeRunnerOptions {
  readonly engine: Engine;
  /** Calibration feeds, started again for each pass. */
  readonly batches?: () => Batches;
  readonly progress?: Progress;
  /** What steps that choose formats go by: what files hold, how outputs are compared, what earlier runs measured. */
  storageOf?(scheme: Scheme): StorageCost;
  /** How long layers take, where formats are chosen within a time. */
  readonly layerTimes?: LayerTimes;
  readonly distance?: Distance;
  readonly measurements?: Measurements;
}

/** Recipes carried out once per recipe, format and treatment of activations, whatever the number of files. */
export function recipeRunner(
  model: Pick<SourceModel, 'graph'>, settings: Pick<QuantizeSettings, 'keep'> & Partial<Pick<QuantizeSettings, 'seed' | 'threads'>>, { engine, batches, progress = silentProgress, storageOf, layerTimes, distance, measurements }: RecipeRunnerOptions,
): (spec: Pick<OutputSpec, 'scheme' | 'recipe'>) => Promise<Applied> {
  const done = new Map<string, Promise<Applied>>();
  const none: Applied = untouched(model.graph);
  const extremes = new Map<Graph, Promise<ReadonlyMap<string, number>>>();
  /** What is measured after a recipe depends on all of it, unless it left the network alone. */
  const after = ({ graph, batches: own }: Applied, what: string, { scheme, recipe }: Pick<OutputSpec, 'scheme' | 'recipe'>): string =>
    JSON.stringify([what, ...(graph === model.graph && own === undefined && what === 'extremes' ? [] : [recipe?.steps, scheme, settings.seed ?? 0, settings.threads ?? 1])]);
  /** What half precision must know of the values between layers. */
  const withExtremes = async (applied: Applied, spec: Pick<OutputSpec, 'scheme' | 'recipe'>): Promise<Applied> => {
    const samples = applied.batches ?? batches;
    if (samples === undefined) return applied;
    const found = extremes.get(applied.graph) ?? keptFigures(measurements, after(applied, 'extremes', spec), () => observeExtremes(applied.graph, engine, samples()));
    extremes.set(applied.graph, found);
    return { ...applied, extremes: await found };
  };
  const run = ({ scheme, recipe }: Pick<OutputSpec, 'scheme' | 'recipe'>): Promise<Applied> => {
    if (recipe === undefined) return Promise.resolve(none);
    const key = JSON.stringify([recipe, scheme.weights, scheme.activations, scheme.layers]);
    let applied = done.get(key);
    if (applied === undefined) {
      const format = parseFormat(scheme.weights);
      const inputs = inputFormat(scheme);
      const reshaped = applyRecipe(recipe, model.graph, {
        engine,
        // An activation without a range stays float.
        activationValues: (graph) => (recipe.steps.some(({ step }) => step === 'integer-only') ? integerValues : activationValues)(graph).filter((value) => !keepsFloat(value, '', settings.keep)),
        // Asked of the transformed graph, whose weights may have new names; refusals have stopped the plan or been allowed.
        formatOf: (site) => {
          const own = ownFormat(scheme, site);
          const asked = own ?? (format.family === 'float' || isTooShort(site, format) ? undefined : format);
          return site.kind === 'Gather' || keepsFloat(site.id, site.node.name, settings.keep) || asked?.refuses(site.rows, site.cols) !== undefined ? undefined : asked;
        },
        ownFormat: (site) => ownFormat(scheme, site),
        activationOf: (site) => (inputs !== undefined && quantizesInput(site, inputs) ? inputs : undefined),
        ...(batches === undefined ? {} : { batches }),
        ...(settings.seed === undefined ? {} : { seed: settings.seed }), ...(settings.threads === undefined ? {} : { threads: settings.threads }),
        ...(storageOf === undefined ? {} : { storage: storageOf(scheme) }), ...(layerTimes === undefined ? {} : { layerTimes }), ...(scheme.activations === 'static' || scheme.activations === 'dynamic' ? { inputBits: 8 } : {}), ...(distance === undefined ? {} : { distance }), ...(measurements === undefined ? {} : { measurements }),
        onLine: (line) => progress.line(line),
        onSite: (site, count, total) => progress.line(`[${String(count).padStart(4)}/${total}] ${site.id} [${site.rows}, ${site.cols}] ${site.weight.type} -> ${ownFormat(scheme, site)?.name ?? weightsText({ ...scheme, layers: [] })}`),
      });
      applied = scheme.activations !== 'static' ? reshaped : reshaped.then(async (made) => {
        const samples = made.batches ?? batches;
        if (samples === undefined || made.integerOnly === true) return made;
        const noise = keptInOrder(measurements, after(made, 'noise of static files', { scheme, recipe }), staticNoise(made.graph, engine, samples()));
        return floatLoudest(await betterBiases(await floatEnds(await betterRanges(made, noise), noise), engine, samples(), noise), noise);
      });
      done.set(key, applied);
    }
    return applied;
  };
  return async (spec) => (spec.scheme.compute === 'f16' ? withExtremes(await run(spec), spec) : run(spec));
}
