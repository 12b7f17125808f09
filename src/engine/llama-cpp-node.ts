/**
 * llama.cpp as an engine for GGUF files, through the optional peer `node-llama-cpp`: what a GGUF file
 * does where it will be loaded. A session takes `input_ids` [1, T] and gives `logits` [1, T, vocabulary].
 */
import { existsSync } from 'node:fs';
import { defineErrors } from '../errors.ts';
import type { Engine, Session } from './session.ts';
import { f32, type Tensor } from './tensor.ts';

const errors = defineErrors('llama.cpp', {
  missing: (_: Record<string, never>) => ['node-llama-cpp is not installed', 'npm install node-llama-cpp, or judge without llama.cpp'],
  notLoaded: (f: { model: string; reason: string }) => `${f.model} does not load in llama.cpp: ${f.reason}`,
  needsPath: (_: Record<string, never>) => 'llama.cpp reads files, not bytes in memory',
  missingInput: (_: Record<string, never>) => 'llama.cpp needs input_ids of shape [1, tokens]',
});

/** Sampling switched off: the distribution as the model gives it. */
const plainDistribution = { temperature: 1, topK: 0, topP: 1, minP: 0 };

async function loadPeer() {
  try {
    return await import('node-llama-cpp');
  } catch {
    throw errors.missing({});
  }
}

/** Whether the peer is there; says nothing about any model. */
export async function hasLlamaCpp(): Promise<boolean> {
  return loadPeer().then(() => true, () => false);
}

export const llamaCpp: Engine = {
  name: 'llama.cpp',
  async open(model, options = {}): Promise<Session> {
    if (!('path' in model)) throw errors.needsPath({});
    const { path } = model;
    if (!existsSync(path)) throw errors.notLoaded({ model: path, reason: 'no such file' });
    const peer = await loadPeer();
    const messages: string[] = [];
    const llama = await peer.getLlama({
      build: 'never', gpu: false, skipDownload: true, progressLogs: false,
      logLevel: peer.LlamaLogLevel.error, logger: (_level, message) => { messages.push(message.trim()); },
    });
    let loaded;
    try {
      loaded = await llama.loadModel({ modelPath: path, useMmap: true });
    } catch (error) {
      await llama.dispose();
      const reason = messages.find((message) => message !== '') ?? (error instanceof Error ? error.message : String(error));
      throw errors.notLoaded({ model: path, reason: reason.split('\n')[0] });
    }
    // One place more than windows have tokens: when the last one is full, the first tokens are dropped before the last is seen.
    const context = await loaded.createContext({ contextSize: Math.min(loaded.trainContextSize, 4096) + 1, threads: options.threads ?? 1 });
    const sequence = context.getSequence();
    const vocabulary = loaded.fileInfo.metadata.tokenizer?.ggml?.tokens?.length ?? 0;
    return {
      inputs: [{ name: 'input_ids', type: 'i64', shape: [1, 'sequence'] }],
      outputs: [{ name: 'logits', type: 'f32', shape: [1, 'sequence', vocabulary] }],
      /** With an empty list of fetches the tokens are evaluated and no probability is read: what timing wants. */
      async run(feeds, fetches): Promise<Record<string, Tensor>> {
        const ids = feeds.input_ids;
        if (ids === undefined || ids.shape.length !== 2 || ids.shape[0] !== 1) throw errors.missingInput({});
        const tokens = Array.from(ids.data as BigInt64Array, Number);
        await sequence.clearHistory();
        if (fetches?.length === 0) {
          await sequence.evaluateWithoutGeneratingNewTokens(tokens as never);
          return {};
        }
        const steps = await sequence.controlledEvaluate(tokens.map((token) => [
          token as never, { generateNext: { probabilities: true, options: plainDistribution } },
        ]));
        const logits = new Float32Array(tokens.length * vocabulary).fill(Math.log(1e-38));
        steps.forEach((step, position) => {
          for (const [token, probability] of step?.next.probabilities ?? []) {
            if (probability > 1e-38) logits[position * vocabulary + (token as number)] = Math.log(probability);
          }
        });
        return { logits: f32([1, tokens.length, vocabulary], logits) };
      },
      async dispose() {
        await context.dispose();
        await loaded.dispose();
        await llama.dispose();
      },
    };
  },
};
