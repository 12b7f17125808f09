/**
 * ONNX Runtime in Node. The native library is loaded on first use, so that commands which
 * need no inference, and error messages, do not wait for it.
 */
import type { Engine, ModelBytes, SessionOptions } from './session.ts';
import { notLoaded, wrapSession, type OrtSession, type OrtTensorMaker } from './ort.ts';

const load = () => import('onnxruntime-node');

const providers = { cpu: 'cpu', webgpu: 'webgpu', wasm: 'cpu' } as const;

export const ortNode: Engine = {
  name: 'onnxruntime-node',
  async open(model: ModelBytes, options: SessionOptions = {}) {
    const ort = await load();
    const settings = {
      executionProviders: [providers[options.backend ?? 'cpu']],
      intraOpNumThreads: options.threads ?? 1,
      interOpNumThreads: 1,
      executionMode: 'sequential' as const,
      graphOptimizationLevel: options.optimize === 'none' ? ('disabled' as const) : ('all' as const),
      logSeverityLevel: 4 as const,
    };
    try {
      const session = 'path' in model
        ? await ort.InferenceSession.create(model.path, settings)
        : await ort.InferenceSession.create(model.bytes, settings);
      return wrapSession(session as unknown as OrtSession, ort.Tensor as unknown as OrtTensorMaker);
    } catch (error) {
      throw notLoaded('path' in model ? model.path : 'the model in memory', error);
    }
  },
};
