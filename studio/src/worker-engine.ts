/** ONNX Runtime in this page: on WASM, and on WebGPU where the browser has one. Loaded when first needed. */
import { ortWeb, type ExternalFiles, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Engine } from '../../src/engine/session.ts';

/** More bring little to small models, and take cores from the rest of the machine. */
const mostThreads = 4;

/** Threads share memory, which browsers give to pages that are cross-origin isolated alone. */
export const threads = (): number => (self.crossOriginIsolated ? Math.max(1, Math.min(mostThreads, navigator.hardwareConcurrency)) : 1);

/** The engine and its version, as results name it. */
export const engineText = async (): Promise<string> => `onnxruntime-web ${(await import('onnxruntime-web/wasm')).env.versions.web}`;

export async function wasmEngine(external?: ExternalFiles): Promise<Engine> {
  const engine = ortWeb(await import('onnxruntime-web/wasm') as unknown as OrtWebModule, external);
  return { ...engine, open: (model, options) => engine.open(model, { ...options, threads: threads() }) };
}

/** The same, loaded with its first session. */
export const lazyWasm: Engine = { name: 'onnxruntime-web', open: async (model, options) => (await wasmEngine()).open(model, options) };

/** Why there is no WebGPU here, as a sentence; undefined where there is. */
export async function withoutWebGpu(): Promise<string | undefined> {
  const { gpu } = navigator as Navigator & { gpu?: { requestAdapter(): Promise<object | null> } };
  if (gpu === undefined) return 'this browser offers no WebGPU';
  return await gpu.requestAdapter() === null ? 'this browser knows WebGPU, but has no graphics adapter for it' : undefined;
}

/** Sessions open on WebGPU unless they say otherwise. */
export async function webGpuEngine(external?: ExternalFiles): Promise<Engine> {
  const engine = ortWeb(await import('onnxruntime-web/webgpu') as unknown as OrtWebModule, external);
  return { ...engine, open: (model, options) => engine.open(model, { backend: 'webgpu', ...options }) };
}
