/** llama.cpp with keys and values in float32 and plain attention: what it rounds then is what enters matrices, and nothing else. */
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

/** Sampling switched off: the distribution as the model gives it. */
const plain = { temperature: 1, topK: 0, topP: 1, minP: 0 };

/** ln p of every next token after every position of every window, [windows, tokens, vocabulary]; windows know nothing of each other. */
export async function exactLogProbabilities(path: string, windows: readonly (readonly number[])[], vocabulary: number): Promise<Float64Array> {
  const llama = await getLlama({ build: 'never', gpu: false, skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error });
  try {
    const model = await llama.loadModel({ modelPath: path });
    const length = windows[0].length;
    const context = await model.createContext({
      contextSize: length + 1, threads: 1, flashAttention: false, experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
    });
    const sequence = context.getSequence();
    const out = new Float64Array(windows.length * length * vocabulary);
    for (const [w, ids] of windows.entries()) {
      await sequence.clearHistory();
      const steps = await sequence.controlledEvaluate(ids.map((id) => [id as never, { generateNext: { probabilities: true, options: plain } }]));
      steps.forEach((step, position) => {
        for (const [token, probability] of step?.next.probabilities ?? []) out[(w * length + position) * vocabulary + (token as number)] = Math.log(probability);
      });
    }
    return out;
  } finally {
    await llama.dispose();
  }
}
