/** What each output will hold, worked out from headers and shapes before any weight is read. */
import type { PlannedOutput } from './result.ts';
import { weightsText, type Target } from './schemes.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import type { OutputSpec, TargetPlan, TargetWriter } from './target.ts';

export interface PlannedPart { readonly spec: OutputSpec; readonly plan: TargetPlan; readonly output: PlannedOutput }

export async function planOutputs(
  model: SourceModel, specs: readonly OutputSpec[], settings: QuantizeSettings, writers: Readonly<Record<Target, TargetWriter>>,
): Promise<PlannedPart[]> {
  return Promise.all(specs.map(async (spec): Promise<PlannedPart> => {
    const plan = await writers[spec.target].plan(model, spec, settings);
    const bytes = plan.tensors.reduce((sum, line) => sum + line.bytesAfter, 0);
    return {
      spec, plan,
      output: {
        file: spec.file, target: spec.target, label: spec.scheme.label, format: weightsText(spec.scheme), recipe: spec.recipe?.name ?? 'none',
        tensors: plan.tensors, bytes, bitsPerWeight: (8 * bytes) / Math.max(1, model.parameters), refusals: plan.refusals,
        ...(plan.open === undefined || plan.open.length === 0 ? {} : { open: plan.open }),
      },
    };
  }));
}
