/** The control arm of quantization-aware training: the float network, trained by the same schedule on the same data. */
import type { Engine, SessionOptions } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { withWeightsOf } from '../graph/rewrite.ts';
import { trainBatchNorm } from '../graph/train-batchnorm.ts';
import { fit, type FitOptions } from '../train/fit.ts';
import { Trainer, type ParameterGroup } from '../train/trainer.ts';

export interface FitFloatOptions {
  readonly engine: Engine;
  /** Appends the loss. */
  objective(graph: Graph): { readonly graph: Graph; readonly loss: string };
  readonly groups: readonly ParameterGroup[];
  readonly fit: FitOptions;
  /** Share of the old statistics of batch normalization that a step keeps. */
  readonly momentum?: number;
  readonly session?: SessionOptions;
}

/** A graph of known shapes with weights and statistics as training leaves them. */
export async function fitFloat(graph: Graph, options: FitFloatOptions): Promise<Graph> {
  const { graph: whole, loss } = options.objective(graph);
  const { graph: trained, carry } = await trainBatchNorm(whole, { chosen: () => true, ...(options.momentum === undefined ? {} : { momentum: options.momentum }) });
  const trainer = await Trainer.open(trained, { engine: options.engine, loss, groups: options.groups, carry, ...(options.session === undefined ? {} : { session: options.session }) });
  try {
    await fit(trainer, options.fit);
    return withWeightsOf(graph, trainer.graph());
  } finally {
    await trainer.dispose();
  }
}
