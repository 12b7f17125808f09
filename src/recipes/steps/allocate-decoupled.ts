/** Bits of weights by groups of layers with measures of their own, on the outputs for a few sample inputs. */
import { linearSites } from '../../graph/linear.ts';
import { someBatches } from '../../observe/some-batches.ts';
import { openGraph } from '../../observe/taps.ts';
import { decoupledFormats } from '../decoupled-formats.ts';
import type { StepRunner } from '../state.ts';
import { outputsOf } from './balance.ts';

/** Samples that measure a layer. */
const measuredSamples = 32;

export const allocateDecoupled: StepRunner<'allocate-decoupled'> = async (state, { step, groups, extraBits, points }, context) => {
  const { engine, threads = 1, onLine } = context.options;
  const sites = linearSites(state.graph).filter((site) => context.formatOf(state, site) !== undefined);
  const format = context.formatOf(state, sites[0])!;
  const { feeds, samples: images } = await someBatches(context.batches(state, step)(), measuredSamples);
  const meanBits = format.bits + extraBits;
  const choice = await decoupledFormats(state.graph, sites, {
    groups, format, meanBits, points, images, ...(onLine === undefined ? {} : { onLine }),
    activations: new Map(sites.flatMap((site) => { const input = context.activationOf(state, site); return input === undefined ? [] : [[site.output, input] as const]; })),
    open: async (graph) => {
      const session = await openGraph(graph, engine, { threads });
      return { results: (weights) => outputsOf(session, feeds, weights), dispose: () => session.dispose() };
    },
  });
  const note = `bits: mean ${choice.meanBits.toFixed(3)} of at most ${meanBits}, ${choice.described}; best of ${choice.plans} plans by the error of the outputs on ${images} samples`;
  return { ...state, formats: new Map([...state.formats, ...choice.formats]), notes: [...state.notes, note] };
};
