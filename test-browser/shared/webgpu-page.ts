/** In the page: ONNX Runtime Web on WebGPU. */
import * as ort from 'onnxruntime-web/webgpu';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { runOn, type PlainTensors } from './engine.ts';
import { losses, type TrainingCase } from './training.ts';

ort.env.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';

/** Undefined where the browser offers an adapter, else what is missing. */
export async function missingAdapter(): Promise<string | undefined> {
  const { gpu } = navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  if (gpu === undefined) return 'no navigator.gpu';
  return (await gpu.requestAdapter()) === null ? 'no adapter' : undefined;
}

/** Outputs, and how many kernels the adapter was given for them: an engine that fell back to the CPU gives it none. */
export async function runModel(path: string, feeds: readonly PlainTensors[]): Promise<{ outputs: PlainTensors[]; kernels: number }> {
  const bytes = new Uint8Array(await (await fetch(`/${path}`)).arrayBuffer());
  const passes = (globalThis as unknown as { GPUComputePassEncoder: { prototype: { dispatchWorkgroups(...sizes: number[]): void } } }).GPUComputePassEncoder.prototype;
  const { dispatchWorkgroups } = passes;
  let kernels = 0;
  passes.dispatchWorkgroups = function counted(...sizes) {
    kernels++;
    dispatchWorkgroups.apply(this, sizes);
  };
  try {
    return { outputs: await runOn(ortWeb(ort as unknown as OrtWebModule), bytes, feeds, { backend: 'webgpu' }), kernels };
  } finally {
    passes.dispatchWorkgroups = dispatchWorkgroups;
  }
}

/** Losses of a small network as it is trained here. */
export const train = (what: TrainingCase): Promise<number[]> => losses(ortWeb(ort as unknown as OrtWebModule), what, { backend: 'webgpu' });
