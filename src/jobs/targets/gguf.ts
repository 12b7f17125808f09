/** GGUF files: one type for all matrices but those that were given their own, as llama.cpp loads it. Columns are weighed by an importance matrix or by what was observed. */
import { ggufFileType, ggufParts, ggufTensorTypes, type GgufTensorType } from '../../export/gguf.ts';
import { writeGguf } from '../../files/gguf-write.ts';
import type { GgufValue } from '../../files/gguf.ts';
import { byteLengthOf, copyTensor, isBlockType, type TensorOut, type TensorType } from '../../tensor-ref.ts';
import { parseFormat } from '../../formats/registry.ts';
import { linearSites } from '../../graph/linear.ts';
import { i32, text } from '../../models/gguf-values.ts';
import { encodeTensor } from '../../round/encode-tensor.ts';
import { keepsFloat } from '../keep.ts';
import { ownWeights } from '../layer-formats.ts';
import type { TensorLine } from '../result.ts';
import type { Scheme } from '../schemes.ts';
import type { QuantizeSettings } from '../settings.ts';
import type { SourceModel } from '../source.ts';
import { withinBudget } from './onnx-plan.ts';
import { committed, type TargetWriter, type WriteContext } from '../target.ts';

export const ggufTarget: TargetWriter = {
  plan: async (model, { scheme }, settings) => {
    const { types } = described(model, scheme, settings);
    const tensors = types.map((type) => lineOf(type, scheme));
    return { tensors: scheme.budget === undefined ? tensors : withinBudget(tensors, openWeights(model, types, scheme), scheme.budget.bits * model.parameters), refusals: types.flatMap(({ tensor, refusal }) => (refusal === undefined ? [] : [`${tensor.name}: ${refusal}`])) };
  },
  async write(context) {
    const { model, spec, settings, pool, progress } = context;
    const allocation = spec.scheme.budget === undefined ? undefined : (await context.apply()).allocation;
    const { parts, types } = described(model, spec.scheme, settings, new Map(allocation?.layers.map(({ id, format }) => [id, typeNamed(format)])));
    const weighed = await importanceOf(context, types);
    const lines = new Map(types.map((type) => [type.tensor.name, lineOf(type, spec.scheme)]));
    let done = 0;
    const outs = types.map(({ tensor, target, fallback }, index): TensorOut => {
      const finished = (stats: { squaredError?: number; sumOfSquares?: number }): void => {
        const line = { ...lines.get(tensor.name)!, ...(isBlockType(target) ? stats : {}) };
        lines.set(tensor.name, line);
        progress.line(told(line, index, types.length, weighed.of(tensor.name) !== undefined && isBlockType(target), fallback));
        progress.advance(++done);
      };
      if (tensor.type === target) return copied(copyTensor(tensor), () => finished({}));
      const importance = weighed.of(tensor.name);
      return encodeTensor(tensor, target, { pool, onDone: finished, ...(importance === undefined ? {} : { importance }) });
    });
    const metadata = new Map([...parts.metadata, ['general.file_type', ggufFileType(types)] as const, ...weighed.metadata]);
    const sink = await context.open(spec.file);
    await committed([sink], () => writeGguf(sink, metadata, outs));
    return { files: [spec.file], tensors: [...lines.values()], histograms: [], notes: [...parts.notes, ...weighed.notes, ...(allocation === undefined ? [] : (await context.apply()).notes)], ...(allocation === undefined ? {} : { allocation }) };
  },
};

/** Types of weights that were given one by themselves, by their names in the model. */
export const ownTypes = ({ layers = [] }: Pick<Scheme, 'layers'>): Map<string, TensorType> => new Map(layers.map(({ weight, format }) => [weight, typeNamed(format)]));

/** Two types share a name with other formats and are spelled with their family there. */
const typeNamed = (format: string): TensorType => format.replace(/^ggml-/, '') as TensorType;

/** Names of tensors whose types are chosen by measurement. */
const openWeights = (model: SourceModel, types: readonly GgufTensorType[], scheme: Scheme): Set<string> => {
  const { budget } = scheme;
  const own = ownWeights(scheme);
  const sites = new Set(linearSites(model.graph).filter(({ rows, cols }) => budget!.formats.some((name) => parseFormat(name, 'ggml').refuses(rows, cols) === undefined)).map(({ id }) => id));
  return new Set(types.flatMap(({ tensor, weight, target }) => (weight !== undefined && sites.has(weight) && !own.has(weight) && isBlockType(target) ? [tensor.name] : [])));
};

