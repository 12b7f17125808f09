/** To GGUF: of a Hugging Face folder, or of a GGUF model of any architecture, whose metadata stay; in one file or several. */
import { ggufFileType, ggufParts, ggufTensorTypes } from '../export/gguf.ts';
import { openGgufFiles, parseSplitName, splitName, writeGgufFiles } from '../files/gguf-split.ts';
import type { GgufValue } from '../files/gguf.ts';
import { tensorParts } from '../files/tensor-parts.ts';
import { byteLengthOf, isBlockType, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { isGgmlType } from '../formats/ggml/index.ts';
import { isFloatType } from '../graph/values.ts';
import { openLanguageModel } from '../models/language-model.ts';
import type { Pool } from '../round/pool.ts';
import { convertErrors as errors } from './convert-errors.ts';
import type { Stored } from './convert-source-node.ts';
import { mainType, movedTensors, plannedTensor, withoutType, type TensorMove } from './convert-tensors.ts';
import type { ConvertSettings, FloatType, Prepared } from './convert.ts';

interface Content {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly moves: readonly TensorMove[];
  readonly notes: readonly string[];
  close(): Promise<void>;
}

export async function prepareGguf(stored: Stored, settings: ConvertSettings, limit: number, pool: Pool): Promise<Prepared> {
  const { metadata, moves, notes, close } = stored.kind === 'gguf' ? await ofGguf(stored, settings.type) : await ofFolder(stored, settings.type);
  const sized = moves.map((move) => ({ ...move, byteLength: byteLengthOf(move.target, move.tensor.shape, move.tensor.name) }));
  const parts = tensorParts(sized, limit);
  return {
    defaultName: `${withoutType(stored.name)}-${mainType(moves).toUpperCase()}.gguf`,
    files: (name) => {
      const stem = parseSplitName(name)?.stem ?? name.replace(/\.gguf$/i, '');
      return parts.map((part, index) => ({
        path: parts.length === 1 ? name : splitName(stem, index, parts.length), bytes: part.reduce((sum, { byteLength }) => sum + byteLength, 0),
      }));
    },
    tensors: moves.map(plannedTensor), notes, close,
    write: async (sinks, _name, progress) => {
      const { outs, done } = movedTensors(moves, pool, progress);
      await writeGgufFiles(sinks, metadata, tensorParts(outs, limit));
      return done();
    },
  };
}

async function ofFolder({ kind, name, folder, source }: Stored, type: FloatType | undefined): Promise<Content> {
  if (kind !== 'huggingface') throw errors.move({ name, kind, to: 'gguf' });
  if (folder === undefined || source !== undefined || !(await folder.has('config.json'))) throw errors.noConfig({ name });
  const model = await openLanguageModel(folder);
  try {
    const parts = ggufParts(model);
    const types = type === undefined
      ? parts.tensors.map((each) => ({ ...each, target: each.weight === undefined || each.tensor.shape.length < 2 ? 'f32' as const : keptType(each.tensor) }))
      : ggufTensorTypes(parts, type);
    const decoded = model.lowBit.length === 0 ? [] : [`${model.lowBit.length} low-bit weights of the folder are decoded`];
    return {
      metadata: new Map([...parts.metadata, ['general.file_type', ggufFileType(types)]]),
      moves: types.map(({ tensor, target }) => ({ tensor, target })), notes: [...decoded, ...parts.notes], close: model.close,
    };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Engines compute with no wider type than float32. */
const keptType = ({ type }: TensorRef): TensorType => (type === 'f64' ? 'f32' : type);

async function ofGguf({ source, folder }: Stored, type: FloatType | undefined): Promise<Content> {
  const { metadata, tensors, close } = await openGgufFiles(source!, folder);
  try {
    const moves = ggufMoves([...tensors.values()], type);
    const changed = moves.some(({ tensor, target }) => tensor.type !== target);
    return {
      // The writer aligns to the default; notes about an earlier rounding are no longer true of floats.
      metadata: new Map([...metadata].filter(([key]) => key !== 'general.alignment' && !(changed && key.startsWith('quantize.')))
        .map(([key, value]) => [key, changed && key === 'general.file_type' ? ggufFileType(moves.map((move) => ({ ...move, weight: move.tensor.name }))) : value])),
      moves, close, notes: [],
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * What a change of type means for a file of any architecture: low-bit and float tensors take it, those of one dimension and those that
 * a file of other types holds in float32 keep that, because whoever made the file left them so on purpose.
 */
function ggufMoves(tensors: readonly TensorRef[], type: FloatType | undefined): TensorMove[] {
  const mixed = tensors.some((tensor) => tensor.shape.length > 1 && tensor.type !== 'f32');
  return tensors.map((tensor) => {
    if (type === undefined || !(isBlockType(tensor.type) || isFloatType(tensor.type))) return { tensor, target: tensor.type };
    if (isBlockType(tensor.type) && !isGgmlType(tensor.type)) throw errors.type({ name: tensor.name, type: tensor.type });
    return { tensor, target: tensor.type === 'f32' && (mixed || tensor.shape.length < 2) ? 'f32' : type };
  });
}
