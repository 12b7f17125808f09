/**
 * ONNX Runtime in Node. Graphs go through a temporary file whose weights the engine maps. The native library is loaded on first use, so that commands which
 * need no inference, and error messages, do not wait for it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileSink } from '../files/fs-node.ts';
import { writeOnnx } from '../files/onnx.ts';
import type { Graph } from '../graph/graph.ts';
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
      return wrapSession(session as unknown as OrtSession, ort.Tensor as unknown as OrtTensorMaker, { fills: options.backend !== 'webgpu' });
    } catch (error) {
      throw notLoaded('path' in model ? model.path : 'the model in memory', error);
    }
  },
  async openGraph(graph, options) {
    const folder = await mkdtemp(join(tmpdir(), 'fewbit-'));
    const drop = (): Promise<void> => rm(folder, { recursive: true, force: true });
    try {
      const session = await ortNode.open({ path: await graphFile(graph, folder) }, options);
      return { ...session, dispose: async () => { await session.dispose(); await drop(); } };
    } catch (error) {
      await drop();
      throw error;
    }
  },
};

/** The graph as a file in the folder, its weights beside it. */
async function graphFile(graph: Graph, folder: string): Promise<string> {
  const path = join(folder, 'graph.onnx');
  const [sink, data] = [await fileSink(path), await fileSink(`${path}_data`)];
  try {
    await writeOnnx(graph, sink, { external: { location: 'graph.onnx_data', sink: data } });
    await data.commit();
    await sink.commit();
  } catch (error) {
    await Promise.all([sink.abort(), data.abort()]);
    throw error;
  }
  return path;
}
