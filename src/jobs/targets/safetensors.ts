/** Hugging Face folders: low-bit weights in the layout asked for, everything else as it was, and the files beside them. */
import { defineErrors } from '../../errors.ts';
import { layouts, type Activations, type Layout } from '../../export/safetensors.ts';
import { shardIndex, shardsOf } from '../../export/safetensors-shards.ts';
import { writeSafetensors } from '../../files/safetensors.ts';
import type { ByteSink } from '../../files/source.ts';
import { byteLengthOf, copyTensor, elementTypes, isBlockType, type TensorOut, type TensorRef } from '../../tensor-ref.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import { encodeNumbers, isFloatType, lazyTensor, readFloats } from '../../graph/values.ts';
import type { LanguageModel } from '../../models/language-model.ts';
import { floatView } from '../../models/weight-views.ts';
import type { Applied } from '../../recipes/apply.ts';
import type { TensorLine } from '../result.ts';
import { committed, type OutputSpec, type TargetPlan, type TargetWriter } from '../target.ts';
import type { QuantizeSettings } from '../settings.ts';
import type { SourceModel } from '../source.ts';
import { ownFormat, ownWeights } from '../layer-formats.ts';
import { choices } from './onnx-plan.ts';
import { described } from './onnx.ts';
import { jsonBytes, sideFiles, writeSideFiles } from './side-files.ts';

const errors = defineErrors('safetensorsTarget', {
  added: (f: { recipe: string; name: string }) => [`recipe ${f.recipe} adds the tensor ${f.name}, for which the architecture has no place`, 'choose a recipe that only rescales, or write ONNX'] as const,
});

const head = 'lm_head.weight';
const layerOf = (weight: string): string => weight.replace(/\.weight$/, '');
const sizeOf = ({ shape }: TensorRef): number => shape.reduce((product, dim) => product * dim, 1);

type Float = 'f32' | 'f16' | 'bf16' | 'f64';

/** The type that all tensors are written in, where a float type was asked for. */
const wholeType = ({ family, name }: NumberFormat): Float | undefined => (family === 'float' ? (name as Float) : undefined);

/** The type that a float tensor is written in: its own, unless another was asked for; blocks of other files have no name here. */
const keptType = ({ type }: TensorRef, whole?: Float): Float => whole ?? (isBlockType(type) || !isFloatType(type) ? 'f32' : type);

interface Decided {
  /** Weights that take the layout, in their formats. */
  readonly taken: ReadonlyMap<string, NumberFormat>;
  /** Why a weight stays float although it was asked for. */
  readonly fallbacks: ReadonlyMap<string, string>;
  readonly refusals: readonly string[];
}

function decide(model: SourceModel, { scheme }: Pick<OutputSpec, 'scheme'>, settings: QuantizeSettings): Decided {
  const { chosen, refusals } = choices(model, scheme, settings);
  const format = parseFormat(scheme.weights);
  const layout: Layout = layouts[settings.layout];
  const taken = new Map<string, NumberFormat>();
  const fallbacks = new Map<string, string>();
  const refused = [...refusals];
  const refuse = (id: string, why: string): void => {
    if (settings.allowFallback) fallbacks.set(id, why);
    else refused.push(`${id}: ${why}`);
  };
  for (const [id, { site, fallback }] of chosen) {
    // Loaders of these layouts expect a float head.
    if (id === head) continue;
    const own = ownFormat(scheme, site);
    const why = fallback ?? layout.refuses(own ?? format, scheme.activations as Activations, site.rows, site.cols) ?? (own === undefined ? undefined : refusesBeside(layout, format, own));
    if (why === undefined) taken.set(id, own ?? format);
    else refuse(id, why);
  }
  for (const id of ownWeights(scheme)) if (id === head || !model.language!.linears.includes(id)) refuse(id, 'loaders of these folders expect floats there');
  return { taken, fallbacks, refusals: refused };
}

