/**
 * Tokens per second of a decoder beside llama.cpp's on the same GGUF files, in Node beside its native build and in Chromium
 * beside wllama, and beside transformers.js on 4- and 8-bit ONNX of the same model: `npm run bench decode`. A Llama of 34
 * million random weights with a real tokenizer.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AutoModelForCausalLM, env, Tensor } from '@huggingface/transformers';
import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import { fastestBuild } from '../src/engine/kernels/lowbit.ts';
import { nodeTeam } from '../src/engine/kernels/lowbit-team-node.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { openSource } from '../src/jobs/source-node.ts';
import { initialLlama } from '../src/models/llama-init.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { openTokenizer } from '../src/models/tokenizer.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';
import { openBrowser } from '../test-browser/browser.ts';
import { workerScript } from '../test-browser/worker-script.ts';
import { ourSpeed, promptOf, promptTokens, race, written, type Contender } from './decode/speed.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 5);
const folder = await mkdtemp(join(tmpdir(), 'fewbit-decode-'));
const host = await openSource(fileURLToPath(new URL('../assets/host-llama-shakespeare', import.meta.url)));
const tokenizer = host.language!.tokenizer!;
const model = initialLlama('random', { vocabulary: host.language!.config.vocabSize, hidden: 512, intermediate: 1536, layers: 10, heads: 8, kvHeads: 8, context: 512 }, { seed: 1, tokenizer });
await saveLanguageModel(model, join(folder, 'model'));
await quantize({ model: join(folder, 'model'), to: 'gguf', weights: 'q4_0,q4_k,q8_0', output: folder, verdict: false });
const { outputs } = await quantize({ model: join(folder, 'model'), to: 'transformers.js', weights: ['q4', 'q8'], recipe: ['rtn'], output: join(folder, 'folders'), verdict: false, allowFallback: true });
const types = ['Q4_0', 'Q4_K', 'Q8_0'] as const;
const pathOf = (type: string): string => join(folder, `model-${type}.gguf`);

async function ours(path: string, threads: number): Promise<Contender> {
  const source = await openSource(path);
  const decoder = await LlamaDecoder.open(source.language!.config as LlamaConfig, source.language!.tensors, { context: 512, ...(threads > 1 ? { team: nodeTeam(threads) } : {}) });
  return {
    name: 'fewbit',
    run: async (turn) => ourSpeed(decoder, turn),
    async dispose() { decoder.dispose(); await source.close(); },
  };
}

async function native(path: string, threads: number): Promise<Contender> {
  const llama = await getLlama({ build: 'never', gpu: false, skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error });
  const loaded = await llama.loadModel({ modelPath: path });
  const context = await loaded.createContext({ contextSize: 512, threads });
  const sequence = context.getSequence();
  return {
    name: 'node-llama-cpp, native',
    async run(turn) {
      const prompt = promptOf(turn) as Token[];
      await sequence.clearHistory();
      const started = performance.now();
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
      const read = performance.now();
      let count = 0;
      for await (const _token of sequence.evaluate([prompt.at(-1)!], { temperature: 0, yieldEogToken: true })) if (++count === written) break;
      return { prompt: (1000 * (promptTokens - 1)) / (read - started), decode: (1000 * count) / (performance.now() - read) };
    },
    async dispose() { await context.dispose(); await loaded.dispose(); await llama.dispose(); },
  };
}

/** On ONNX Runtime's native build, which is what the package takes in Node. */
async function transformers(dtype: 'q4' | 'q8', threads: number): Promise<Contender> {
  env.allowRemoteModels = false;
  env.localModelPath = join(folder, 'folders');
  const loaded = await AutoModelForCausalLM.from_pretrained(outputs[0].file.split('/')[0], { dtype, session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 } });
  const generate = async (turn: number, tokens: number): Promise<number> => {
    const ids = promptOf(turn).map(BigInt);
    const inputs = { input_ids: new Tensor('int64', ids, [1, ids.length]), attention_mask: new Tensor('int64', ids.map(() => 1n), [1, ids.length]) };
    const started = performance.now();
    await loaded.generate({ ...inputs, max_new_tokens: tokens, min_new_tokens: tokens, do_sample: false });
    return performance.now() - started;
  };
  return {
    name: `transformers.js ${dtype}, native`,
    async run(turn) {
      const [read, all] = [await generate(turn, 1), await generate(turn, written + 1)];
      return { prompt: (1000 * promptTokens) / read, decode: (1000 * written) / (all - read) };
    },
    dispose: async () => void await loaded.dispose(),
  };
}

console.log(`${(model.tensors.size)} tensors, 34 million weights; ${promptTokens} tokens read, ${written} written, ${runs} runs\n\nNode ${process.version}, ${fastestBuild()}`);
for (const type of types) {
  for (const threads of [1, 2]) {
    const contenders = [await ours(pathOf(type), threads), await native(pathOf(type), threads), await transformers(type === 'Q8_0' ? 'q8' : 'q4', threads)];
    console.log([`${type}, ${threads} thread${threads > 1 ? 's' : ''}`, ...await race(contenders, runs)].join('\n'));
    for (const one of contenders) await one.dispose();
  }
}

const files = new Map<string, Uint8Array>([
  ['made/worker.js', await workerScript()],
  ['made/wllama.wasm', await readFile(fileURLToPath(new URL('../node_modules/@wllama/wllama/esm/wasm/wllama.wasm', import.meta.url)))],
]);
for (const type of types) files.set(`made/${type}.gguf`, await readFile(pathOf(type)));
const prompts = Array.from({ length: runs + 1 }, (_, turn) => openTokenizer(tokenizer).decode(promptOf(turn)));
/** A page that does not answer, on a machine with more work than cores, must not keep the others from running. */
const patience = 300_000;
const tooLong = (): Promise<string[]> => new Promise((resolve) => { setTimeout(resolve, patience, [`  no answer within ${patience / 60_000} minutes`]); });
console.log('\nChromium');
for (const type of types) {
  for (const threads of [1, 2]) {
    const browser = await openBrowser('bench/decode/page.ts', { files });
    const lines = await Promise.race([browser.call<string[]>('lines', `/made/${type}.gguf`, threads, runs, prompts), tooLong()]);
    console.log([`${type}, ${threads} thread${threads > 1 ? 's' : ''}`, ...lines].join('\n'));
    await browser.close().catch(() => {});
  }
}
await host.close();
await rm(folder, { recursive: true });
process.exit(0);
