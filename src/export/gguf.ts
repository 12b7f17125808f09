/** A language model as the parts of a GGUF file: metadata, tensors under GGUF names, and the type that each tensor takes. */
import { defineErrors } from '../errors.ts';
import type { GgufValue } from '../files/gguf.ts';
import { elementCount, isBlockType, type BlockType, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { refusesWidth } from '../formats/ggml/index.ts';
import { configToGguf } from '../models/gguf-config.ts';
import { architectureOf, ggufName, pairedHeads, reorderedHeads } from '../models/gguf-names.ts';
import { tokenizerToGguf } from '../models/gguf-tokenizer-write.ts';
import { text, u32 } from '../models/gguf-values.ts';
import { isStateSpace, type LanguageModel } from '../models/language-model.ts';

export interface GgufTensor {
  /** In GGUF layout; its name is that of the file. */
  readonly tensor: TensorRef;
  /** Name of the weight in the model; undefined for constants that only the file has. */
  readonly weight: string | undefined;
}

export interface GgufParts {
  /** Everything but `general.file_type`, which depends on the types of the tensors. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Types as in the source. */
  readonly tensors: readonly GgufTensor[];
  readonly notes: readonly string[];
}

const errors = defineErrors('ggufExport', {
  stateSpace: (f: { model: string; family: string }) => [`${f.model}: ${f.family} models are not written as GGUF`, 'choose --to onnx'] as const,
});

/** Throws where GGUF cannot express the model. */
export function ggufParts(model: LanguageModel): GgufParts {
  const { config, tokenizer } = model;
  if (isStateSpace(config)) throw errors.stateSpace({ model: model.name, family: config.family });
  const architecture = architectureOf[config.family];
  const numbers = configToGguf(config);
  const words = tokenizer === undefined
    ? { metadata: new Map([['tokenizer.ggml.model', text('none')]]), notes: ['the model has no tokenizer: the file is of use to programs that bring token ids'] }
    : tokenizerToGguf(tokenizer, model.rawConfig, config.vocabSize);
  const license = licenseOf(model);
  const general: [string, GgufValue][] = [
    ['general.type', text('model')], ['general.name', text(model.name)], ...(license === undefined ? [] : [['general.license', text(license)] as [string, GgufValue]]),
    // The version of block types since scales became half precision.
    ['general.quantization_version', u32(2)],
  ];
  const weights = [...model.tensors.values()].map((tensor): GgufTensor => {
    const heads = pairedHeads(architecture, config, tensor.name);
    return { tensor: { ...(heads === 0 ? tensor : reorderedHeads(tensor, heads, 'pairs')), name: ggufName(tensor.name) }, weight: tensor.name };
  });
  return {
    metadata: new Map([...numbers.metadata, ...general, ...words.metadata]),
    tensors: [...(numbers.rotary === undefined ? [] : [{ tensor: numbers.rotary, weight: undefined }]), ...weights],
    notes: [...numbers.notes, ...words.notes],
  };
}

/** The licence that a model card's front matter names. */
function licenseOf({ tokenizer }: LanguageModel): string | undefined {
  const card = tokenizer?.others.get('README.md');
  return card === undefined ? undefined : /^---\n(?:.*\n)*?license:\s*(\S+)/.exec(new TextDecoder().decode(card))?.[1];
}

export interface GgufTensorType extends GgufTensor {
  readonly target: TensorType;
  /** Why it is not the type that was asked for; tensors of one dimension are float32 in every file, without a reason. */
  readonly fallback?: string;
  /** Why it cannot be written as asked. */
  readonly refusal?: string;
}

export interface GgufTypeOptions {
  /** Take the nearest type that fits instead of refusing. */
  readonly allowFallback?: boolean;
  /** Weights, by their names in the model and in the file, that keep their values. */
  readonly keeps?: (weight: string, name: string) => boolean;
  /** Types of weights that were chosen one by one, by their names in the model. */
  readonly chosen?: ReadonlyMap<string, TensorType>;
}

/** Types in blocks of 32 that stand in for wider ones, as in llama.cpp. */
const narrower: Partial<Record<TensorType, BlockType>> = {
  q2_k: 'iq4_nl', q3_k: 'iq4_nl', iq4_xs: 'iq4_nl', q4_k: 'q5_0', q5_k: 'q5_1', q6_k: 'q8_0', tq1_0: 'q4_0', tq2_0: 'q4_0', q1_0: 'q4_0', q2_0: 'q4_0', nvfp4: 'mxfp4',
};

/** The type of each tensor in a file of type `type`. */
export function ggufTensorTypes({ tensors }: Pick<GgufParts, 'tensors'>, type: TensorType, { allowFallback = false, keeps = () => false, chosen = new Map() }: GgufTypeOptions = {}): GgufTensorType[] {
  return tensors.map(({ tensor, weight }) => {
    if (tensor.shape.length < 2 || weight === undefined) return { tensor, weight, target: 'f32' };
    if (keeps(weight, tensor.name)) return { tensor, weight, target: tensor.type };
    const asked = chosen.get(weight) ?? type;
    const width = tensor.shape.at(-1)!;
    const why = isBlockType(asked) ? refusesWidth(asked, width) : undefined;
    if (why === undefined) return { tensor, weight, target: asked };
    if (!allowFallback) return { tensor, weight, target: asked, refusal: why };
    const next = narrower[asked];
    return { tensor, weight, target: next !== undefined && refusesWidth(next, width) === undefined ? next : 'f16', fallback: why };
  });
}

/** Values of `general.file_type`; plain K types have the number of their smallest mixture. */
const fileTypes: Partial<Record<TensorType, number>> = {
  f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, q5_0: 8, q5_1: 9, q2_k: 10, q3_k: 11, q4_k: 14, q5_k: 16, q6_k: 18, iq4_nl: 25, iq4_xs: 30, bf16: 32,
  tq1_0: 36, tq2_0: 37, mxfp4: 38, nvfp4: 39, q1_0: 40, q2_0: 41,
};

/** The number of the type that most values have. */
export function ggufFileType(tensors: readonly GgufTensorType[]): GgufValue {
  const counts = new Map<TensorType, number>();
  for (const { tensor, target } of tensors) if (tensor.shape.length > 1) counts.set(target, (counts.get(target) ?? 0) + elementCount(tensor.shape));
  const [most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ['f32', 0]);
  return u32(fileTypes[most] ?? 0);
}