const refusesBeside = (layout: Layout, format: NumberFormat, own: NumberFormat): string | undefined =>
  (wholeType(format) !== undefined ? `a folder of ${format.name} has that type for all layers` : own.name === format.name ? undefined : layout.refusesOwn(format, own));

function plan(model: SourceModel, spec: Pick<OutputSpec, 'scheme'>, settings: QuantizeSettings): TargetPlan {
  const { taken, fallbacks, refusals } = decide(model, spec, settings);
  const own = ownWeights(spec.scheme);
  const format = parseFormat(spec.scheme.weights);
  const tensors = [...model.language!.tensors.values()].map((tensor): TensorLine => {
    const { name, shape, type, byteLength } = tensor;
    const low = taken.get(name);
    const kept = keptType(tensor, wholeType(format));
    const fallback = fallbacks.get(name);
    return {
      name, shape, source: type, target: low?.name ?? kept, bytesBefore: byteLength,
      bytesAfter: low !== undefined ? Math.ceil((sizeOf(tensor) * low.bitsPerWeight(shape[0], shape[1])) / 8) : (sizeOf(tensor) * elementTypes[kept].bits) / 8,
      ...(fallback === undefined ? {} : { fallback }), ...(low !== undefined && own.has(name) ? { asked: true } : {}),
    };
  });
  return { tensors, refusals };
}

/** Values converted at a time. */
const stepValues = 1024 * 1024;

/** A tensor in another float type, converted while it is written; values that the type cannot hold are refused. */
function converted(tensor: TensorRef, format: NumberFormat): TensorOut {
  const { name, shape } = tensor;
  const count = sizeOf(tensor);
  const type = format.name as Float;
  return {
    name, type, shape, byteLength: byteLengthOf(type, shape, name),
    async *chunks() {
      for (let begin = 0; begin < count; begin += stepValues) {
        const values = await readFloats(floatView(tensor), begin, Math.min(count, begin + stepValues));
        yield format.encode(values, 1, values.length, { name }).codes as Uint8Array;
      }
    },
  };
}

/** Float tensors after the recipe's transforms: those it left alone as they are stored, the others in their stored type. */
function floatTensor(tensor: TensorRef, before: Graph, after: Graph, sites: ReadonlyMap<string, Linear>): TensorOut {
  const { name, shape } = tensor;
  const now = after.weights.get(name);
  if (now === undefined || now === before.weights.get(name)) return copyTensor(isBlockType(tensor.type) ? floatView(tensor) : tensor, name);
  const site = sites.get(name);
  const type = keptType(tensor);
  const values = async (): Promise<Float32Array> => (site === undefined ? readFloats(floatView(now)) : site.weightMatrix());
  return copyTensor(lazyTensor(name, type, shape, async () => encodeNumbers(type, await values())), name);
}

/** Every tensor of the folder, in order of use. */
function tensorsOf(model: SourceModel, { graph, weights }: Applied, { scheme }: OutputSpec, settings: QuantizeSettings, taken: Decided['taken']): TensorOut[] {
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  const layout = layouts[settings.layout];
  const format = parseFormat(scheme.weights);
  const whole = wholeType(format);
  return [...model.language!.tensors.values()].flatMap((tensor): readonly TensorOut[] => {
    if (whole !== undefined) return [tensor.type === whole ? copyTensor(tensor) : converted(tensor, format)];
    const matrix = taken.has(tensor.name) ? weights.get(tensor.name) : undefined;
    return matrix === undefined ? [floatTensor(tensor, model.graph, graph, sites)] : layout.tensors(layerOf(tensor.name), matrix, scheme.activations as Activations);
  });
}

/** A recipe may rescale what is there; what it adds would be lost. */
function refuseAdded({ language, graph: before }: SourceModel, { graph: after }: Applied, recipe: string): void {
  for (const [name, tensor] of after.weights) {
    if (before.weights.get(name) === tensor || language!.tensors.has(name)) continue;
    throw errors.added({ recipe, name });
  }
}

