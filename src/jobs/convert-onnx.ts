/** To ONNX: a language model as a float graph, or an ONNX graph with its tensors inside of the file or beside it. */
import { exportHalf } from '../export/onnx-half.ts';
import { openOnnxModel, writeOnnx } from '../files/onnx.ts';
import { copyTensor, type TensorOut, type TensorRef } from '../tensor-ref.ts';
import type { Graph } from '../graph/graph.ts';
import { openGgufLanguageModel } from '../models/gguf-model.ts';
import { isStateSpace, openLanguageModel } from '../models/language-model.ts';
import { encodeTensor } from '../round/encode-tensor.ts';
import type { Pool } from '../round/pool.ts';
import { convertErrors as errors } from './convert-errors.ts';
import type { Stored } from './convert-source-node.ts';
import { withoutType } from './convert-tensors.ts';
import type { ConvertedTensor, ConvertSettings, Prepared } from './convert.ts';
import { modern } from './recipe-runner.ts';
import { isLarge } from './targets/onnx.ts';

interface Content {
  readonly graph: Graph;
  /** Types as stored, by the name that a weight has in the graph. */
  sourceType(name: string): TensorRef['type'] | undefined;
  readonly notes: readonly string[];
  readonly reads?: readonly string[];
  close(): Promise<void>;
}

export async function prepareOnnx(stored: Stored, settings: ConvertSettings, pool: Pool): Promise<Prepared> {
  const { type } = settings;
  if (type === 'bf16') throw errors.onnxType({ type });
  const content = await contentOf(stored, settings);
  const { graph: float, sourceType, close } = content;
  try {
    const half = type === 'f16' ? await exportHalf(float) : undefined;
    const graph = half?.graph ?? float;
    const external = settings.externalData ?? isLarge(graph);
    const original = (name: string): string => (half === undefined || float.weights.has(name) ? name : name.replace(/_half$/, ''));
    const tensors = new Map([...graph.weights].map(([name, weight]): [string, ConvertedTensor] =>
      [name, { name, shape: weight.shape, source: sourceType(original(name)) ?? weight.type, target: weight.type }]));
    const bytes = [...graph.weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    return {
      defaultName: `${withoutType(stored.name)}-${type === 'f16' ? 'fp16' : stored.kind === 'onnx' ? (external ? 'external' : 'single') : 'fp32'}.onnx`,
      files: (name) => (external ? [{ path: `${name}_data`, bytes }, { path: name, bytes: 0 }] : [{ path: name, bytes }]),
      tensors: [...tensors.values()], notes: content.notes, reads: content.reads ?? [], close,
      write: async (sinks, name, progress) => {
        let count = 0;
        const weights = new Map([...graph.weights].map(([id, weight]) => [id, written(weight, half === undefined ? undefined : float.weights.get(original(id)), pool, (error) => {
          tensors.set(id, { ...tensors.get(id)!, error });
          progress.advance(++count);
        })]));
        await writeOnnx({ ...graph, weights }, sinks.at(-1)!, external ? { external: { location: `${name}_data`, sink: sinks[0] } } : {});
        // Weights that are not half of one of the same name: what was clipped is known once they are read.
        const clipped = half?.notes.find(({ kind }) => kind === 'overflow');
        if (clipped !== undefined) throw errors.overflow({ what: clipped.text });
        return [...tensors.values()];
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function contentOf(stored: Stored, { type }: ConvertSettings): Promise<Content> {
  const { kind, name, source, folder } = stored;
  if (kind === 'imatrix') throw errors.move({ name, kind, to: 'onnx' });
  if (kind === 'onnx') {
    const model = await openOnnxModel(source!, folder);
    const close = async () => { await model.close(); await source!.close(); };
    const other = [...model.graph.weights.values()].find((weight) => weight.type === 'f16' || weight.type === 'bf16');
    if (type === 'f32' && other !== undefined) {
      await close();
      throw errors.onnxKeeps({ name: stored.name, type });
    }
    const graph = type === 'f16' ? await modern(model.graph) : model.graph;
    return { graph, sourceType: (weight) => graph.weights.get(weight)?.type, close, reads: model.externalFiles, notes: type === 'f16' ? ['the graph is brought to operator set 21 first'] : [] };
  }
  if (kind === 'huggingface' && (source !== undefined || !(await folder!.has('config.json')))) throw errors.noConfig({ name });
  const model = kind === 'gguf' ? await openGgufLanguageModel(source!, folder) : await openLanguageModel(folder!);
  const low = model.lowBit.length;
  return {
    graph: model.graph({ cache: true }), close: model.close,
    sourceType: (weight) => model.tensors.get(weight)?.type,
    notes: [
      isStateSpace(model.config) ? 'for whole sequences, each from an empty state; the tokenizer stays where it is' : 'with a key/value cache, as transformers.js names its inputs; the tokenizer stays where it is',
      ...(low === 0 ? [] : [`${low} low-bit weights are decoded; what rounding took from them stays lost`]),
    ],
  };
}

/** The weight on its way into the file: copied, or encoded tile by tile from the float32 that it is half of. */
function written(weight: TensorRef, float: TensorRef | undefined, pool: Pool, done: (error: number) => void): TensorRef & Pick<TensorOut, 'chunks'> {
  if (float?.type === 'f32' && weight.type === 'f16') {
    const finished = (stats: { squaredError: number; sumOfSquares: number }): void => done(stats.squaredError === 0 ? 0 : Math.sqrt(stats.squaredError / stats.sumOfSquares));
    return { ...weight, chunks: encodeTensor(float, 'f16', { pool, onDone: finished }).chunks };
  }
  return {
    ...weight,
    async *chunks() {
      yield* copyTensor(weight).chunks();
      done(0);
    },
  };
}
