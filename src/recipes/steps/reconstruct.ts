/** Weights whose rounding is learned on sample inputs; lookups and other layers without a rule are rounded to nearest. */
import { linearSites } from '../../graph/linear.ts';
import { quantizedLazily } from '../../round/quantized-matrix.ts';
import { keptBlocks } from '../kept.ts';
import type { StepRunner } from '../state.ts';

export const reconstruct: StepRunner<'reconstruct'> = async (state, { step, ...settings }, context) => {
  const { graph } = state;
  const { engine, seed = 0, threads = 1, onSite, onLine } = context.options;
  const { reconstruct: learn } = await import('../../train/reconstruct.ts');
  const { weights } = await learn(graph, context.batches(state, step)(), {
    engine, formatOf: (site) => context.formatOf(state, site), ...settings, seed, threads, ...keptBlocks(state, context, { ...settings, seed, threads }),
    onBlock: ({ name, nearest, hard }, done, total) => onLine?.(`block ${done} of ${total}, ${name}: ${nearest.toPrecision(3)} to ${hard.toPrecision(3)}`),
  });
  const all = new Map(weights);
  const sites = linearSites(graph, { gather: true });
  for (const site of sites) {
    const format = context.formatOf(state, site);
    if (format !== undefined && !all.has(site.id)) all.set(site.id, quantizedLazily(site, format, { name: site.id, search: 'mse' }));
  }
  for (const [i, id] of [...all.keys()].entries()) onSite?.(sites.find((site) => site.id === id)!, i + 1, all.size);
  return { ...state, weights: all };
};
