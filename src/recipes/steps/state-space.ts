/** Steps for state-space models: order of channels, rotations of stream and scan, smoothing before the readout, fixed scales. */
import { linearSites } from '../../graph/linear.ts';
import { observeMagnitudes } from '../../observe/magnitudes.ts';
import { momentKey, observeMoments } from '../../observe/moments.ts';
import { observeRanges } from '../../observe/ranges.ts';
import { firstBatch } from '../../observe/taps.ts';
import { balanceFactors, balanceInputs } from '../../transform/balance.ts';
import { checkEquivalent } from '../../transform/check-equivalent.ts';
import { covariance, kltRotation, varianceRatio } from '../../transform/klt.ts';
import { mamba2Blocks, mambaBlocks, mambaValue, type Mamba1Block } from '../../transform/mamba-blocks.ts';
import { reorderScan, sortAndCluster, type HeadCluster } from '../../transform/mamba-order.ts';
import { rotateScans } from '../../transform/mamba-scan-rotation.ts';
import { ssmScales as scalesOf, ssmSites, withClusters } from '../../transform/mamba-scales.ts';
import { rotateInputs } from '../../transform/rotate.ts';
import { foldGains, rotateResidual } from '../../transform/rotate-residual.ts';
import { hadamardRotation, rotationNote } from '../../transform/rotation.ts';
import { maxima } from '../../transform/smoothquant.ts';
import { rotateStep } from '../../transform/rotate-step.ts';
import { smoothGate } from '../../transform/smooth-silu.ts';
import { insertStaticScales } from '../../transform/static-scales.ts';
import type { Graph } from '../../graph/graph.ts';
import type { RecipeState, StepContext, StepRunner } from '../state.ts';

/** The state with a rewritten graph, which must compute what the old one did. */
async function rewritten(state: RecipeState, step: string, graph: Graph, context: StepContext, note: string, kept: ReadonlySet<string> = new Set()): Promise<RecipeState> {
  await checkEquivalent(state.graph, graph, context.options.engine, await firstBatch(context.batches(state, step)()));
  return { ...state, graph, kept: new Set([...state.kept, ...kept]), notes: [...state.notes, note] };
}

export const sortScan: StepRunner<'sort-and-cluster'> = async (state, { step, heads, channels }, context) => {
  const blocks = mamba2Blocks(state.graph, step);
  const seen = await observeMagnitudes(state.graph, context.options.engine, context.batches(state, step)(), new Map(blocks.map((block) => [mambaValue(block, 'x'), 1])));
  const clusters = new Map<string, readonly (readonly HeadCluster[])[]>();
  let { graph } = state;
  for (const block of blocks) {
    const order = sortAndCluster(seen.get(mambaValue(block, 'x'))!.meanMax, block, heads, channels);
    clusters.set(block.stem, order.clusters);
    graph = await reorderScan(graph, block, order);
  }
  return rewritten(state, step, withClusters(graph, clusters), context, `channels of ${blocks.length} scans sorted by size, ${heads} clusters of heads and ${channels} runs of channels in each state group`);
};

export const rotateKlt: StepRunner<'rotate-klt'> = async (state, { step }, context) => {
  const folded = await foldGains(state.graph);
  // One stream has one matrix: that of what the last block reads.
  const id = mambaBlocks(folded).at(-1)!.inProj.id;
  const site = linearSites(folded).find((candidate) => candidate.id === id)!;
  const seen = covariance((await observeMoments(folded, context.options.engine, context.batches(state, step)(), [site])).get(momentKey(site))!);
  const rotation = kltRotation(seen, site.cols);
  const { graph, kept, turned } = await rotateResidual(state.graph, () => rotation);
  const [before, after] = [varianceRatio(seen, site.cols), varianceRatio(seen, site.cols, rotation)];
  return rewritten(state, step, graph, context, `the residual stream is turned by eigenvectors and a Hadamard matrix, for ${turned.length} layers; variances of channels that the last block reads differ ${after.toFixed(4)} times, before ${before.toFixed(2)}`, kept);
};

/** Smaller factors would make noise of channels that are nearly silent. */
const smallestFactor = 1e-2;

