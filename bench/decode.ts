/**
 * Tokens per second of a decoder beside llama.cpp's on the same GGUF files: `npm run bench decode`. A Llama of 34 million
 * random weights with a real tokenizer; runs of both alternate, figures are medians (least–most).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import { fastestBuild } from '../src/engine/kernels/lowbit.ts';
import { startTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { openSource } from '../src/jobs/source-node.ts';
import { initialLlama } from '../src/models/llama-init.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';
import { likeliest } from '../src/runtime/sample.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 5);
const [promptTokens, written] = [64, 64];
const folder = await mkdtemp(join(tmpdir(), 'fewbit-decode-'));
const host = await openSource(fileURLToPath(new URL('../assets/host-llama-shakespeare', import.meta.url)));
const model = initialLlama('random', { vocabulary: host.language!.config.vocabSize, hidden: 512, intermediate: 1536, layers: 10, heads: 8, kvHeads: 8, context: 512 }, { seed: 1, tokenizer: host.language!.tokenizer! });
await saveLanguageModel(model, join(folder, 'model'));
await quantize({ model: join(folder, 'model'), to: 'gguf', weights: 'q4_0,q4_k,q8_0', output: folder, verdict: false });
const prompt = Array.from({ length: promptTokens }, (_, i) => (i * 37 + 11) % 900);

interface Speed { readonly prompt: number; readonly decode: number }

async function ours(path: string, threads: number): Promise<{ run(): Promise<Speed>; dispose(): Promise<void> }> {
  const source = await openSource(path);
  const decoder = await LlamaDecoder.open(source.language!.config as LlamaConfig, source.language!.tensors, { context: 512, ...(threads > 1 ? { team: { members: threads, start: startTeam } } : {}) });
  return {
    async run() {
      decoder.rewind(0);
      const started = performance.now();
      let next = likeliest(decoder.feed(prompt));
      const read = performance.now();
      for (let i = 0; i < written; i++) next = likeliest(decoder.feed([next]));
      return { prompt: (1000 * promptTokens) / (read - started), decode: (1000 * written) / (performance.now() - read) };
    },
    async dispose() { decoder.dispose(); await source.close(); },
  };
}

async function theirs(path: string, threads: number): Promise<{ run(): Promise<Speed>; dispose(): Promise<void> }> {
  const llama = await getLlama({ build: 'never', gpu: false, skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error });
  const loaded = await llama.loadModel({ modelPath: path });
  const context = await loaded.createContext({ contextSize: 512, threads });
  const sequence = context.getSequence();
  return {
    async run() {
      await sequence.clearHistory();
      const started = performance.now();
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1) as Token[]);
      const read = performance.now();
      let count = 0;
      for await (const _token of sequence.evaluate([prompt.at(-1)! as Token], { temperature: 0, yieldEogToken: true })) if (++count === written) break;
      return { prompt: (1000 * (promptTokens - 1)) / (read - started), decode: (1000 * count) / (performance.now() - read) };
    },
    async dispose() { await context.dispose(); await loaded.dispose(); await llama.dispose(); },
  };
}

const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const spread = (list: readonly number[]): string => `${sorted(list)[list.length >> 1].toFixed(0)} (${sorted(list)[0].toFixed(0)}–${sorted(list).at(-1)!.toFixed(0)})`;
console.log(`${(model.tensors.size)} tensors, 34 million weights; ${promptTokens} tokens read, ${written} written, ${runs} runs; ${fastestBuild()}`);
for (const type of ['Q4_0', 'Q4_K', 'Q8_0']) {
  const path = join(folder, `model-${type}.gguf`);
  for (const threads of [1, 2]) {
    const both = [await ours(path, threads), await theirs(path, threads)];
    const speeds: Speed[][] = [[], []];
    for (const one of both) await one.run();
    for (let run = 0; run < runs; run++) for (const [i, one] of both.entries()) speeds[i].push(await one.run());
    const ratio = sorted(speeds[0].map(({ decode }, run) => decode / speeds[1][run].decode));
    console.log(`${type} ${threads} thread${threads > 1 ? 's' : ' '}  written: fewbit ${spread(speeds[0].map(({ decode }) => decode))}, llama.cpp native ${spread(speeds[1].map(({ decode }) => decode))} tokens/s, ${ratio[runs >> 1].toFixed(2)} times as fast (${ratio[0].toFixed(2)}–${ratio.at(-1)!.toFixed(2)}); read: ${spread(speeds[0].map((s) => s.prompt))} and ${spread(speeds[1].map((s) => s.prompt))}`);
    for (const one of both) await one.dispose();
  }
}
await host.close();
await rm(folder, { recursive: true });
process.exit(0);
