/** Which weights of a graph take the format of a scheme, and what each will cost. */
import { defineErrors } from '../../errors.ts';
import { parseFormat } from '../../formats/registry.ts';
import { elementTypes, isBlockType, type TensorRef } from '../../tensor-ref.ts';
import { quantizesInput } from '../../export/onnx-activations.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import { isFloatType } from '../../graph/values.ts';
import { isTooShort, keepsFloat } from '../keep.ts';
import { turnable } from '../../transform/rotate.ts';
import { ownFormat, ownWeights } from '../layer-formats.ts';
import type { TensorLine } from '../result.ts';
import { inputFormat, type Scheme } from '../schemes.ts';
import type { SourceModel } from '../source.ts';
import type { OutputSpec, TargetPlan } from '../target.ts';
import { additionsOf } from './onnx-additions.ts';
import { lowBitTables } from './onnx-tables.ts';

export interface Choice { readonly site: Linear; readonly format: string; readonly fallback?: string }

/** Every weight of a layer that becomes low-bit, by weight id. */
export function choices(model: SourceModel, scheme: Scheme, settings: { readonly keep: readonly string[]; readonly allowFallback: boolean }): { chosen: Map<string, Choice>; refusals: string[] } {
  const whole = parseFormat(scheme.weights);
  const chosen = new Map<string, Choice>();
  const refusals: string[] = [];
  for (const site of linearSites(model.graph)) {
    const own = ownFormat(scheme, site);
    const format = own ?? whole;
    if (format.family === 'float' || chosen.has(site.id) || (own === undefined && isTooShort(site, format)) || keepsFloat(site.id, site.node.name, settings.keep)) continue;
    const why = format.refuses(site.rows, site.cols);
    if (why === undefined) chosen.set(site.id, { site, format: format.name });
    else if (settings.allowFallback) chosen.set(site.id, { site, format: scheme.compute, fallback: why });
    else refusals.push(`${site.id}: ${why}`);
  }
  return { chosen, refusals };
}

const layers = 'MatMul and Gemm by a matrix that lies in the file, Conv and ConvTranspose';

const errors = defineErrors('onnxPlan', {
  noLayers: (f: { model: string }) => [`${f.model}: no layer to round: those are ${layers}`, 'half precision needs no layers: --bits 16'] as const,
  noInputs: (f: { model: string; format: string }) => [`${f.model}: no layer can round its inputs to ${f.format}: all are convolutions, whose inputs share one scale`, 'choose a format such as int8/tensor, or --activations static'] as const,
});

/** From this share of the weights on it is said what lies outside of all layers. */
const tellingShare = 0.1;

/** One line where much of a plain graph is in no layer and stays float whatever is asked. */
export function outsideLayers({ kind, graph, parameters }: Pick<SourceModel, 'kind' | 'graph' | 'parameters'>): string | undefined {
  if (kind === 'lm') return undefined;
  const inLayers = new Set(linearSites(graph).map(({ id }) => id));
  const sizeOf = ({ shape }: TensorRef): number => shape.reduce((product, dim) => product * dim, 1);
  const others = [...graph.weights.values()].filter(({ name, type, shape }) => shape.length > 1 && isFloatType(type) && !inLayers.has(name)).sort((a, b) => sizeOf(b) - sizeOf(a));
  const share = others.reduce((sum, tensor) => sum + sizeOf(tensor), 0) / Math.max(1, parameters);
  if (inLayers.size === 0 || share < tellingShare) return undefined;
  const named = others.slice(0, 3).map(({ name }) => `${name} (${[...new Set(graph.nodes.filter(({ inputs }) => inputs.includes(name)).map(({ op }) => op))].join(', ') || 'in a body'})`);
  return `${Math.floor(100 * share)} % of the weights are in no layer and stay float, above all ${named.join(', ')}: layers are ${layers}`;
}