/** The linear layers of a model inside of its blocks that keep their floats, without `.weight`. */
const leftFloat = ({ linears }: LanguageModel, taken: Decided['taken']): string[] =>
  linears.filter((name) => name !== head && !taken.has(name)).map(layerOf);

/** Layers that inference servers such as vLLM lay side by side as one matrix. */
const joinedLayers = [['q_proj', 'k_proj', 'v_proj'], ['gate_proj', 'up_proj']] as const;

/** Says where layers of one block that are joined elsewhere have several formats. */
function joinedNotes({ linears }: LanguageModel, taken: Decided['taken']): string[] {
  return joinedLayers.flatMap((parts) => {
    const blocks = linears.filter((name) => name.endsWith(`.${parts[0]}.weight`)).map((name) => name.slice(0, -`${parts[0]}.weight`.length));
    const mixed = blocks.filter((block) => new Set(parts.map((part) => taken.get(`${block}${part}.weight`)?.name)).size > 1);
    return mixed.length === 0 ? [] : [`${parts.join(', ')} of ${mixed[0].replace(/\.$/, '')}${mixed.length === 1 ? '' : ` and ${mixed.length - 1} more`} have several formats: transformers loads them, servers that join them, such as vLLM, want one`];
  });
}

const typeName: Readonly<Record<Float, string>> = { f32: 'float32', f16: 'float16', bf16: 'bfloat16', f64: 'float64' };

/** The configuration's word for the type of the weights, under the key that it has. */
const typeNames = ({ rawConfig }: LanguageModel, type: Float): Record<string, string> => ({ ['dtype' in rawConfig ? 'dtype' : 'torch_dtype']: typeName[type] });

export const safetensorsTarget: TargetWriter = {
  plan: async (model, spec, settings) => plan(model, spec, settings),
  async write(context) {
    const { model, spec, settings } = context;
    const language = model.language!;
    const applied = await context.apply();
    refuseAdded(model, applied, spec.recipe?.name ?? 'none');
    const { taken } = decide(model, spec, settings);
    const format = parseFormat(spec.scheme.weights);
    const folder = spec.file.slice(0, spec.file.lastIndexOf('/'));
    const shards = shardsOf(tensorsOf(model, applied, spec, settings, taken));
    const whole = wholeType(format);
    const own = new Map([...taken].flatMap(([name, one]) => (one.name === format.name ? [] : [[layerOf(name), one] as const])));
    const extra = whole !== undefined ? typeNames(language, whole) : taken.size === 0 ? {} : { quantization_config: layouts[settings.layout].config(format, spec.scheme.activations as Activations, leftFloat(language, taken), own) };
    const files = shards.map(({ file }) => `${folder}/${file}`);
    const sinks: ByteSink[] = [];
    for (const file of files) sinks.push(await context.open(file));
    let side: string[] = [];
    await committed(sinks, async () => {
      for (const [i, { tensors }] of shards.entries()) await writeSafetensors(sinks[i], tensors, new Map([['format', 'pt']]));
      side = await writeSideFiles(context, folder, new Map([
        ['config.json', jsonBytes({ ...language.rawConfig, ...extra })],
        ...sideFiles(language),
        ...(shards.length === 1 ? [] : [['model.safetensors.index.json', jsonBytes(shardIndex(shards))] as const]),
      ]));
    });
    const notes = [
      ...(spec.scheme.activations === 'dynamic' ? ['rounding of activations is in the configuration; the figures here are with float activations'] : []),
      ...joinedNotes(language, taken),
      ...(language.tensors.has(head) ? ['lm_head stays float, as loaders of this layout expect'] : []),
    ];
    return { files: [...files, ...side], notes, ...(await described(context, { ...applied, weights: new Map([...applied.weights].filter(([name]) => taken.has(name))) })) };
  },
};