function described(model: SourceModel, scheme: Scheme, { keep, allowFallback }: Pick<QuantizeSettings, 'keep' | 'allowFallback'>, chosen: ReadonlyMap<string, TensorType> = new Map()) {
  const parts = ggufParts(model.language!);
  const type = typeNamed(parseFormat(scheme.weights, 'ggml').name);
  return { parts, types: ggufTensorTypes(parts, type, { chosen: new Map([...ownTypes(scheme), ...chosen]), allowFallback, keeps: (weight, name) => keepsFloat(weight, name, keep) }) };
}

const lineOf = ({ tensor, weight, target, fallback, refusal }: GgufTensorType, scheme: Scheme): TensorLine => ({
  name: tensor.name, shape: tensor.shape, source: tensor.type, target, bytesBefore: tensor.byteLength,
  bytesAfter: refusal === undefined ? byteLengthOf(target, tensor.shape, tensor.name) : tensor.byteLength, ...(fallback === undefined ? {} : { fallback }),
  ...(weight !== undefined && fallback === undefined && refusal === undefined && ownWeights(scheme).has(weight) ? { asked: true } : {}),
});

interface Weighed { of(name: string): Float32Array | undefined; readonly metadata: readonly [string, GgufValue][]; readonly notes: readonly string[] }

/** Column weights by GGUF name: of a matrix that was given, or as observed where the recipe wants them. */
async function importanceOf({ settings, spec, imatrix, importance }: WriteContext, types: readonly GgufTensorType[]): Promise<Weighed> {
  if (spec.recipe?.name !== 'importance') return { of: () => undefined, metadata: [], notes: [] };
  const given = await imatrix?.();
  const observed = given === undefined ? await importance() : undefined;
  const entries = given?.entries
    ?? new Map(types.flatMap(({ tensor, weight }) => { const found = weight === undefined ? undefined : observed?.get(weight); return found === undefined ? [] : [[tensor.name, found] as const]; }));
  const without = types.filter(({ tensor, target }) => isBlockType(target) && !entries.has(tensor.name)).map(({ tensor }) => tensor.name);
  return {
    of: (name) => entries.get(name),
    metadata: entries.size === 0 ? [] : [
      // Only the file's name: paths are nobody's business.
      ...(given === undefined ? [] : [['quantize.imatrix.file', text(settings.imatrix!.split(/[\\/]/).at(-1)!)] as [string, GgufValue]]),
      ['quantize.imatrix.entries_count', i32(entries.size)],
      ...(given === undefined ? [] : [['quantize.imatrix.chunks_count', i32(given.chunkCount)] as [string, GgufValue]]),
    ],
    notes: without.length === 0 ? [] : [without.length === 1 ? `${without[0]} has no importance and is rounded with equal weights` : `${without.length} tensors have no importance and are rounded with equal weights, among them ${without[0]}`],
  };
}

/** A copy that tells when its last byte is taken. */
const copied = (out: TensorOut, done: () => void): TensorOut => ({
  ...out,
  async *chunks() {
    yield* out.chunks();
    done();
  },
});

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

/** One line per tensor: `[ 3/57] blk.0.attn_q.weight [256, 256] f32 -> q4_k, 0.25 MiB -> 0.04 MiB, error 7.1 %`. */
function told(line: TensorLine, index: number, total: number, weighed: boolean, fallback: string | undefined): string {
  const { name, shape, source, target, bytesBefore, bytesAfter, squaredError, sumOfSquares } = line;
  const error = squaredError === undefined || sumOfSquares === undefined || !(sumOfSquares > 0) ? '' : `, error ${(100 * Math.sqrt(squaredError / sumOfSquares)).toFixed(2)} %`;
  const counted = `[${String(index + 1).padStart(String(total).length)}/${total}]`;
  return `${counted} ${name} [${shape.join(', ')}] ${source} -> ${target}, ${mebibytes(bytesBefore)} -> ${mebibytes(bytesAfter)}${error}${weighed ? ', weighed' : ''}${fallback === undefined ? '' : ` (${fallback})`}`;
}
