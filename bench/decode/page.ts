/** Our decoder and wllama in one page, on the same file: `lines` is called from outside. */
import { Wllama, LoggerWithoutDebug } from '@wllama/wllama';
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { memorySource } from '../../src/files/source.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';
import { moduleWorker } from '../../test-browser/shared/page-worker.ts';
import { ourSpeed, race, written, type Contender } from './speed.ts';

async function ours(bytes: Uint8Array<ArrayBuffer>, threads: number): Promise<Contender> {
  const model = await openGgufLanguageModel(memorySource('model.gguf', bytes));
  const worker = await moduleWorker('/made/worker.js');
  const decoder = await LlamaDecoder.open(model.config as LlamaConfig, model.tensors, {
    context: 512, ...(threads > 1 ? { team: workerTeam(threads, worker) } : {}),
  });
  return { name: 'fewbit', run: async (turn) => ourSpeed(decoder, turn), dispose: async () => decoder.dispose() };
}

/** llama.cpp's own timings, which leave out what its wrapper does. */
async function theirs(bytes: Uint8Array<ArrayBuffer>, threads: number, prompts: readonly string[]): Promise<Contender> {
  const wasm = URL.createObjectURL(new Blob([await (await fetch('/made/wllama.wasm')).arrayBuffer()], { type: 'application/wasm' }));
  const wllama = new Wllama({ default: wasm }, { logger: LoggerWithoutDebug, suppressNativeLog: true });
  await wllama.loadModel([new Blob([bytes])], { n_ctx: 512, n_threads: threads, n_gpu_layers: 0 });
  return {
    name: `wllama, llama.cpp in WASM${wllama.isMultithread() ? '' : ', no threads'}`,
    async run(turn) {
      const { timings } = await wllama.createCompletion({ prompt: prompts[turn], max_tokens: written, temperature: 0, ignore_eos: true });
      return { prompt: timings!.prompt_per_second, decode: timings!.predicted_per_second };
    },
    dispose: () => wllama.exit(),
  };
}

export async function lines(path: string, threads: number, runs: number, prompts: readonly string[]): Promise<string[]> {
  const bytes = new Uint8Array(await (await fetch(path)).arrayBuffer());
  const contenders = [await ours(bytes, threads), await theirs(bytes, threads, prompts)];
  const table = await race(contenders, runs);
  for (const one of contenders) await one.dispose();
  return table;
}
