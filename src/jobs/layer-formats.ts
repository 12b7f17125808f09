/**
 * What a user says of single layers: a format, as in `--layer NAME=FORMAT`, or that they stay float, as in `--keep NAME`.
 * From names and patterns to weights of a model; what names nothing is refused.
 */
import { defineErrors } from '../errors.ts';
import { tiedHeads } from '../export/onnx-embedding.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { ggufName } from '../models/gguf-names.ts';
import { isStateSpace } from '../models/language-model.ts';
import { matches } from './keep.ts';
import type { Scheme, Target } from './schemes.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';

/** The format of one weight, whatever the others take. */
export interface LayerFormat {
  readonly weight: string;
  /** Nodes that read it: transforms may give each layer of a shared weight a copy under another name. */
  readonly nodes: readonly string[];
  /** Canonical spelling. */
  readonly format: string;
}

const namesLike = (near: string): string => (near === '' ? 'this model has no layers that take formats' : `names like it: ${near}; * stands for anything, and fewbit inspect lists all`);

const errors = defineErrors('layer', {
  unnamed: (f: { rule: string; near: string }) => [`--layer ${f.rule}: no layer has this name`, namesLike(f.near)] as const,
  keepsNothing: (f: { pattern: string; near: string }) => [`--keep ${f.pattern}: no layer or value has this name`, namesLike(f.near)] as const,
  twice: (f: { weight: string; one: string; other: string }) => [`${f.weight} is given two formats: --layer ${f.one} and --layer ${f.other}`, 'leave one of them out, or name the layer itself, which goes before patterns'] as const,
  kept: (f: { weight: string; rule: string; keep: string }) => [`${f.weight} is kept float by --keep ${f.keep} and given a format by --layer ${f.rule}`, 'leave it out of one of them'] as const,
  notForTarget: (f: { rule: string; target: string; format: string }) => [`--layer ${f.rule}: ${f.target} files cannot hold ${f.format} weights`, f.target === 'gguf' ? 'name a GGUF type such as q6_k' : 'name an integer or table format such as int8/channel'] as const,
  float: (f: { rule: string; name: string }) => [`--layer ${f.rule}: floats are no format for a single layer here`, `leave it float with --keep ${f.name}`] as const,
});

/** A layer under all its names. */
interface NamedLayer { readonly weight: string; readonly nodes: Set<string>; readonly others: Set<string> }
interface Rule { readonly text: string; readonly name: string; readonly spelling: string }

/** Names in an error, at most. */
const shownNames = 3;

/** What may be named: matrices that layers multiply by, and tables of language models, also by their names in GGUF files. */
function namedLayers({ graph, language }: Pick<SourceModel, 'graph' | 'language'>): NamedLayer[] {
  const found = new Map<string, NamedLayer>();
  const at = (weight: string): NamedLayer => found.get(weight) ?? found.set(weight, { weight, nodes: new Set(), others: new Set() }).get(weight)!;
  for (const site of linearSites(graph, { gather: language !== undefined })) at(site.id).nodes.add(site.node.name);
  if (language !== undefined) for (const [table, heads] of tiedHeads(graph)) for (const head of heads) at(table).nodes.add(head.node.name);
  if (language !== undefined && !isStateSpace(language.config)) for (const { name, shape } of language.tensors.values()) if (shape.length === 2) at(name).others.add(ggufName(name));
  return [...found.values()];
}

const namesOf = ({ weight, nodes, others }: NamedLayer): string[] => [weight, ...others, ...nodes].filter((name) => name !== '');
const calls = (pattern: string, layer: NamedLayer): boolean => namesOf(layer).some((name) => matches(pattern, name));
const isPattern = ({ name }: Rule): boolean => name.includes('*');

/** Throws where a pattern of `--keep` names no weight, node or value; names in GGUF files count where one is written. */
export function refuseUnknown({ graph, language }: Pick<SourceModel, 'graph' | 'language'>, { keep, to }: Pick<QuantizeSettings, 'keep' | 'to'>): void {
  if (keep.length === 0) return;
  const tensors = [...language?.tensors.keys() ?? []];
  const names = [
    ...graph.weights.keys(), ...graph.inputs.map(({ name }) => name), ...graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs]), ...tensors, ...(to.includes('gguf') ? tensors.map(ggufName) : []),
  ].filter((name) => name !== '');
  const unknown = keep.find((pattern) => !names.some((name) => matches(pattern, name)));
  if (unknown !== undefined) throw errors.keepsNothing({ pattern: unknown, near: nearest(unknown, namedLayers({ graph, language })) });
}

