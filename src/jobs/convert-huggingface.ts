/** To a Hugging Face folder: of a folder or a bare safetensors file, tensor by tensor, or of a GGUF model, put together again. */
import { shardBytes, shardIndex, shardsOf } from '../export/safetensors-shards.ts';
import { openSafetensors, writeSafetensors } from '../files/safetensors.ts';
import { isBlockType, byteLengthOf, type TensorOut, type TensorRef } from '../tensor-ref.ts';
import { isFloatType } from '../graph/values.ts';
import { openGgufLanguageModel } from '../models/gguf-model.ts';
import { openLanguageModel, type LanguageModel } from '../models/language-model.ts';
import { openFolderTensors } from '../models/safetensors-folder.ts';
import { readBounded, readObject } from '../models/tokenizer-files.ts';
import type { Pool } from '../round/pool.ts';
import { convertErrors as errors } from './convert-errors.ts';
import type { Stored } from './convert-source-node.ts';
import { mainType, movedTensors, plannedTensor, withoutType, type TensorMove } from './convert-tensors.ts';
import type { ConvertSettings, FloatType, Prepared } from './convert.ts';
import { jsonBytes, sideFiles } from './targets/side-files.ts';

interface Content {
  readonly moves: readonly TensorMove[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Beside the weights, by name. */
  readonly side: ReadonlyMap<string, Uint8Array>;
  readonly notes: readonly string[];
  close(): Promise<void>;
}

export async function prepareHuggingFace(stored: Stored, settings: ConvertSettings, limit: number | undefined, pool: Pool): Promise<Prepared> {
  const { moves, metadata, side, notes, close } = await contentOf(stored, settings.type);
  const cut = limit ?? shardBytes;
  const sized = moves.map(({ tensor, target }): TensorOut => ({
    name: tensor.name, type: target, shape: tensor.shape, byteLength: byteLengthOf(target, tensor.shape, tensor.name), async *chunks() {},
  }));
  const shards = shardsOf(sized, cut);
  const small = new Map([...side, ...(shards.length === 1 ? [] : [['model.safetensors.index.json', jsonBytes(shardIndex(shards))] as const])]);
  return {
    defaultName: `${withoutType(stored.name)}-huggingface`,
    // What makes the folder a model comes last.
    files: () => [
      ...shards.map(({ file, tensors }) => ({ path: file, bytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0) })),
      ...[...small].map(([path, { byteLength }]) => ({ path, bytes: byteLength })),
    ],
    tensors: moves.map(plannedTensor), notes, close,
    write: async (sinks, _name, progress) => {
      const { outs, done } = movedTensors(moves, pool, progress);
      const made = shardsOf(outs, cut);
      for (const [i, { tensors }] of made.entries()) await writeSafetensors(sinks[i], tensors, metadata);
      for (const [i, bytes] of [...small.values()].entries()) await sinks[made.length + i].write(bytes);
      return done();
    },
  };
}

async function contentOf(stored: Stored, type: FloatType | undefined): Promise<Content> {
  const { kind, name, source, folder } = stored;
  if (kind === 'gguf') return ofModel(await openGgufLanguageModel(source!, folder), type);
  if (kind !== 'huggingface') throw errors.move({ name, kind, to: 'huggingface' });
  if (source !== undefined) {
    const { tensors, metadata } = await openSafetensors(source);
    return { moves: floatMoves(tensors, type), metadata, side: new Map(), notes: [], close: () => source.close() };
  }
  const config = (await folder!.has('config.json')) ? await readObject(folder!, 'config.json', maxSideBytes) : undefined;
  const lowBit = config?.quantization_config !== undefined && config.quantization_config !== null;
  if (lowBit && type !== undefined) return ofModel(await openLanguageModel(folder!), type);
  const side = new Map<string, Uint8Array>();
  for (const file of await folder!.list()) if (isSide(file)) side.set(file, await readBounded(folder!, file, maxSideBytes));
  if (config !== undefined && type !== undefined) side.set('config.json', jsonBytes(withType(config, type)));
  const { tensors, close } = await openFolderTensors(folder!);
  return {
    moves: floatMoves(tensors, type), metadata: pytorch, side, close,
    notes: lowBit ? ['the weights stay low-bit as they are; --type f16 (or bf16, f32) decodes them'] : [],
  };
}

const pytorch: ReadonlyMap<string, string> = new Map([['format', 'pt']]);

/** The largest tokenizers have about 35 MB. */
const maxSideBytes = 64_000_000;

/** Configuration, tokenizer, texts: what is small and lies beside the weights. Code stays behind, and so do other formats. */
const isSide = (file: string): boolean =>
  !file.includes('/') && !file.startsWith('.') && file !== 'model.safetensors.index.json' && (/\.(json|jinja|txt|model|md)$/i.test(file) || /^(LICEN[SC]E|NOTICE|USE_POLICY)/i.test(file));

const floatMoves = (tensors: ReadonlyMap<string, TensorRef>, type: FloatType | undefined): TensorMove[] =>
  [...tensors.values()].map((tensor) => ({ tensor, target: type !== undefined && isFloatType(tensor.type) ? type : tensor.type }));

/** A model whose weights are decoded: block types and packed codes become floats. */
async function ofModel(model: LanguageModel, type: FloatType | undefined): Promise<Content> {
  const moves = [...model.tensors.values()].map((tensor): TensorMove => ({ tensor, target: type ?? (isBlockType(tensor.type) ? 'f32' : tensor.type) }));
  const main = mainType(moves) as FloatType;
  return {
    moves, metadata: pytorch, close: model.close,
    side: new Map([...sideFiles(model), ...readme(model), ['config.json', jsonBytes(withType(model.rawConfig, main))]]),
    notes: model.lowBit.length === 0 ? [] : [`${model.lowBit.length} low-bit weights are decoded; what rounding took from them stays lost`],
  };
}

/** The card carries the licence. */
const readme = ({ tokenizer }: LanguageModel): [string, Uint8Array][] => [...(tokenizer?.others ?? [])].filter(([name]) => name.toLowerCase() === 'readme.md');

const typeName: Readonly<Record<string, string>> = { f32: 'float32', f16: 'float16', bf16: 'bfloat16', f64: 'float64' };

/** The configuration's word for the type of the weights, under the key that it has. */
const withType = (config: Readonly<Record<string, unknown>>, type: string): Record<string, unknown> =>
  ({ ...config, ['dtype' in config ? 'dtype' : 'torch_dtype']: typeName[type] ?? 'float32' });
