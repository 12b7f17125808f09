/**
 * Traces of the Hessian of a float network's distance to its own answers, one per weight. No labels are needed: for class
 * scores the distance is the KL divergence, for other outputs half the mean squared difference.
 *
 * At the float network itself that Hessian is JᵀFJ, J the scores by the weights, F = diag(p) − ppᵀ (or the identity). Its
 * trace is E‖Jᵀ F^½ u‖² over vectors u of ±1: Hutchinson's estimate taken from the side of the scores, which needs one
 * backward pass instead of two, is never negative, and varies far less than vᵀHv over the many weights
 * (`observe/hessian-trace.ts`, which takes any loss).
 */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { bindToShapes } from '../graph/bind.ts';
import { int } from '../graph/build.ts';
import { lower } from '../graph/composite.ts';
import { extend } from '../graph/extend.ts';
import { gradient } from '../graph/gradient/gradient.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { viewOf } from '../graph/traverse.ts';
import { logSoftmax } from '../numeric/distribution.ts';
import { exp } from '../numeric/elementary.ts';
import { coinFlips } from '../numeric/random.ts';
import type { HessianTrace } from '../observe/hessian-trace.ts';
import { noBatches, openGraph } from '../observe/taps.ts';

const push = 'scores/push';

export interface OwnTracesOptions {
  /** Vectors per batch; default 4. */
  readonly probes?: number;
  readonly seed?: number;
}

/** Traces for float32 weights by name, over batches of equal shapes; batches of other shapes are left out. */
export async function ownTraces(graph: Graph, engine: Engine, batches: readonly Feeds[], asked: readonly string[], { probes = 4, seed = 0 }: OwnTracesOptions = {}): Promise<HessianTrace[]> {
  if (batches.length === 0) throw noBatches({});
  const shapes = new Map(Object.entries(batches[0]).map(([name, { shape }]) => [name, shape]));
  const alike = batches.filter((feeds) => Object.entries(feeds).every(([name, { shape }]) => shape.join() === shapes.get(name)?.join()));
  const scores = scoresOf(graph);
  const bound = removeDeadNodes(await withOutputs({ ...await bindToShapes(graph, shapes), outputs: [] }, [scores]));
  // What only other outputs see does not move the scores.
  const weights = asked.filter((name) => bound.weights.has(name));
  const shape = viewOf(bound).info(scores)?.shape as readonly number[];
  const { graph: pushed, result: along } = extend({ ...bound, inputs: [...bound.inputs, { name: push, type: 'f32', shape }] }, (tape) =>
    tape.op('ReduceSum', [tape.op('Mul', [scores, push])], { keepdims: int(0) }));
  const backward = await gradient(pushed, along, weights);
  const { graph: squared, result: squares } = extend(backward.graph, (tape) => weights.map((name) => {
    const own = backward.gradients.get(name)!;
    return tape.op('ReduceSum', [tape.op('Mul', [own, own])], { keepdims: int(0) });
  }));
  const session = await openGraph(removeDeadNodes(lower(await withOutputs({ ...squared, outputs: [] }, [scores, ...squares]), new Map())), engine);
  const found = weights.map(() => [] as number[]);
  try {
    let draw = 0;
    for (const feeds of alike) {
      const zeros: Tensor = { type: 'f32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
      const answers = (await session.run({ ...feeds, [push]: zeros }, [scores]))[scores];
      for (let probe = 0; probe < probes; probe++) {
        const results = await session.run({ ...feeds, [push]: pushOf(answers, coinFlips(seed, 0, draw++, answers.data.length)) }, squares);
        squares.forEach((name, i) => found[i].push((results[name].data as Float32Array)[0]));
      }
    }
  } finally {
    await session.dispose();
  }
  return asked.map((weight) => {
    const i = weights.indexOf(weight);
    if (i < 0) return { weight, trace: 0, error: 0 };
    const trace = found[i].reduce((sum, value) => sum + value, 0) / found[i].length;
    const variance = found[i].reduce((sum, value) => sum + (value - trace) ** 2, 0) / Math.max(1, found[i].length - 1);
    return { weight, trace, error: Math.sqrt(variance / found[i].length) };
  });
}

/** F^½ u / √rows, so that its square is that of a mean over rows: √p ∘ u − p (√p · u) of class scores [rows, classes], u of other outputs. */
function pushOf({ shape, data }: Tensor, coins: ArrayLike<number>): Tensor {
  const u = Float32Array.from(coins, (heads) => (heads === 1 ? 1 : -1));
  if (shape.length !== 2) return { type: 'f32', shape, data: u.map((value) => value / Math.sqrt(data.length)) };
  const [rows, classes] = shape;
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const p = logSoftmax(data as Float32Array, row * classes, classes).map(exp);
    let dot = 0;
    for (let i = 0; i < classes; i++) dot += Math.sqrt(p[i]) * u[row * classes + i];
    for (let i = 0; i < classes; i++) out[row * classes + i] = (Math.sqrt(p[i]) * u[row * classes + i] - p[i] * dot) / Math.sqrt(rows);
  }
  return { type: 'f32', shape, data: out };
}

/** The first output; of probabilities, what they were made of. */
function scoresOf(graph: Graph): string {
  const [{ name }] = graph.outputs;
  const maker = viewOf(graph).producers.get(name);
  return maker?.op === 'Softmax' ? maker.inputs[0] : name;
}
