/** The race in a page: `lines` is called from outside, for files that the page fetches. */
import * as ortModule from 'onnxruntime-web';
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { moduleWorker } from '../../test-browser/shared/page-worker.ts';
import { engineOn, ours, race } from './race.ts';

const bytesOf = async (path: string): Promise<Uint8Array> => new Uint8Array(await (await fetch(new URL(path, location.origin))).arrayBuffer());

export async function lines(quantized: string, float: string, name: string, shape: readonly number[], input: string, runs: number): Promise<string[]> {
  const web = ortWeb(ortModule as unknown as OrtWebModule);
  const bytes = await bytesOf(quantized);
  const data = new Float32Array((await bytesOf(input)).buffer);
  const contenders = [await ours(bytes), await ours(bytes, undefined, workerTeam(2, await moduleWorker('/made/worker.js'))), await ours(bytes, 'plain SIMD'), await engineOn('onnxruntime-web, the same file', web, bytes), await engineOn('onnxruntime-web, float', web, await bytesOf(float))];
  return [`${navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0] ?? 'browser'}`, ...await race(contenders, { [name]: { type: 'f32', shape, data } }, runs)];
}
