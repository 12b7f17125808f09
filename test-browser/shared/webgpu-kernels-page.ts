/** In the page: kernels and decoders of the low-bit engine on WebGPU. */
import { readFloats } from '../../src/files/values.ts';
import { Gpu, type GpuAbilities } from '../../src/engine/webgpu/gpu.ts';
import type { InputKind } from '../../src/engine/webgpu/inputs.ts';
import { likeliest, LlamaDecoder, memorySource, openGgufLanguageModel, openOnnxFolder, openTextModel, openUrl, urlFolder, type Folder, type TextModel } from '../../src/runtime/index.ts';
import { WebGpuDecoder } from '../../src/runtime/webgpu-decoder.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import type { Case } from './webgpu-cases.ts';
import { checkKernels, type parts } from './webgpu-suite.ts';

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

/**
 * Farthest logits: of WebGPU from the CPU with the same rounding, and with none; and of the CPU's own two from each other.
 * Bytes of all weights on the device, and of the same weights as floats.
 */
export interface Compared { readonly rounded: number; readonly exact: number; readonly rounding: number; readonly tokens: readonly number[]; readonly cpuTokens: readonly number[]; readonly bytes: number; readonly floats: number }

/** Logits after a prompt and after each of some greedy tokens, taken back and read again, on both. */
export async function compare(path: string, prompt: number[], count: number): Promise<Compared> {
  const model = await openGgufLanguageModel(await openUrl(new URL(path, location.origin).href));
  const config = model.config as LlamaConfig;
  // The same weights as floats: products on the CPU then round no inputs.
  const floats = new Map(await Promise.all([...model.tensors].map(async ([name, tensor]) => [name, floatTensor(name, [...tensor.shape], await readFloats(tensor))] as const)));
  const gpu = await Gpu.open();
  const context = 64;
  const [cpu, cpuExact] = [await LlamaDecoder.open(config, model.tensors, { context }), await LlamaDecoder.open(config, floats, { context })];
  const opened = async (tensors: LanguageModel['tensors'], inputs: InputKind): Promise<readonly [decoder: WebGpuDecoder, bytes: number]> => {
    const before = gpu.bytes;
    return [await WebGpuDecoder.open(config, tensors, { context, gpu, inputs }), gpu.bytes - before];
  };
  const [[device], [deviceExact, taken], [, takenByFloats]] = [await opened(model.tensors, 'rounded'), await opened(model.tensors, 'float'), await opened(floats, 'float')];
  const size = [...floats.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const far = (a: Float32Array, b: Float32Array): number => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);
  const most = { rounded: 0, exact: 0, rounding: 0 };
  const [tokens, cpuTokens]: [number[], number[]] = [[], []];
  const feed = async (ids: number[], all = false): Promise<void> => {
    const [a, b, c, d] = [cpu.feed(ids, { all }), cpuExact.feed(ids, { all }), await device.feed(ids, { all }), await deviceExact.feed(ids, { all })];
    most.rounded = Math.max(most.rounded, far(a, c));
    most.exact = Math.max(most.exact, far(b, d));
    most.rounding = Math.max(most.rounding, far(a, b));
    if (all) return;
    cpuTokens.push(likeliest(a));
    tokens.push(likeliest(c));
  };
  await feed(prompt);
  for (let i = 0; i < count; i++) await feed([cpuTokens[i]]);
  for (const decoder of [cpu, cpuExact, device, deviceExact]) decoder.rewind(3);
  await feed(prompt.slice(3, 7), true);
  gpu.dispose();
  await model.close();
  // Everything but weights takes the same.
  return { ...most, tokens, cpuTokens, bytes: size - (takenByFloats - taken), floats: size };
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

/** What comes of a kernel that the device refuses. */
export async function afterRefusal(): Promise<string> {
  const gpu = await Gpu.open();
  try {
    const held = gpu.buffer('x', 64);
    gpu.run([gpu.step('@group(0) @binding(0) var<storage, read_write> x: array<u32>; @compute @workgroup_size(100000) fn main() { x[0] = 1u; }', [held], 1)]);
    return await gpu.read(held, 64).then(() => 'read', (error: Error) => error.message);
  } finally {
    gpu.dispose();
  }
}

/** What opening says where there is no WebGPU at all. */
export const withoutWebGpu = (): Promise<string> => Gpu.open({ gpu: null }).then(() => 'opened', (error: Error) => error.message);

/** An ONNX file on both devices, and the memory of its weights there beside that of floats. */
export async function fromOnnx(path: string): Promise<{ text: string; cpu: string; device: string; bytes: number; floats: number }> {
  const bytes = new Uint8Array(await (await fetch(new URL(path, location.origin))).arrayBuffer());
  const tokenizer = new URL(path.replace(/onnx\/[^/]+$/, ''), location.origin).href;
  const folder = urlFolder(tokenizer);
  const only: Folder = { ...folder, has: async (name) => name.startsWith('tokenizer'), open: (name, options) => (name.endsWith('.onnx') ? Promise.resolve(memorySource(name, bytes)) : folder.open(name, options)) };
  const language = await openOnnxFolder(only, path.slice(path.indexOf('onnx/')));
  const floats = [...language.tensors.values()].reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
  const [device, cpu] = [await openTextModel(language, { context: 64, device: 'webgpu' }), await openTextModel(language, { context: 64 })];
  const write = async (model: TextModel): Promise<string> => {
    let text = '';
    for await (const piece of model.write('ROMEO:\n', { maxTokens: 12 })) text += piece;
    model.dispose();
    return text;
  };
  const taken = device.bytes;
  return { text: await write(device), cpu: await write(cpu), device: device.device, bytes: taken, floats };
}

/** A model whose inputs are scaled before a product, asked for WebGPU. */
export async function withForms(path: string): Promise<{ device: string; reason: string }> {
  const language = await openGgufLanguageModel(await openUrl(new URL(path, location.origin).href));
  const [[name, tensor]] = [...language.tensors].filter(([one]) => one.endsWith('o_proj.weight'));
  const scaled = { ...tensor, coded: { read: async () => undefined, inputs: { factors: floatTensor('factors', [tensor.shape[1]], new Float32Array(tensor.shape[1]).fill(1)) } } };
  let reason = '';
  const model = await openTextModel({ ...language, tensors: new Map([...language.tensors, [name, scaled]]) }, { context: 64, device: 'webgpu', onFallback: (why) => { reason = why; } });
  model.dispose();
  return { device: model.device, reason };
}
