/** GGUF files for tests: a model as it is, or in one type, in a folder that goes away. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { ggufFileType, ggufParts, ggufTensorTypes } from '../../src/export/gguf.ts';
import { fileSink } from '../../src/files/fs-node.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import type { TensorType } from '../../src/tensor-ref.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import { encodeTensor } from '../../src/round/encode-tensor.ts';
import { inlinePool } from '../../src/round/pool.ts';

export async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-gguf-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Writes the model in one type; gives the path. */
export async function ggufFile(model: LanguageModel, folder: string, type: TensorType): Promise<string> {
  const path = join(folder, `${model.name}-${type}.gguf`);
  const parts = ggufParts(model);
  const types = ggufTensorTypes(parts, type);
  const sink = await fileSink(path);
  await writeGguf(sink, new Map([...parts.metadata, ['general.file_type', ggufFileType(types)]]), types.map(({ tensor, target }) => encodeTensor(tensor, target, { pool: inlinePool() })));
  await sink.commit();
  return path;
}

export function softmax(row: Float32Array): Float64Array {
  const top = row.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(row, (logit) => Math.exp(logit - top));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Largest difference of two next-token distributions, and half their summed difference as a mean over positions. */
export function distance(a: Float32Array, b: Float32Array, vocabulary: number): { max: number; mean: number } {
  let [max, sum] = [0, 0];
  for (let at = 0; at < a.length; at += vocabulary) {
    const [p, q] = [softmax(a.subarray(at, at + vocabulary)), softmax(b.subarray(at, at + vocabulary))];
    p.forEach((value, i) => {
      const difference = Math.abs(value - q[i]);
      max = Math.max(max, difference);
      sum += difference / 2;
    });
  }
  return { max, mean: (sum * vocabulary) / a.length };
}

/** Sampling switched off: the distribution as the model gives it. */
const plain = { temperature: 1, topK: 0, topP: 1, minP: 0 };

const llama = getLlama({ build: 'never', gpu: false, skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error });
after(async () => (await llama).dispose());

/** llama.cpp with keys and values kept in float32, so that nothing but the weights' own arithmetic is left to differ. */
export async function withLlama<T>(path: string, work: (llama: { logits(ids: readonly number[]): Promise<Float32Array>; tokenize(text: string): readonly number[] }) => Promise<T>): Promise<T> {
  const model = await (await llama).loadModel({ modelPath: path });
  try {
    const tokens = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
    const context = await model.createContext({
      contextSize: 512, threads: 1, flashAttention: false, experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
    });
    const sequence = context.getSequence();
    return await work({
      tokenize: (text) => model.tokenize(text) as unknown as number[],
      async logits(ids) {
        await sequence.clearHistory();
        const steps = await sequence.controlledEvaluate(ids.map((id) => [id as never, { generateNext: { probabilities: true, options: plain } }]));
        const logits = new Float32Array(ids.length * tokens).fill(-Infinity);
        steps.forEach((step, position) => {
          for (const [token, probability] of step?.next.probabilities ?? []) logits[position * tokens + (token as number)] = Math.log(probability);
        });
        return logits;
      },
    });
  } finally {
    await model.dispose();
  }
}
