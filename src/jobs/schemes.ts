/**
 * What one output file is made of: a target, a number format for weights, and how activations are
 * treated. The table says what `--bits N` means for each target and kind of model.
 */
import { defineErrors } from '../errors.ts';
import { refuseInput } from '../export/onnx-activations.ts';
import type { NumberFormat } from '../formats/format.ts';
import { budgetTexts, noLimit, type LayerLimits } from '../allocate/allocation.ts';
import { parseFormat } from '../formats/registry.ts';
import { candidateFormats, finerSets } from './candidates.ts';
import type { LayerFormat } from './layer-formats.ts';

export type Target = 'onnx' | 'gguf' | 'transformers.js' | 'safetensors';
export const targets: readonly Target[] = ['onnx', 'gguf', 'transformers.js', 'safetensors'];

/** `lm`: a language model that we build; `onnx`: any other graph. */
export type ModelKind = 'lm' | 'onnx';

/** How activations are treated: by a word, or by the spelling of a number format. */
export type Activations = 'float' | 'static' | 'dynamic' | (string & {});
const words: readonly Activations[] = ['float', 'static', 'dynamic'];

export interface Scheme {
  /** Short name for tables and file names: `int8-static`, `q4_k`, `q4f16`. */
  readonly label: string;
  /** Canonical spelling of the weights' format; `f32` and `f16` keep floats. */
  readonly weights: string;
  /** `static` needs sample inputs for its ranges; `dynamic` measures each input as it comes; a format is taken by what a layer multiplies, measured likewise. */
  readonly activations: Activations;
  /** Type of what stays float. */
  readonly compute: 'f32' | 'f16';
  /** Bits per weight of the whole file, and other limits, for which every layer takes one of these formats by measurement; `weights` then names a typical one, `sets` those offered beside plain ones. */
  readonly budget?: { readonly bits: number; readonly formats: readonly string[]; readonly limits?: LayerLimits; readonly sets?: readonly string[] };
  /** Layers that take a format of their own, whatever `weights` and `budget` say. */
  readonly layers?: readonly LayerFormat[];
}

const scheme = (label: string, weights: string, activations: Scheme['activations'] = 'float', compute: Scheme['compute'] = 'f32'): Scheme =>
  ({ label, weights, activations, compute });

/** `--bits N` without more. Rows: bits; cells: the scheme per target and kind. */
const defaults: Readonly<Record<number, Partial<Record<`${Target}:${ModelKind}`, Scheme>>>> = {
  32: {
    'onnx:lm': scheme('fp32', 'f32'),
    'transformers.js:lm': scheme('fp32', 'f32'),
    'gguf:lm': scheme('f32', 'f32'),
  },
  16: {
    'onnx:onnx': scheme('fp16', 'f16', 'float', 'f16'),
    'onnx:lm': scheme('fp16', 'f16', 'float', 'f16'),
    'transformers.js:lm': scheme('fp16', 'f16', 'float', 'f16'),
    'gguf:lm': scheme('f16', 'f16'),
  },
  8: {
    'onnx:onnx': scheme('int8', 'int8/channel', 'static'),
    'onnx:lm': scheme('int8', 'int8/channel', 'dynamic'),
    'transformers.js:lm': scheme('q8', 'int8/channel', 'dynamic'),
    'gguf:lm': scheme('q8_0', 'q8_0'),
    'safetensors:lm': scheme('w8a16', 'int8/channel'),
  },
  6: { 'gguf:lm': scheme('q6_k', 'q6_k') },
  5: { 'gguf:lm': scheme('q5_k', 'q5_k') },
  4: {
    'onnx:onnx': scheme('int4', 'int4/channel'),
    'onnx:lm': scheme('int4', 'int4/g32'),
    'transformers.js:lm': scheme('q4', 'int4/g32'),
    'gguf:lm': scheme('q4_k', 'q4_k'),
    'safetensors:lm': scheme('w4a16', 'int4/g128'),
  },
  3: {
    'onnx:lm': scheme('int3', 'int3/g32'),
    'gguf:lm': scheme('q3_k', 'q3_k'),
  },
  2: {
    'onnx:lm': scheme('int2', 'uint2/g32'),
    'transformers.js:lm': scheme('q2', 'uint2/g32'),
    'gguf:lm': scheme('q2_k', 'q2_k'),
  },
};

