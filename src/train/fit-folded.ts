/**
 * Training of a network as it will be once batch normalization is folded (arXiv:1806.08342, section 3.2.2): statistics
 * follow the batches first, then stand still, and the weights learn to live with them.
 */
import type { Engine, SessionOptions } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Graph } from '../graph/graph.ts';
import { withWeightsOf } from '../graph/rewrite.ts';
import { quantizeFolded, type Folding, type QuantizeFoldedOptions } from './batchnorm-correction.ts';
import { fit, type FitOptions } from './fit.ts';
import { Trainer, type ParameterGroup } from './trainer.ts';

export interface FitFoldedOptions extends Omit<QuantizeFoldedOptions, 'folding'> {
  readonly engine: Engine;
  /** How weights are folded until statistics stand still. */
  readonly folding: Exclude<Folding, 'frozen'>;
  /** Steps after which statistics stand still; default never. */
  readonly freezeAt?: number;
  /** Appends the loss. */
  objective(graph: Graph): { readonly graph: Graph; readonly loss: string };
  readonly groups: readonly ParameterGroup[];
  readonly fit: FitOptions;
  readonly session?: SessionOptions;
}

export interface FittedFolded {
  /** The graph that was given, with trained weights and statistics; batch normalization not folded. */
  readonly graph: Graph;
  /** Ranges of the activations at the end. */
  readonly ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>;
  readonly losses: readonly number[];
}

/** Trains a graph of known shapes. */
export async function fitFolded(source: Graph, options: FitFoldedOptions): Promise<FittedFolded> {
  const { engine, folding, groups, fit: fitting } = options;
  const freezeAt = Math.min(options.freezeAt ?? fitting.steps, fitting.steps);
  let graph = source;
  let { ranges } = options;
  let state: ReadonlyMap<string, Tensor> | undefined;
  const losses: number[] = [];
  for (const [phase, steps] of [[folding, freezeAt], ['frozen', fitting.steps]] as const) {
    if (phase === 'frozen' && freezeAt === steps) break;
    const made = quantizeFolded(graph, { ...options, ranges, folding: phase });
    const { graph: whole, loss } = options.objective(made.graph);
    const trainer = await Trainer.open(whole, { engine, loss, groups, carry: made.carry, ...(options.session === undefined ? {} : { session: options.session }) });
    try {
      if (state !== undefined) trainer.restore(state);
      losses.push(...(await fit(trainer, { ...fitting, steps })).losses);
      graph = withWeightsOf(graph, trainer.graph());
      if (phase !== 'frozen') ranges = new Map([...made.ends].map(([value, { low, high }]) => [value, { low: trainer.values(low)[0], high: trainer.values(high)[0] }]));
      state = trainer.state();
    } finally {
      await trainer.dispose();
    }
  }
  return { graph, ranges, losses };
}
