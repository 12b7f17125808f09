/** A GGUF file of the Llama family as a language model: Hugging Face names and layout, configuration and tokenizer rebuilt. */
import { defineErrors } from '../errors.ts';
import { openGgufFiles, parseSplitName } from '../files/gguf-split.ts';
import type { ByteSource, Folder } from '../files/source.ts';
import { elementCount, isBlockType, type TensorRef } from '../tensor-ref.ts';
import { isGgmlType } from '../formats/ggml/index.ts';
import { readFloats } from '../files/values.ts';
import { configFromGguf, ggufArchitecture, rotaryName } from './gguf-config.ts';
import { huggingFaceName, pairedHeads, reorderedHeads } from './gguf-names.ts';
import { tokenizerFromGguf } from './gguf-tokenizer.ts';
import { languageModel, type LanguageModel } from './language-model.ts';
import { readLlamaConfig } from './llama-config.ts';
import { checkedWeights } from './llama-weights.ts';

/** One factor per pair of a head; heads have at most some thousand values. */
const maxRotary = 65_536;

const errors = defineErrors('ggufModel', {
  type: (f: { name: string; type: string }) => [`tensor ${f.name} has type ${f.type}, which is not decoded here`, 'take a file in another type, or f16'] as const,
  missing: (f: { name: string }) => `tensor ${f.name} is missing`,
  rotary: (f: { shape: readonly number[] }) => `tensor ${rotaryName} has shape [${f.shape.join(', ')}]`,
});

/** Describes the model; tensors are read when asked, until `close`, which closes the source. The parts of a split model are looked for in `folder`. */
export async function openGgufLanguageModel(source: ByteSource, folder?: Folder): Promise<LanguageModel> {
  const { metadata, tensors, close } = await openGgufFiles(source, folder);
  try {
    const architecture = ggufArchitecture(metadata);
    for (const { name, type } of tensors.values()) if (isBlockType(type) && !isGgmlType(type)) throw errors.type({ name, type });
    const embedding = tensors.get('token_embd.weight');
    if (embedding === undefined) throw errors.missing({ name: 'token_embd.weight' });
    const rawConfig = configFromGguf(metadata, {
      tied: !tensors.has('output.weight'), vocabSize: embedding.shape[0],
      attentionBias: tensors.has('blk.0.attn_q.bias'), mlpBias: tensors.has('blk.0.ffn_up.bias'),
      rotary: await rotaryOf(tensors.get(rotaryName)),
    });
    const config = readLlamaConfig(rawConfig);
    // Names of no model stay as they are, and are then refused.
    const renamed = new Map([...tensors.values()].filter(({ name }) => name !== rotaryName)
      .map((tensor) => { const name = huggingFaceName(tensor.name) ?? tensor.name; return [name, { ...tensor, name }] as const; }));
    const ordered = new Map([...checkedWeights(config, renamed)].map(([name, tensor]) => {
      const heads = pairedHeads(architecture, config, name);
      return [name, heads === 0 ? tensor : reorderedHeads(tensor, heads, 'halves')];
    }));
    return languageModel({
      name: stemOf(source.name), rawConfig, tensors: ordered, tokenizer: tokenizerFromGguf(metadata, config.maxPositions),
      lowBit: [...ordered.values()].filter(({ type }) => isBlockType(type)).map(({ name }) => name),
      close,
    });
  } catch (error) {
    await close();
    throw error;
  }
}

async function rotaryOf(tensor: TensorRef | undefined): Promise<Float32Array | undefined> {
  if (tensor === undefined) return undefined;
  if (tensor.shape.length !== 1 || elementCount(tensor.shape) > maxRotary) throw errors.rotary({ shape: tensor.shape });
  return readFloats(tensor);
}

/** `https://host/models/Name-Q4_K.gguf?x` → `Name-Q4_K`, without the number of a part. */
function stemOf(name: string): string {
  const base = name.split(/[?#]/)[0].split(/[\\/]/).at(-1)!;
  return parseSplitName(base)?.stem ?? (base.replace(/\.gguf$/i, '') || 'model');
}