/** Names that the ecosystem uses for whole schemes, where they say more than a format does. */
const named: Readonly<Record<string, Partial<Record<`${Target}:${ModelKind}`, Scheme>>>> = {
  fp32: { 'transformers.js:lm': scheme('fp32', 'f32'), 'onnx:lm': scheme('fp32', 'f32') },
  fp16: {
    'transformers.js:lm': scheme('fp16', 'f16', 'float', 'f16'), 'onnx:lm': scheme('fp16', 'f16', 'float', 'f16'),
    'onnx:onnx': scheme('fp16', 'f16', 'float', 'f16'),
  },
  q8: { 'transformers.js:lm': scheme('q8', 'int8/channel', 'dynamic') },
  q4: { 'transformers.js:lm': scheme('q4', 'int4/g32'), 'onnx:lm': scheme('q4', 'int4/g32') },
  q4f16: { 'transformers.js:lm': scheme('q4f16', 'int4/g32', 'float', 'f16'), 'onnx:lm': scheme('q4f16', 'int4/g32', 'float', 'f16') },
  q2: { 'transformers.js:lm': scheme('q2', 'uint2/g32') },
};

const errors = defineErrors('scheme', {
  noDefault: (f: { bits: number; target: string; kind: string; known: string }) => [
    `${f.target} has no default for ${f.bits} bits on this kind of model`,
    `bits with a default there: ${f.known}; or name a format with --weights`,
  ],
  notForTarget: (f: { weights: string; target: string }) => [
    `${f.target} files cannot hold ${f.weights} weights`,
    f.target === 'gguf' ? 'name a GGUF type such as q4_k, or another target' : 'name an integer or table format such as int4/g32, or the target gguf',
  ],
  noBudget: (f: { target: string; known: string }) => [`no budget chooses a format per layer for ${f.target} folders`, `bits with a default there: ${f.known}, without --candidates, --bops and --latency; or write ONNX or GGUF`] as const,
  notTimed: (f: { target: string }) => [`layers of ${f.target} files are not timed: llama.cpp runs whole networks alone`, 'give the budget in bits, or write ONNX'] as const,
  floatInputsTimed: (f: { activations: string }) => [`--latency is measured of layers with float inputs, not ${f.activations}`, 'leave out --activations, or give the budget as --bits or --bops'] as const,
  inputsNotForTarget: (f: { activations: string; target: string }) => [`${f.target} files cannot say that inputs are rounded to ${f.activations}`, 'write ONNX, where standard operators say it'],
  staticNeedsData: (f: { target: string }) => [
    `static activation ranges for ${f.target} need sample inputs`,
    'give some with --data, or choose --activations dynamic',
  ],
});

/** The format that inputs of layers take, where the scheme names one. */
export const inputFormat = ({ activations }: Pick<Scheme, 'activations'>): NumberFormat | undefined => (words.includes(activations) ? undefined : parseFormat(activations));

/** Activations as a user wrote them: a word as it is, a format in its canonical spelling. Throws where the format has no operators. */
export function parseActivations(text: string, target: Target): Activations {
  if (words.includes(text)) return text;
  const format = parseFormat(text);
  if (target !== 'onnx' && target !== 'transformers.js') throw errors.inputsNotForTarget({ activations: format.name, target });
  refuseInput(format);
  return format.name;
}

/** With candidates or further limits a format per layer is measured for whole numbers too. */
export function schemeForBits(bits: number, target: Target, kind: ModelKind, candidates?: readonly string[], limits?: LayerLimits): Scheme {
  const measures = candidates !== undefined || limits !== undefined;
  const found = defaults[bits]?.[`${target}:${kind}`];
  if (found !== undefined && !measures) return found;
  const known = Object.keys(defaults).filter((key) => defaults[Number(key)][`${target}:${kind}`] !== undefined).join(', ');
  if (Number.isInteger(bits) && !measures) throw errors.noDefault({ bits, target, kind, known: known === '' ? 'none' : known });
  if (target === 'safetensors') throw errors.noBudget({ target, known });
  const typical = target === 'gguf' ? 'q4_k' : kind === 'lm' ? 'uint4/g128' : 'uint4/channel';
  if (target === 'gguf' && limits?.milliseconds !== undefined) throw errors.notTimed({ target });
  const label = [...(bits === noLimit ? [] : [`${bits}bit`]), ...(limits?.bops === undefined ? [] : [`${limits.bops}gbops`]), ...(limits?.milliseconds === undefined ? [] : [`${limits.milliseconds}ms`])].join('-');
  const sets = finerSets(candidates ?? []);
  const budget = { bits, formats: candidateFormats(candidates ?? ['plain'], target, kind), ...(limits === undefined ? {} : { limits }), ...(sets.length === 0 ? {} : { sets }) };
  return { ...scheme([label, ...sets].join('-'), typical), budget };
}

