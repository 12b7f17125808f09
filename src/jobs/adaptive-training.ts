/**
 * Training of one network for many widths (double rounding): the step graph, the loop, and the files: one that holds integers
 * of the most bits and is switched by an input, and one per width made from the same integers.
 */
import { exportAtBits, exportSwitchable } from '../export/onnx-switchable.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { withWeightsOf } from '../graph/rewrite.ts';
import { headName } from '../models/llama-weights.ts';
import type { Dataset } from '../observe/data/index.ts';
import { adaptBits, type AdaptiveNetwork } from '../train/adaptive-bits.ts';
import { openAdaptive } from '../train/adaptive-fit.ts';
import { classification } from '../train/objective.ts';
import { keepsFloat } from './keep.ts';
import type { SourceModel } from './source.ts';
import { integerLines } from './training-lines.ts';
import { materialOf, ratesOf } from './training-material.ts';
import type { Prepared, TrainingOptions } from './training.ts';

/** Of weights and, falling with the width, of scales: that of the paper. */
const usualRate = 5e-4;

export async function prepareAdaptive(model: SourceModel, data: Dataset, options: TrainingOptions): Promise<Prepared> {
  const { engine, seed, widths } = options;
  const material = await materialOf(model, data, options);
  const { float, logits, stepsPerEpoch } = material;
  const sites = chosenSites(float, model.kind, options);
  const ids = new Set(sites.map(({ id }) => id));
  const summaries = await material.summaries(sites.map(({ input }) => input));
  const adapted = (graph: Graph): Promise<AdaptiveNetwork> => adaptBits(graph, {
    widths, rule: 'round', isChosen: ({ id }) => ids.has(id),
    meanOf: ({ input }) => summaries.get(input)!.meanAbsolute, isSigned: ({ input }) => summaries.get(input)!.min < 0,
  });
  const objectiveOf = (graph: Graph) => classification(graph, { logits, distill: options.distill, temperature: options.temperature });
  const batches = Math.ceil((options.steps ?? options.epochs * stepsPerEpoch * widths.length) / widths.length);
  const adaptive = await openAdaptive(await adapted(float), float, {
    engine, widths, objective: objectiveOf, batches, rate: options.rate ?? usualRate, decay: options.decay, scaleRates: 'printed', seed,
    ...ratesOf(options, batches * widths.length), ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }), session: { threads: options.threads },
  });
  return {
    trainer: adaptive.trainer, steps: adaptive.steps, stepsPerEpoch: stepsPerEpoch * widths.length,
    fit: (hooks) => material.loop(adaptive.trainer, objectiveOf(float), { ...hooks, ...adaptive.each, steps: adaptive.steps, more: adaptive.bits }),
    async finish() {
      const open = await adapted(model.graph);
      const network = { ...open, widths, graph: withWeightsOf(open.graph, adaptive.graph()) };
      const linesAt = (width: number) => integerLines(model, ({ id }) => (ids.has(id) ? width : undefined));
      const perWidth = widths.map(async (width) => ({ graph: await exportAtBits(network, network.layers.map(() => width)), tensors: linesAt(width) }));
      return [...await Promise.all(perWidth), { graph: await exportSwitchable(network), tensors: linesAt(widths[0]), isSwitched: true }];
    },
  };
}

/** All layers but the first and the last, and what is to stay float. */
function chosenSites(graph: Graph, kind: SourceModel['kind'], { keep }: TrainingOptions): Linear[] {
  const sites = linearSites(graph);
  const edges = new Set(kind === 'lm' ? [headName] : [sites[0]?.id, sites.at(-1)?.id]);
  return sites.filter(({ id, kind: operator, node }) => operator !== 'ConvTranspose' && !edges.has(id) && !keepsFloat(id, node.name, keep));
}
