/** From a request to the list of outputs: schemes, the recipe for each, and file names. */
import { defineErrors } from '../errors.ts';
import { parseFormat } from '../formats/registry.ts';
import { findRecipe } from '../recipes/registry.ts';
import { checkTogether, refusesOwnFormat, stageOf } from '../recipes/join.ts';
import type { Recipe, Step } from '../recipes/recipe.ts';
import { bothChoose, steps as rows, type StepRow } from '../recipes/steps.ts';
import { isStateSpace } from '../models/language-model.ts';
import { imageShape } from '../train/statistics-loss.ts';
import { layerFormats, refuseUnknown } from './layer-formats.ts';
import { requestedSchemes, requireData, type ModelKind, type Scheme, type Target } from './schemes.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import type { OutputSpec } from './target.ts';

const errors = defineErrors('plan', {
  notExported: (f: { recipe: string; target: string; exports: string }) => [`recipe ${f.recipe} cannot be written as ${f.target}`, `it is written as ${f.exports}`] as const,
  needsData: (f: { recipe: string }) => [`recipe ${f.recipe} needs sample inputs`, 'give some with --data, or choose rtn, scale-search or hqq'] as const,
  onlyLanguage: (f: { target: string; model: string }) => [`${f.target} files are written of language models; ${f.model} is a plain graph`, 'choose --to onnx'] as const,
  noStateSpace: (f: { target: string; model: string; family: string }) => [`${f.model}: ${f.family} models are not written as ${f.target}`, 'choose --to onnx'] as const,
  lowBit: (f: { model: string; count: number; first: string }) =>
    [`${f.model} is low-bit already: ${f.count} tensors, among them ${f.first}`, 'quantizing again adds error; allow it with --allow-requantize'] as const,
  limits: (_: Record<string, never>) => ['--bops and --latency ask what layers do for one sample, and there is none', 'give some with --data'] as const,
  candidates: (_: Record<string, never>) => ['--candidates are what a budget of bits chooses among', 'give the budget with --bits, such as --bits 2.5'] as const,
  saveImatrix: (_: Record<string, never>) => ['--save-imatrix measures a language model on --data, and one of the two is missing', 'give text with --data'] as const,
  ownFormat: (f: { recipe: string; weight: string; format: string; reason: string }) => [`recipe ${f.recipe} cannot give ${f.weight} ${f.format} by itself: ${f.reason}`, 'leave out --layer, or choose a recipe that takes the formats it is given, such as rtn, scale-search or gptq'] as const,
  noBudget: (f: { recipe: string; reason: string; point: string | undefined }) =>
    [`recipe ${f.recipe} takes no budget of bits: ${f.reason}`, f.point === undefined ? 'give a format with --weights instead' : `leave out --bits, or name its point, such as ${f.recipe}:${f.point}`] as const,
  duplicate: (f: { file: string }) => `two outputs would be called ${f.file}`,
});

export function outputSpecs(model: SourceModel, settings: QuantizeSettings): OutputSpec[] {
  if (model.lowBit.length > 0 && !settings.allowRequantize) throw errors.lowBit({ model: model.name, count: model.lowBit.length, first: model.lowBit[0] });
  const hasData = settings.data !== undefined;
  for (const target of settings.to) if (target !== 'onnx' && model.kind !== 'lm') throw errors.onlyLanguage({ target, model: model.name });
  const config = model.language?.config;
  for (const target of settings.to) if (target !== 'onnx' && config !== undefined && isStateSpace(config)) throw errors.noStateSpace({ target, model: model.name, family: config.family });
  if (settings.saveImatrix !== undefined && !(hasData && model.kind === 'lm')) throw errors.saveImatrix({});
  const asked = settings.recipe ?? [undefined];
  refuseUnknown(model, settings);
  const own = layerFormats(model, settings);
  const specs = wanted(settings, model.kind).map(({ target, scheme: whole, name }): OutputSpec => {
    const layers = own.get(target) ?? [];
    const scheme: Scheme = layers.length === 0 ? whole : { ...whole, layers };
    const makesData = name !== undefined && findRecipe(name).steps.some(({ step }) => step === 'distil');
    if (makesData) imageShape(model.graph);
    requireData(scheme, target, hasData || makesData);
    const recipe = recipeFor(name, scheme, target, hasData || settings.imatrix !== undefined);
    for (const { step } of recipe?.steps ?? []) (rows[step] as StepRow).fits?.(model.graph);
    return { target, scheme, recipe, file: fileOf(model.name, target, asked.length > 1 && recipe !== undefined ? { ...scheme, label: `${scheme.label}-${recipe.name}` } : scheme, settings) };
  });
  if (settings.candidates !== undefined && specs.every(({ scheme }) => scheme.budget === undefined)) throw errors.candidates({});
  if (specs.some(({ scheme, recipe }) => scheme.budget?.limits !== undefined && recipe !== undefined) && !hasData) throw errors.limits({});
  const seen = new Set<string>();
  for (const { file } of specs) {
    // Schemes that keep floats come once, whatever the number of recipes.
    if (seen.has(file)) throw errors.duplicate({ file });
    seen.add(file);
  }
  return specs;
}

