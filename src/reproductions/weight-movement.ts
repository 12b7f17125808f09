/** How much quantized weights move between the steps of training. */
import type { Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { quantizeFolded, type QuantizeFoldedOptions } from '../train/batchnorm-correction.ts';
import { Trainer, type TrainerOptions } from '../train/trainer.ts';

export interface WeightMovementOptions extends QuantizeFoldedOptions, Pick<TrainerOptions, 'engine' | 'groups'> {
  objective(graph: Graph): { readonly graph: Graph; readonly loss: string };
  /** One batch per step. */
  readonly feeds: readonly Feeds[];
}

/** Mean over steps and layers of ‖q' − q‖² / ‖q‖²: q and q' are a layer's quantized weights at one step and the next. */
export async function weightMovement(graph: Graph, options: WeightMovementOptions): Promise<number> {
  const made = quantizeFolded(graph, options);
  const { graph: whole, loss } = options.objective(made.graph);
  const names = [...made.quantized.values()];
  const trainer = await Trainer.open(whole, { engine: options.engine, loss, groups: options.groups, carry: made.carry, watch: names });
  let [sum, count] = [0, 0];
  try {
    let before: ReadonlyMap<string, Float32Array> | undefined;
    for (const feeds of options.feeds) {
      const { watched } = await trainer.step(feeds);
      const now = new Map(names.map((name) => [name, watched[name].data as Float32Array]));
      for (const [name, old] of before ?? []) {
        const values = now.get(name)!;
        let [moved, size] = [0, 0];
        values.forEach((value, i) => { moved += (value - old[i]) ** 2; size += value ** 2; });
        sum += moved / size;
        count++;
      }
      before = now;
    }
    return sum / count;
  } finally {
    await trainer.dispose();
  }
}