/** Names hold no format, and formats no equals sign. */
const ruleOf = (text: string): Rule => ({ text, name: text.slice(0, text.lastIndexOf('=')).trim(), spelling: text.slice(text.lastIndexOf('=') + 1).trim() });

const formatFor = (target: Target, { spelling }: Rule): NumberFormat => parseFormat(spelling, target === 'gguf' ? 'ggml' : undefined);

/** Whether files of a target can hold a layer in the format beside others: only GGUF has a float type for each tensor. */
const holds = (target: Target, format: NumberFormat): boolean => (target === 'gguf' ? format.family === 'ggml' || format.family === 'float' : format.family !== 'ggml' && format.family !== 'float');

/**
 * The weights that rules give a format to, per target. A name goes before patterns. With several targets a rule counts for
 * those that can hold its format; throws where none can, where a rule names nothing, and where rules contradict each other.
 */
export function layerFormats(model: Pick<SourceModel, 'graph' | 'language'>, { layer, keep, to }: Pick<QuantizeSettings, 'layer' | 'keep' | 'to'>): ReadonlyMap<Target, readonly LayerFormat[]> {
  const rules = layer.map(ruleOf);
  const layers = rules.length === 0 ? [] : namedLayers(model);
  const targets = to as Target[];
  for (const rule of rules) {
    if (/^float$/i.test(rule.spelling)) throw errors.float({ rule: rule.text, name: rule.name });
    const formats = targets.map((target) => formatFor(target, rule));
    if (!layers.some((one) => calls(rule.name, one))) throw errors.unnamed({ rule: rule.text, near: nearest(rule.name, layers) });
    if (targets.some((target, i) => holds(target, formats[i]))) continue;
    throw formats[0].family === 'float' ? errors.float({ rule: rule.text, name: rule.name }) : errors.notForTarget({ rule: rule.text, target: targets.join(', '), format: formats[0].name });
  }
  return new Map(targets.map((target) => [target, layers.flatMap((one) => formatOf(one, rules, keep, target))]));
}

function formatOf(one: NamedLayer, rules: readonly Rule[], keep: readonly string[], target: Target): LayerFormat[] {
  const naming = rules.filter((rule) => calls(rule.name, one) && holds(target, formatFor(target, rule)));
  if (naming.length === 0) return [];
  const keeping = keep.find((pattern) => calls(pattern, one));
  if (keeping !== undefined) throw errors.kept({ weight: one.weight, rule: naming[0].text, keep: keeping });
  const exact = naming.filter((rule) => !isPattern(rule));
  const [first, ...others] = exact.length > 0 ? exact : naming;
  const { name } = formatFor(target, first);
  const other = others.find((rule) => formatFor(target, rule).name !== name);
  if (other !== undefined) throw errors.twice({ weight: one.weight, one: first.text, other: other.text });
  return [{ weight: one.weight, nodes: [...one.nodes].filter((node) => node !== ''), format: name }];
}

/** The names of weights that begin and end most like a text. */
function nearest(text: string, layers: readonly NamedLayer[]): string {
  const bare = text.replaceAll('*', '');
  const likeness = (name: string): number => common([...name], [...bare]) + common([...name].reverse(), [...bare].reverse());
  return layers.map(({ weight }) => ({ weight, alike: likeness(weight) })).sort((a, b) => b.alike - a.alike).slice(0, shownNames).map(({ weight }) => weight).join(', ');
}

function common(one: readonly string[], other: readonly string[]): number {
  const end = one.findIndex((sign, i) => sign !== other[i]);
  return end < 0 ? one.length : end;
}

/** The format that was given to a layer by itself; undefined where it takes that of the scheme. */
export function ownFormat({ layers = [] }: Pick<Scheme, 'layers'>, site: { readonly id: string; readonly node: Pick<Linear['node'], 'name'> }): NumberFormat | undefined {
  const found = layers.find(({ weight, nodes }) => weight === site.id || nodes.includes(site.node.name));
  return found === undefined ? undefined : parseFormat(found.format);
}

/** Weights that were given a format by themselves. */
export const ownWeights = ({ layers = [] }: Pick<Scheme, 'layers'>): Set<string> => new Set(layers.map(({ weight }) => weight));
