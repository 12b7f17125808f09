/**
 * Traces of the Hessian of a loss, one per weight, by Hutchinson's estimate: E[vᵀHv] over vectors v of ±1. Hv is the gradient
 * of the product of the gradient with v, so that one graph gives the estimates of all weights at once.
 */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { int } from '../graph/build.ts';
import { lower, type CompositeTable } from '../graph/composite.ts';
import { extend } from '../graph/extend.ts';
import { gradient } from '../graph/gradient/gradient.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { coinFlips } from '../numeric/random.ts';
import { noBatches, openGraph } from './taps.ts';

export interface HessianTraceOptions {
  /** Vectors per batch; default 1. */
  readonly probes?: number;
  readonly seed?: number;
  readonly composites?: CompositeTable;
}

export interface HessianTrace {
  readonly weight: string;
  /** Mean over batches and vectors. */
  readonly trace: number;
  /** Standard error of the mean. */
  readonly error: number;
}

const errors = defineErrors('hessian', {
  noWeight: (f: { name: string }) => `no float32 weight is named ${f.name}`,
});

/** Traces of the blocks of `weights` in a graph of known shapes that ends in `loss`. */
export async function hessianTraces(source: Graph, loss: string, weights: readonly string[], engine: Engine, batches: readonly Feeds[], options: HessianTraceOptions = {}): Promise<HessianTrace[]> {
  const { probes = 1, seed = 0, composites = new Map() } = options;
  if (batches.length === 0) throw noBatches({});
  const shapes = weights.map((name) => {
    const weight = source.weights.get(name);
    if (weight?.type !== 'f32') throw errors.noWeight({ name });
    return weight.shape;
  });
  const vector = (i: number): string => `${weights[i]}/probe`;
  const once = await gradient(source, loss, weights, { composites });
  const total = (tape: Parameters<Parameters<typeof extend>[1]>[0], a: string, b: string): string => tape.op('ReduceSum', [tape.op('Mul', [a, b])], { keepdims: int(0) });
  const probed: Graph = { ...once.graph, inputs: [...once.graph.inputs, ...weights.map((_, i) => ({ name: vector(i), type: 'f32' as const, shape: shapes[i] }))] };
  const { graph: directed, result: product } = extend(probed, (tape) => tape.op('Sum', weights.map((name, i) => total(tape, once.gradients.get(name)!, vector(i)))));
  const twice = await gradient(directed, product, weights, { composites });
  const { graph, result: estimates } = extend(twice.graph, (tape) => weights.map((name, i) => total(tape, twice.gradients.get(name)!, vector(i))));
  const lowered = removeDeadNodes(lower(await withOutputs({ ...graph, outputs: [] }, estimates), composites));
  const session = await openGraph(lowered, engine);
  const [sums, squares] = [weights.map(() => 0), weights.map(() => 0)];
  let count = 0;
  try {
    for (const feeds of batches) {
      for (let probe = 0; probe < probes; probe++) {
        const vectors = Object.fromEntries(weights.map((_, i): [string, Tensor] => {
          const size = shapes[i].reduce((a, b) => a * b, 1);
          return [vector(i), { type: 'f32', shape: shapes[i], data: Float32Array.from(coinFlips(seed, i, count, size), (heads) => (heads === 1 ? 1 : -1)) }];
        }));
        const results = await session.run({ ...feeds, ...vectors }, estimates);
        estimates.forEach((name, i) => {
          const [value] = results[name].data as Float32Array;
          sums[i] += value;
          squares[i] += value * value;
        });
        count++;
      }
    }
  } finally {
    await session.dispose();
  }
  return weights.map((weight, i) => {
    const trace = sums[i] / count;
    return { weight, trace, error: Math.sqrt(Math.max(0, squares[i] / count - trace ** 2) / Math.max(1, count - 1)) };
  });
}
