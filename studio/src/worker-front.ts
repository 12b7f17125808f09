/** The front of size against error that a budget chooses from: the allocator's own, measured as the run will, so that it measures nothing again. */
import { modernModel, recipeRunner } from '../../src/jobs/recipe-runner.ts';
import { feedsOf } from '../../src/jobs/calibration-feeds.ts';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { parseSettings } from '../../src/jobs/settings.ts';
import { storageOf } from '../../src/jobs/storage-cost.ts';
import type { Calls, Front, Tell } from './protocol.ts';
import { opened } from './worker-desk.ts';
import { lazyWasm } from './worker-engine.ts';
import { calibrated, settingsOf } from './worker-run.ts';

/** Bits that no choice exceeds: the front is the same for every budget. */
const anyBudget = 63.5;

export async function frontFor({ request, data }: Calls['front']['give'], tell: Tell): Promise<Front> {
  const model = await modernModel(opened().model);
  const { calibration, measurements } = await calibrated(request, data);
  const settings = parseSettings({
    ...settingsOf({ ...request, weights: '', budget: anyBudget }), model: model.name, output: '.', verdict: false, threads: 1, ...(calibration === undefined ? {} : { data: calibration.set.name }),
  });
  const [spec] = outputSpecs(model, settings);
  const steps = spec.recipe!.steps.slice(0, 1 + spec.recipe!.steps.findIndex(({ step }) => step === 'allocate'));
  const apply = recipeRunner(model, settings, {
    engine: lazyWasm, storageOf: (scheme) => storageOf(model, scheme, settings.keep), ...(measurements === undefined ? {} : { measurements }),
    ...(calibration === undefined ? {} : { batches: () => feedsOf(model, calibration.set), ...(calibration.distance === undefined ? {} : { distance: calibration.distance }) }),
    progress: {
      ...silentProgress,
      line(text) {
        const [, done, all] = /^\[ *(\d+)\/(\d+)\]/.exec(text) ?? [];
        tell('errors of layers', done === undefined ? undefined : Number(done) / Number(all));
      },
    },
  });
  const { measure, front, uniform } = (await apply({ ...spec, recipe: { ...spec.recipe!, steps } })).allocation!;
  return { measure, points: front, uniform };
}