/** `4.25 bits`, `2.5 bits with trellis`, `3 bits, 0.8 · 10⁹ bit operations`. */
const budgetText = ({ bits, limits = {}, sets = [] }: NonNullable<Scheme['budget']>): string => budgetTexts(bits, limits).join(', ') + (sets.length === 0 ? '' : ` with ${sets.join(', ')}`);

/** How the weights of a scheme are called: the format, or how many bits where each layer has its own; and how many layers were given another. */
export function weightsText({ weights, budget, layers = [] }: Scheme): string {
  const whole = budget === undefined ? weights : `${budgetText(budget)}, a format per layer`;
  return layers.length === 0 ? whole : `${whole}, ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'} as asked`;
}

/** A scheme from `--weights` and `--activations`, by a name such as `q4f16` or by a format; the label is the spelling itself. */
export function schemeForFormat(weights: string, activations: Scheme['activations'] | undefined, target: Target, kind: ModelKind): Scheme {
  const known = named[weights.toLowerCase()]?.[`${target}:${kind}`];
  if (known !== undefined) return activations === undefined ? known : { ...known, activations };
  const format = parseFormat(weights, target === 'gguf' ? 'ggml' : undefined);
  const isBlockType = format.family === 'ggml';
  // ONNX Runtime computes in float32 and half precision only.
  const fits = format.family === 'float' ? format.name !== 'bf16' || target === 'gguf' || target === 'safetensors' : target === 'gguf' ? isBlockType : !isBlockType;
  if (!fits) throw errors.notForTarget({ weights: format.name, target });
  const label = format.name.replace(/^ggml-/, '').replaceAll('/', '-').replaceAll('@', '-');
  return scheme(label + suffixOf(activations), format.name, activations ?? 'float', format.name === 'f16' ? 'f16' : 'f32');
}

/** Every scheme that a request asks for, per target, in the order given; 8 and 4 bits where it asks for nothing. */
export function requestedSchemes(
  request: { readonly to: readonly string[]; readonly bits?: readonly number[]; readonly weights?: readonly string[]; readonly activations?: Scheme['activations']; readonly candidates?: readonly string[]; readonly bops?: number; readonly latency?: number },
  kind: ModelKind,
): { target: Target; scheme: Scheme }[] {
  const { weights = [], candidates, bops, latency } = request;
  const limits = bops === undefined && latency === undefined ? undefined : { ...(bops === undefined ? {} : { bops }), ...(latency === undefined ? {} : { milliseconds: latency }) };
  const { bits = request.weights !== undefined ? [] : limits === undefined ? [8, 4] : [noLimit] } = request;
  return (request.to as Target[]).flatMap((target) => {
    const activations = request.activations === undefined ? undefined : parseActivations(request.activations, target);
    if (latency !== undefined && activations !== undefined && activations !== 'float') throw errors.floatInputsTimed({ activations });
    return [
      ...bits.map((count) => ({ target, scheme: withActivations(schemeForBits(count, target, kind, candidates, limits), activations) })),
      ...weights.filter((format) => holds(format, target, kind, request.to.length)).map((format) => ({ target, scheme: schemeForFormat(format, activations, target, kind) })),
    ];
  });
}

const withActivations = (found: Scheme, activations: Scheme['activations'] | undefined): Scheme =>
  (activations === undefined || activations === found.activations ? found
    : { ...found, activations, label: `${found.label.replace(/-(static|dynamic)$/, '')}${suffixOf(activations)}` });

/** What file names say of activations: `-static`, `-a-int8-token`. */
function suffixOf(activations: Activations | undefined): string {
  if (activations === undefined || activations === 'float') return '';
  return words.includes(activations) ? `-${activations}` : `-a-${activations.replaceAll(/[/@]/g, '-')}`;
}

/** With several targets a format goes to those that can hold it; with one, a misfit is an error. */
function holds(format: string, target: Target, kind: ModelKind, targetCount: number): boolean {
  const scheme = named[format.toLowerCase()];
  if (targetCount === 1 || scheme !== undefined) return scheme === undefined || targetCount === 1 || scheme[`${target}:${kind}`] !== undefined;
  const { family } = parseFormat(format, target === 'gguf' ? 'ggml' : undefined);
  return family === 'float' || (family === 'ggml') === (target === 'gguf');
}

/** Throws when a static scheme has no data to calibrate on. */
export function requireData(scheme: Scheme, target: Target, hasData: boolean): void {
  if (scheme.activations === 'static' && !hasData) throw errors.staticNeedsData({ target });
}