export const smoothReadout: StepRunner<'smooth-readout'> = async (state, { step, alpha }, context) => {
  const blocks = mambaBlocks(state.graph);
  const sites = blocks.map(({ outProj }) => outProj);
  const seen = await observeMagnitudes(state.graph, context.options.engine, context.batches(state, step)(), new Map(sites.map(({ input }) => [input, 1])));
  const factors = new Map<string, Float32Array>();
  for (const site of sites) {
    const largest = new Float32Array(site.cols);
    maxima(largest, await site.weightMatrix(), site);
    factors.set(site.input, balanceFactors(seen.get(site.input)!.max, largest, alpha).map((factor) => Math.max(factor, smallestFactor)));
  }
  let graph = state.graph;
  const behind = new Map(factors);
  for (const block of blocks) {
    if (block.kind !== 'mamba') continue;
    const now = mambaBlocks(graph).find(({ stem }) => stem === block.stem) as Mamba1Block;
    graph = await smoothGate(graph, now, factors.get(block.outProj.input)!);
    behind.delete(block.outProj.input);
  }
  // The norm behind Mamba-2's gate would see what is divided before it.
  return rewritten(state, step, await balanceInputs(graph, behind), context, `what ${sites.length} output projections read is smoothed, strength ${alpha}, ${behind.size === 0 ? 'within the gates' : 'behind the gated norms'}`);
};

export const rotateSteps: StepRunner<'rotate-step'> = async (state, { step }, context) => {
  const blocks = mambaBlocks(state.graph).filter((block) => block.kind === 'mamba');
  if (blocks.length === 0) return { ...state, notes: [...state.notes, 'Mamba-2 makes step sizes in one projection: there is no pair of layers to turn between'] };
  const moments = await observeMoments(state.graph, context.options.engine, context.batches(state, step)(), blocks.map(({ stepProj }) => stepProj));
  let graph = state.graph;
  for (const block of blocks) {
    const rotation = kltRotation(covariance(moments.get(momentKey(block.stepProj))!), block.stepProj.cols);
    graph = await rotateStep(graph, mambaBlocks(graph).find(({ stem }) => stem === block.stem) as Mamba1Block, rotation);
  }
  return rewritten(state, step, graph, context, `what step sizes are projected from is turned by eigenvectors and a Hadamard matrix in ${blocks.length} blocks`);
};

export const rotateReadout: StepRunner<'rotate-readout'> = async (state, { step }, context) => {
  const sites = mambaBlocks(state.graph).map(({ outProj }) => outProj);
  const rotation = hadamardRotation(sites[0].cols);
  const { graph, kept } = await rotateInputs(state.graph, () => rotation, sites);
  const blocks = rotationNote(rotation);
  const note = `what ${sites.length} output projections read is turned by a Hadamard matrix as the network runs`;
  return rewritten(state, step, graph, context, blocks === undefined ? note : `${note}; ${blocks}`, kept);
};

export const rotateScan: StepRunner<'rotate-scan'> = async (state, { step, smooth }, context) => {
  const magnitudes = smooth ? await observeMagnitudes(state.graph, context.options.engine, context.batches(state, step)(), ssmSites(state.graph)) : undefined;
  const { graph, kept } = rotateScans(state.graph, magnitudes);
  return rewritten(state, step, graph, context, `x, B and C of the scans are turned as the network runs${smooth ? ', smoothed before' : ''}`, kept);
};

/** Values outside of this share of the middle are clipped where `percentile` is asked for (Quamba2's code, small models). */
const percent = 99.999;

export const ssmScales: StepRunner<'ssm-scales'> = async (state, { step, bits, channels, groups, clip }, context) => {
  const { graph } = state;
  const { engine } = context.options;
  const sites = ssmSites(graph);
  const magnitudes = await observeMagnitudes(graph, engine, context.batches(state, step)(), sites);
  const ranges = clip === 'largest' ? new Map() : await observeRanges(graph, engine, context.batches(state, step)(), [...sites.keys()], { method: 'percentile', percent });
  const clipped = new Map([...ranges].map(([value, { low, high }]) => [value, Math.max(-low, high)]));
  const scales = scalesOf(graph, magnitudes, { bits, channels, groups }, clipped);
  return { ...state, graph: insertStaticScales(graph, scales), notes: [...state.notes, `${scales.length} values of the scans on fixed grids of ${bits} bits; step sizes, decays and sums stay float`] };
};
