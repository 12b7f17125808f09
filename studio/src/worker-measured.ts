/** What was measured in this browser, of the model that is open: kept in the private file system, for runs and for the slider alike. */
import { measurementsIn } from '../../src/jobs/measurements.ts';
import { opfsFiles } from '../../src/jobs/measurements-opfs.ts';
import type { Measurements } from '../../src/recipes/state.ts';
import { privateFolder } from './runs.ts';
import { opened } from './worker-desk.ts';
import { engineText, threads } from './worker-engine.ts';
import { namesIn } from './words.ts';

/** Sample inputs as measurements depend on them: their digest, how images become inputs, and how many calibrate. */
export interface MeasuringData { readonly digest: string; readonly input: string; readonly samples: number }

/** Undefined where the browser has no such file system. */
export async function measuredHere(keep: string, data: MeasuringData | undefined): Promise<Measurements | undefined> {
  const folder = await privateFolder('measured');
  if (folder === undefined) return undefined;
  const { fingerprint } = opened();
  return measurementsIn(opfsFiles(folder), {
    // Another build of this page may round otherwise.
    model: [fingerprint, import.meta.url], location: fingerprint, keep: namesIn(keep),
    // What the engine computes is the same for one version and number of threads.
    data: data === undefined ? undefined : JSON.stringify([data, await engineText(), threads()]),
  });
}
