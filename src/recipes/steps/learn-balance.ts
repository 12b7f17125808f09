/** Balancing factors and ranges learned block by block; the factors go into the graph, the ranges into codes and before layers. */
import { defineErrors } from '../../errors.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { isScaled, type ScaledFormat } from '../../formats/scaled.ts';
import { int } from '../../graph/build.ts';
import type { Graph } from '../../graph/graph.ts';
import { throughNodes } from '../../graph/layer-inputs.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import { observeChannelMaxima } from '../../observe/channel-maxima.ts';
import { firstBatch } from '../../observe/taps.ts';
import { quantizedLazily, quantizedWhole, sumOfSquares, type QuantizedMatrix } from '../../round/quantized-matrix.ts';
import { balanceFactors, balanceInputs } from '../../transform/balance.ts';
import { checkEquivalent } from '../../transform/check-equivalent.ts';
import type { StepRunner } from '../state.ts';
import { weightMaxima } from './balance.ts';

const errors = defineErrors('learn-balance', {
  weights: (f: { format: string }) => [`balancing is learned for integer weights per channel, not ${f.format}`, 'choose --weights int4/channel'],
  inputs: (f: { format: string }) => [`balancing is learned for inputs in integers per token, not ${f.format}`, 'choose --activations int4/token'],
});

const isPlain = (format: NumberFormat, kind: 'channel' | 'token'): format is ScaledFormat =>
  isScaled(format) && format.integer?.asymmetric === false && format.integer.qmin === -format.integer.qmax && format.granularity.kind === kind;

export const learnBalance: StepRunner<'learn-balance'> = async (state, { step, factors, ranges, epochs }, context) => {
  const { engine, seed = 0, threads = 1, onLine, onSite } = context.options;
  const batches = context.batches(state, step);
  const formats = new Map<string, { readonly weight: ScaledFormat; readonly input: NumberFormat }>();
  const weights = new Map<string, QuantizedMatrix>();
  for (const site of linearSites(state.graph)) {
    const [weight, input] = [context.formatOf(state, site), context.activationOf(state, site)];
    if (weight === undefined) continue;
    if (!isPlain(weight, 'channel')) throw errors.weights({ format: weight.name });
    // Convolutions read no tokens: their weights alone are rounded.
    if (site.kernel.length > 0) weights.set(site.id, quantizedLazily(site, weight, { name: site.id, search: 'mse' }));
    else if (input === undefined || !isPlain(input, 'token')) throw errors.inputs({ format: input?.name ?? 'float' });
    else formats.set(site.id, { weight, input });
  }
  const sites = linearSites(state.graph).filter(({ id }) => formats.has(id));
  const seen = await observeChannelMaxima(state.graph, engine, batches(), sites);
  const largest = await weightMaxima(sites);
  const start = new Map([...seen].map(([value, [activation]]) => [value, balanceFactors(activation, largest.get(value)!, 0.5)]));
  const { learnBalance: learn } = await import('../../train/learn-balance.ts');
  const learned = await learn(state.graph, batches(), {
    engine, start, learns: { factors, ranges }, epochs, seed, threads,
    bitsOf: ({ id }) => { const found = formats.get(id); return found === undefined ? undefined : { weight: found.weight.bits, input: found.input.bits }; },
    onBlock: ({ name, start: before, learned: after }, done, total) => onLine?.(`block ${done} of ${total}, ${name}: ${before.toPrecision(3)} to ${after.toPrecision(3)}`),
  });
  const balanced = await balanceInputs(state.graph, learned.factors, { into: 'gains' });
  await checkEquivalent(state.graph, balanced, engine, await firstBatch(batches()));
  const shares = new Map(sites.flatMap(({ id, input }) => { const share = learned.inputs.get(input); return share === undefined ? [] : [[id, share] as const]; }));
  const after = linearSites(balanced).filter(({ id }) => formats.has(id));
  for (const [i, site] of after.entries()) {
    weights.set(site.id, await clipped(site, formats.get(site.id)!.weight, learned.weights.get(site.id)));
    onSite?.(site, i + 1, after.length);
  }
  return {
    ...state, weights, graph: clipInputs(balanced, new Map(after.flatMap(({ id, input }) => (shares.has(id) ? [[input, shares.get(id)!] as const] : [])))),
    notes: [...state.notes, ...(learned.blocks.length === 0 ? [] : [`balancing learned: squared error of blocks ${ratio(learned.blocks).toFixed(3)} times that at the start, on average`])],
  };
};

const ratio = (blocks: readonly { readonly start: number; readonly learned: number }[]): number => blocks.reduce((sum, { start, learned }) => sum + learned / start / blocks.length, 0);

/** Codes over a share of each row's extreme. */
async function clipped(site: Linear, format: ScaledFormat, shares: Float32Array | undefined): Promise<QuantizedMatrix> {
  const matrix = await site.weightMatrix();
  const fit = format.fit(matrix, site.rows, site.cols, { name: site.id });
  const scales = shares === undefined ? fit.scales : fit.scales.map((scale, row) => scale * shares[row]);
  return quantizedWhole(format, format.encodeWith(matrix, site.rows, site.cols, { ...fit, scales }), sumOfSquares(matrix));
}

/** Inputs of layers held within a share of each token's extreme, which the rounding after it then measures. */
const clipInputs = (graph: Graph, shares: ReadonlyMap<string, number>): Graph => throughNodes(graph, shares.keys(), (tape, value) => {
  const extreme = tape.op('ReduceMax', [tape.op('Abs', [value]), tape.ints([-1])], { keepdims: int(1) });
  const limit = tape.op('Mul', [extreme, tape.constant(shares.get(value)!)]);
  return tape.op('Max', [tape.op('Min', [value, limit]), tape.op('Neg', [limit])]);
});
