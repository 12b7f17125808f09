/** In the page: kernels and decoders of the low-bit engine on WebGPU. */
import { Gpu, type GpuAbilities } from '../../src/engine/webgpu/gpu.ts';
import { likeliest, LlamaDecoder, memorySource, openGgufLanguageModel, openTextModel, openUrl } from '../../src/runtime/index.ts';
import { WebGpuDecoder, type WebGpuOptions } from '../../src/runtime/webgpu-decoder.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { checkKernels, type Case, type parts } from './webgpu-suite.ts';

/** Undefined where the browser offers an adapter, else what is missing. */
export const missing = (): Promise<string | undefined> => Gpu.open().then((gpu) => { gpu.dispose(); return undefined; }, (error: Error) => error.message);

export async function kernels(names: (keyof typeof parts)[], without: (keyof GpuAbilities)[]): Promise<Case[]> {
  const gpu = await Gpu.open({ without });
  try {
    return await checkKernels(gpu, names);
  } finally {
    gpu.dispose();
  }
}

export interface Compared { readonly apart: number; readonly tokens: readonly number[]; readonly cpuTokens: readonly number[]; readonly all: number }

/** Logits after a prompt and after each of some greedy tokens beside those of the CPU: the farthest pair. */
export async function compare(path: string, prompt: number[], count: number, options: WebGpuOptions): Promise<Compared> {
  const model = await openGgufLanguageModel(await openUrl(new URL(path, location.origin).href));
  const config = model.config as LlamaConfig;
  const cpu = await LlamaDecoder.open(config, model.tensors, { context: 128 });
  const decoder = await WebGpuDecoder.open(config, model.tensors, { context: 128, ...options });
  const far = (a: Float32Array, b: Float32Array): number => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);
  let [a, b] = [cpu.feed(prompt), await decoder.feed(prompt)];
  let apart = far(a, b);
  const [tokens, cpuTokens]: [number[], number[]] = [[], []];
  for (let i = 0; i < count; i++) {
    tokens.push(likeliest(b));
    cpuTokens.push(likeliest(a));
    [a, b] = [cpu.feed([cpuTokens[i]]), await decoder.feed([cpuTokens[i]])];
    apart = Math.max(apart, far(a, b));
  }
  // Taken back, and read again with the logits after each token.
  cpu.rewind(3);
  decoder.rewind(3);
  const all = far(cpu.feed(prompt.slice(3, 7), { all: true }), await decoder.feed(prompt.slice(3, 7), { all: true }));
  cpu.dispose();
  decoder.dispose();
  await model.close();
  return { apart, tokens, cpuTokens, all };
}

/** What a model writes greedily on a device. */
export async function written(path: string, device: 'cpu' | 'webgpu'): Promise<string> {
  const bytes = new Uint8Array(await (await fetch(new URL(path, location.origin))).arrayBuffer());
  const language = await openGgufLanguageModel(memorySource(path, bytes));
  const model = await openTextModel(language, { context: 128, device });
  if (model.device !== device) throw new Error(`ran on ${model.device}`);
  let text = '';
  for await (const piece of model.write('ROMEO:\n', { maxTokens: 16 })) text += piece;
  model.dispose();
  return text;
}

/** The same in a worker. */
export async function inWorker(path: string): Promise<string> {
  const script = `import(${JSON.stringify(`${location.origin}/entry.js`)}).then(async ({ written }) => postMessage(await written(${JSON.stringify(new URL(path, location.origin).href)}, 'webgpu')), (error) => postMessage(error.message))`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data as string);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
  } finally {
    worker.terminate();
  }
}

/** What a feed says after its device was destroyed by others. */
export async function afterLoss(path: string): Promise<string> {
  const model = await openGgufLanguageModel(await openUrl(new URL(path, location.origin).href));
  const gpu = await Gpu.open();
  const decoder = await WebGpuDecoder.open(model.config as LlamaConfig, model.tensors, { context: 64, gpu });
  const feeding = decoder.feed([1, 2, 3]);
  gpu.device.destroy();
  return feeding.then(() => decoder.feed([4])).then(() => 'fed', (error: Error) => error.message);
}

/** A model asked for WebGPU in a place without it: where it runs, and why. */
export async function fallenBack(path: string): Promise<{ device: string; reason: string }> {
  const language = await openGgufLanguageModel(await openUrl(new URL(path, location.origin).href));
  let reason = '';
  const model = await openTextModel(language, { context: 64, device: 'webgpu', webgpu: { adapters: null }, onFallback: (given) => { reason = given; } });
  model.dispose();
  await language.close();
  return { device: model.device, reason };
}

/** What opening says where there is no WebGPU at all. */
export const withoutWebGpu = (): Promise<string> => Gpu.open({ gpu: null }).then(() => 'opened', (error: Error) => error.message);
