/** In the page: ONNX Runtime Web on WebAssembly. */
import * as ort from 'onnxruntime-web/wasm';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { runOn, type PlainTensors } from './engine.ts';
import { losses, type TrainingCase } from './training.ts';

ort.env.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';

export async function runModel(path: string, feeds: readonly PlainTensors[]): Promise<PlainTensors[]> {
  const bytes = new Uint8Array(await (await fetch(`/${path}`)).arrayBuffer());
  return runOn(ortWeb(ort as unknown as OrtWebModule), bytes, feeds, { backend: 'wasm' });
}

/** Losses of a small network as it is trained here. */
export const train = (what: TrainingCase): Promise<number[]> => losses(ortWeb(ort as unknown as OrtWebModule), what, { backend: 'wasm' });