/** Every recipe with every scheme; a recipe that names its own, as in `svdquant:int4/g64:int4/g64`, `gptq:4.25` or `gptq:2.5/plain+trellis`, with that one alone. */
function wanted(settings: QuantizeSettings, kind: ModelKind): { readonly target: Target; readonly scheme: Scheme; readonly name: string | undefined }[] {
  const names = (settings.recipe ?? [undefined]).map((name) => madeFor(name, settings));
  const free = names.filter((name) => name?.includes(':') !== true);
  const common = free.length === 0 ? [] : requestedSchemes(settings, kind).flatMap((one) => free.map((name) => ({ ...one, name })));
  const own = names.flatMap((text) => {
    if (text?.includes(':') !== true) return [];
    const [name, weights, activations = settings.activations] = text.split(':');
    const [, bits, sets] = /^(\d+(?:\.\d+)?)(?:\/(.+))?$/.exec(weights) ?? [];
    const candidates = sets?.split('+') ?? settings.candidates;
    const { bops, latency } = settings;
    const request = {
      to: settings.to, ...(bits !== undefined && bops !== undefined ? { bops } : {}), ...(bits !== undefined && latency !== undefined ? { latency } : {}), ...(bits === undefined ? { weights: [weights] } : { bits: [Number(bits)], ...(candidates === undefined ? {} : { candidates }) }),
      ...(activations === undefined ? {} : { activations }),
    };
    return requestedSchemes(request, kind).map((one) => ({ ...one, name: name === '' ? undefined : name }));
  });
  return [...common, ...own];
}

/** A recipe where nothing says how many bits: with what it was made for, if it was made for something. */
function madeFor(name: string | undefined, { bits, weights, activations, bops, latency }: QuantizeSettings): string | undefined {
  if (name === undefined || name.includes(':') || [bits, weights, bops, latency].some((asked) => asked !== undefined)) return name;
  const point = findRecipe(name).formats.at(0);
  return point === undefined ? name : `${name}:${activations === undefined ? point : point.split(':')[0]}`;
}

/** The recipe asked for, or the best of what the data allows; where weights keep their values, what it does besides. */
export function recipeFor(name: string | undefined, scheme: Scheme, target: Target, hasData: boolean): Recipe | undefined {
  const own = (scheme.layers ?? []).map(({ weight, format }) => ({ weight, format: parseFormat(format) }));
  const low = [parseFormat(scheme.weights), ...own.map(({ format }) => format)].filter(({ family }) => family !== 'float');
  const recipe = low.length === 0 ? besidesWeights(name) : findRecipe(name ?? defaultRecipe(Math.min(...low.map(({ bits }) => bits)), scheme, target, hasData));
  if (recipe === undefined) return undefined;
  for (const { weight, format } of own) {
    const reason = refusesOwnFormat(recipe.steps, format);
    if (reason !== undefined) throw errors.ownFormat({ recipe: recipe.name, weight, format: format.name, reason });
  }
  if (!recipe.exports.includes(target)) throw errors.notExported({ recipe: recipe.name, target, exports: recipe.exports.join(', ') });
  if (recipe.needs.includes('sample inputs') && !hasData) throw errors.needsData({ recipe: recipe.name });
  const fitting = scheme.budget === undefined ? recipe : withFormats(recipe, scheme.budget);
  return scheme.activations === 'static' ? withRanges(fitting) : fitting;
}

/** The steps of a recipe that are about no weights; undefined where there are none. */
function besidesWeights(name: string | undefined): Recipe | undefined {
  const recipe = name === undefined ? undefined : findRecipe(name);
  const steps = recipe?.steps.filter(({ step }) => step === 'low-bit-attention') ?? [];
  return recipe === undefined || steps.length === 0 ? undefined : { ...recipe, steps, needs: ['sample inputs'] };
}

function defaultRecipe(bits: number, { activations }: Scheme, target: Target, hasData: boolean): string {
  if (activations === 'static') return 'krishnamoorthi-int8';
  // Block types search their scales themselves.
  if (target === 'gguf') return hasData ? 'importance' : 'rtn';
  // At 8 bits the extreme value is as good a scale as any.
  if (bits >= 8) return 'rtn';
  return hasData ? 'gptq' : 'scale-search';
}

/** Formats are chosen by measurement once the network has its last shape, before anything is rounded. */
function withFormats(recipe: Recipe, { bits, formats, limits }: NonNullable<Scheme['budget']>): Recipe {
  const reason = recipe.steps.map(({ step }) => rows.allocate.excludes?.[step]).find((one) => one !== undefined);
  if (reason !== undefined) throw errors.noBudget({ recipe: recipe.name, reason: reason === bothChoose ? 'it chooses the formats of layers itself' : reason, point: recipe.formats.at(0) });
  const at = recipe.steps.findIndex(({ step }) => stageOf(step) === 'round');
  const steps: readonly Step[] = [...recipe.steps.slice(0, at), { step: 'allocate', bits, formats, ...(limits === undefined ? {} : { limits }) }, ...recipe.steps.slice(at)];
  checkTogether(steps);
  return { ...recipe, steps };
}

/** Static activations need ranges: a recipe that is only about weights gets them observed after its transforms. */
function withRanges(recipe: Recipe): Recipe {
  if (recipe.steps.some(({ step }) => step === 'observe-ranges')) return recipe;
  return { ...recipe, steps: [{ step: 'fold-batchnorm' }, ...recipe.steps, { step: 'observe-ranges', method: 'minmax' }] };
}

function fileOf(name: string, target: Target, scheme: Scheme, settings: QuantizeSettings): string {
  switch (target) {
    case 'onnx': return `${name}-${scheme.label}.onnx`;
    case 'gguf': return `${name}-${scheme.label.toUpperCase()}.gguf`;
    case 'transformers.js': return `${name}-transformers.js/onnx/model${scheme.label === 'fp32' ? '' : scheme.label === 'q8' ? '_quantized' : `_${scheme.label}`}.onnx`;
    case 'safetensors': return `${name}-${settings.layout}-${scheme.label}/model.safetensors`;
  }
}
