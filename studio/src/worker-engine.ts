/** ONNX Runtime in this page: on WASM, and on WebGPU where the browser has one. Loaded when first needed. */
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Engine } from '../../src/engine/session.ts';

export const wasmEngine = async (): Promise<Engine> => ortWeb(await import('onnxruntime-web/wasm') as unknown as OrtWebModule);

/** Why there is no WebGPU here, as a sentence; undefined where there is. */
export async function withoutWebGpu(): Promise<string | undefined> {
  const { gpu } = navigator as Navigator & { gpu?: { requestAdapter(): Promise<object | null> } };
  if (gpu === undefined) return 'this browser offers no WebGPU';
  return await gpu.requestAdapter() === null ? 'this browser knows WebGPU, but has no graphics adapter for it' : undefined;
}

/** Sessions open on WebGPU unless they say otherwise. */
export async function webGpuEngine(): Promise<Engine> {
  const engine = ortWeb(await import('onnxruntime-web/webgpu') as unknown as OrtWebModule);
  return { ...engine, open: (model, options) => engine.open(model, { backend: 'webgpu', ...options }) };
}
