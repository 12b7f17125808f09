/**
 * ONNX Runtime Web (WASM or WebGPU), in a browser or, for checking files, in Node.
 * An optional peer: the caller hands in the imported module, so that bundlers see no import here.
 */
import type { Engine, ModelBytes, SessionOptions } from './session.ts';
import { notLoaded, wrapSession, type OrtSession, type OrtTensorMaker } from './ort.ts';

/** The module `onnxruntime-web`, as imported by the caller. */
export interface OrtWebModule {
  readonly InferenceSession: { create(model: Uint8Array, options: Record<string, unknown>): Promise<unknown> };
  readonly Tensor: unknown;
  readonly env: { wasm: { numThreads?: number }; logLevel?: string };
}

/** External data files by their location in the model, for models that have them. */
export type ExternalFiles = ReadonlyMap<string, Uint8Array>;

export function ortWeb(ort: OrtWebModule, external: ExternalFiles = new Map()): Engine {
  return {
    name: 'onnxruntime-web',
    async open(model: ModelBytes, options: SessionOptions = {}) {
      if (!('bytes' in model)) throw notLoaded(model.path, 'the web engine reads bytes, not paths');
      ort.env.wasm.numThreads = options.threads ?? 1;
      ort.env.logLevel = 'error';
      try {
        const session = await ort.InferenceSession.create(model.bytes, {
          executionProviders: [options.backend === 'webgpu' ? 'webgpu' : 'wasm'],
          graphOptimizationLevel: options.optimize === 'none' ? 'disabled' : 'all',
          logSeverityLevel: 4,
          externalData: [...external].map(([path, data]) => ({ path, data })),
        });
        return wrapSession(session as OrtSession, ort.Tensor as OrtTensorMaker);
      } catch (error) {
        throw notLoaded('the model in memory', error);
      }
    },
  };
}
