/** ONNX Runtime's side of `bench/webgpu.ts`: another process, because two builds of the same WebGPU library do not share one. */
import { readFile, writeFile } from 'node:fs/promises';
import * as ort from 'onnxruntime-node';

export interface Feed { readonly name: string; readonly type: 'float32' | 'float16'; readonly dims: readonly number[]; readonly file: string }
export type Request =
  | { readonly open: number; readonly model: string; readonly feeds: readonly Feed[] }
  | { readonly run: number }
  | { readonly result: number; readonly file: string }
  | { readonly close: readonly number[] };
export type Answer = { readonly milliseconds: number } | { readonly problem: string };

const open = new Map<number, { readonly session: ort.InferenceSession; readonly feeds: Record<string, ort.Tensor> }>();

async function answer(request: Request): Promise<void> {
  if ('open' in request) {
    const session = await ort.InferenceSession.create(request.model, { executionProviders: ['webgpu'], graphOptimizationLevel: 'all', logSeverityLevel: 3 });
    const feeds: Record<string, ort.Tensor> = {};
    for (const { name, type, dims, file } of request.feeds) {
      const { buffer } = Uint8Array.from(await readFile(file));
      feeds[name] = type === 'float32' ? new ort.Tensor(type, new Float32Array(buffer), dims) : new ort.Tensor(type, halves(buffer), dims);
    }
    open.set(request.open, { session, feeds });
  } else if ('run' in request) {
    const { session, feeds } = open.get(request.run)!;
    await session.run(feeds);
  } else if ('result' in request) {
    const { session, feeds } = open.get(request.result)!;
    const { y: { data } } = await session.run(feeds);
    const { buffer, byteOffset, byteLength } = data as Float32Array;
    await writeFile(request.file, new Uint8Array(buffer, byteOffset, byteLength));
  } else {
    for (const id of request.close) {
      await open.get(id)?.session.release();
      open.delete(id);
    }
  }
}

/** Newer engines want the typed array that they have for halves. */
function halves(buffer: ArrayBuffer): Uint16Array {
  const own = (globalThis as { Float16Array?: new (from: ArrayBuffer) => unknown }).Float16Array;
  return (own === undefined ? new Uint16Array(buffer) : new own(buffer)) as Uint16Array;
}

process.on('message', (request: Request) => {
  const started = performance.now();
  answer(request).then(
    () => process.send!({ milliseconds: performance.now() - started } satisfies Answer),
    (problem: Error) => process.send!({ problem: problem.message.split('\n')[0].slice(0, 200) } satisfies Answer),
  );
});