/** One line where some layers, but not all, round their inputs to the format that was asked; throws where none does. */
export function floatInputs({ graph, name }: Pick<SourceModel, 'graph' | 'name'>, scheme: Scheme): string | undefined {
  const format = inputFormat(scheme);
  const sites = format === undefined ? [] : linearSites(graph);
  const left = sites.filter((site) => !quantizesInput(site, format!));
  if (left.length === 0) return undefined;
  if (left.length === sites.length) throw errors.noInputs({ model: name, format: format!.name });
  return `inputs of ${left.length} of ${sites.length} layers stay float: ${format!.name} has several scales, and convolutions take one, as in int8/tensor (${left.slice(0, 3).map(({ id }) => id).join(', ')}${left.length > 3 ? ', …' : ''})`;
}

export function planGraph(model: SourceModel, { scheme, recipe }: Pick<OutputSpec, 'scheme' | 'recipe'>, settings: { readonly keep: readonly string[]; readonly allowFallback: boolean }): TargetPlan {
  const { chosen, refusals } = choices(model, scheme, settings);
  if (parseFormat(scheme.weights).family !== 'float' && linearSites(model.graph).length === 0) throw errors.noLayers({ model: model.name });
  const own = ownWeights(scheme);
  const tables = lowBitTables(model, scheme, settings.keep);
  const all = new Map<string, Choice>([...chosen, ...tables]);
  const additions = additionsOf(recipe, turnable(model.graph).filter(({ id }) => chosen.get(id)?.fallback === undefined && chosen.has(id)));
  const tensors: TensorLine[] = [];
  for (const [id, tensor] of model.graph.weights) {
    if (isBlockType(tensor.type) || !isFloatType(tensor.type)) continue;
    const choice = all.get(id);
    const target = choice === undefined ? scheme.compute : choice.format;
    const count = tensor.shape.reduce((product, dim) => product * dim, 1);
    const bits = choice === undefined || target === scheme.compute ? elementTypes[scheme.compute].bits : parseFormat(target).bitsPerWeight(choice.site.rows, choice.site.cols);
    tensors.push({
      name: id, shape: shapeOf(tensor), source: tensor.type, target, bytesBefore: tensor.byteLength, bytesAfter: Math.ceil((count * bits * (chosen.has(id) ? 1 + additions.copied : 1)) / 8),
      ...(choice?.fallback === undefined ? {} : { fallback: choice.fallback }), ...(choice !== undefined && choice.fallback === undefined && own.has(id) ? { asked: true } : {}),
    });
  }
  tensors.push(...additions.tensors);
  const refused = settings.allowFallback ? [] : [...tables].flatMap(([id, { fallback }]) => (fallback === undefined ? [] : [`${id}: ${fallback}`]));
  const open = new Set([...chosen.keys()].filter((id) => !own.has(id)));
  return { tensors: scheme.budget === undefined ? tensors : withinBudget(tensors, open, scheme.budget.bits * model.parameters), refusals: [...refusals, ...refused], open: additions.open };
}

/** Layers whose formats are still to be chosen share what the others leave of the budget, at most what floats take. */
export function withinBudget(tensors: readonly TensorLine[], chosen: ReadonlySet<string>, bits: number): TensorLine[] {
  const sum = (lines: readonly TensorLine[], of: (line: TensorLine) => number): number => lines.reduce((total, line) => total + of(line), 0);
  const weightsOf = ({ shape }: TensorLine): number => shape.reduce((product, dim) => product * dim, 1);
  const open = tensors.filter(({ name }) => chosen.has(name));
  const share = Math.min(32, Math.max(1, (bits - 8 * sum(tensors.filter(({ name }) => !chosen.has(name)), ({ bytesAfter }) => bytesAfter)) / Math.max(1, sum(open, weightsOf))));
  return tensors.map((line) => (chosen.has(line.name) ? { ...line, target: 'measured', bytesAfter: Math.floor((weightsOf(line) * share) / 8) } : line));
}

/** Transposed views are shown as they lie in the source. */
const shapeOf = (tensor: TensorRef): readonly number[] => (tensor as { transposeOf?: TensorRef }).transposeOf?.shape ?? tensor.shape;
