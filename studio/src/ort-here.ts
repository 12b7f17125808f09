/** Takes the place of the engine of Node where its reproductions are built into the page. */
import type { Engine } from '../../src/engine/session.ts';
import { wasmEngine } from './worker-engine.ts';

export const ortNode: Engine = { name: 'onnxruntime-web', open: async (model, options) => (await wasmEngine()).open(model, options) };
