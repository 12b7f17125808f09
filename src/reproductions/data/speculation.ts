/** A language model and its draft, as floats and in 4 bits; prompts from held-out text; and a wide model of random weights, whose times are those of real sizes. */
import { nodeTeam } from '../../engine/kernels/lowbit-team-node.ts';
import { openLanguageModel, type LanguageModel } from '../../models/language-model.ts';
import { readLlamaConfig, type LlamaConfig } from '../../models/llama-config.ts';
import { llamaConfig } from '../../models/llama-init.ts';
import { llamaShapes } from '../../models/llama-weights.ts';
import { openTokenizer } from '../../models/tokenizer.ts';
import { normal, randomInteger } from '../../numeric/random.ts';
import { LlamaDecoder } from '../../runtime/llama-decoder.ts';
import { inBlocks } from '../../runtime/text-model.ts';
import { floatTensor, type TensorRef } from '../../tensor-ref.ts';
import { processorTime } from '../in-turns.ts';
import { openFolder, own, readText } from './own-node.ts';

/** Float weights, or codes of 4 bits with a scale per 32 of them (Q4_0). */
export type Weights = 'float' | 'W4';
export const weightKinds: readonly Weights[] = ['float', 'W4'];

export interface SpeculationHost {
  target(weights: Weights): Promise<LlamaDecoder>;
  draft(weights: Weights): Promise<LlamaDecoder>;
  /** So many prompts of `tokens` held-out tokens at places drawn by the seed. */
  prompts(count: number, tokens: number, seed: number): readonly (readonly number[])[];
  /** Of the processor with one thread, of the clock with more. */
  milliseconds(): number;
  close(): Promise<void>;
}

const opened = (config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, weights: Weights, threads: number, context?: number): Promise<LlamaDecoder> =>
  LlamaDecoder.open(config, weights === 'float' ? tensors : new Map([...tensors].map(([name, tensor]) => [name, inBlocks(tensor, 'q4_0')])), {
    ...(context === undefined ? {} : { context }), ...(threads > 1 ? { team: nodeTeam(threads) } : {}),
  });

export async function openSpeculationHost(threads: number): Promise<SpeculationHost> {
  const [target, draft] = await Promise.all(['host-llama-shakespeare', 'draft-llama-shakespeare'].map(async (name) => openLanguageModel(await openFolder(own(name)))));
  const heldout = openTokenizer(target.tokenizer!).encode(await readText(own('shakespeare/heldout.txt')));
  const open = (model: LanguageModel, weights: Weights): Promise<LlamaDecoder> => opened(model.config as LlamaConfig, model.tensors, weights, threads);
  return {
    target: (weights) => open(target, weights),
    draft: (weights) => open(draft, weights),
    prompts: (count, tokens, seed) => Array.from({ length: count }, (_, i) => {
      const at = randomInteger(seed, 40, i, heldout.length - tokens);
      return heldout.slice(at, at + tokens);
    }),
    milliseconds: () => (threads > 1 ? performance.now() : processorTime()),
    close: async () => { await Promise.all([target.close(), draft.close()]); },
  };
}

/** Width 2048, so that the weights of a layer pass through the caches of a processor with every token. */
export const wideSize = { vocabulary: 1024, hidden: 2048, intermediate: 5632, layers: 3, heads: 16, kvHeads: 4, context: 128 } as const;

export function openWide(weights: Weights, threads: number): Promise<LlamaDecoder> {
  const config = readLlamaConfig(llamaConfig(wideSize));
  // Times do not depend on values: all matrices show the same ones.
  const some = Float32Array.from({ length: wideSize.intermediate * 64 }, (_, i) => 0.02 * normal(0, 41, i));
  const tensors = [...llamaShapes(config)].map(([name, shape]): [string, TensorRef] => {
    const values = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
    for (let at = 0; at < values.length; at += some.length) values.set(some.subarray(0, Math.min(some.length, values.length - at)), at);
    return [name, floatTensor(name, shape, values)];
  });
  return opened(config, new Map(tensors), weights, threads, wideSize.context);
}
