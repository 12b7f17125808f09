/** The race in a page: `lines` is called from outside. */
import * as ortModule from 'onnxruntime-web';
import { fastestBuild } from '../../src/engine/kernels/lowbit.ts';
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { moduleWorker } from '../../test-browser/shared/page-worker.ts';
import { commonContenders, race } from './race.ts';

export async function lines(runs: number): Promise<string[]> {
  const worker = await moduleWorker('/made/worker.js');
  const contenders = await commonContenders(ortWeb(ortModule as unknown as OrtWebModule), workerTeam(2, worker).start);
  const table = await race(contenders, runs, { nbits: contenders.length - 2, float: contenders.length - 1 });
  for (const { close } of contenders) close?.();
  return [`${navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0] ?? 'browser'}, ${fastestBuild()}`, ...table];
}
