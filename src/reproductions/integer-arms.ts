/** What networks in integers are set beside: the float network, fake quantization with a float residual, time. */
import type { IntegerNetwork } from '../engine/integer/network.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Tensor } from '../engine/tensor.ts';
import { linearSites } from '../graph/linear.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { sortNodes } from '../graph/traverse.ts';
import { argMax, klDivergence, logSoftmax } from '../numeric/distribution.ts';
import type { Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { floatTensor } from '../tensor-ref.ts';

/** Top-1 in per cent, and mean KL to the float network in nats. */
export type ClassJudge = (graph: Graph) => Promise<{ readonly top1: number; readonly kl: number }>;

const chunk = 100;

/** Judges networks on labelled images beside a float one. */
export async function classJudge(float: Graph, data: Dataset, threads: number): Promise<ClassJudge> {
  const scoresOf = async (graph: Graph): Promise<Tensor[]> => {
    const session = await openGraph(graph, ortNode, { threads });
    const [{ name }] = session.outputs;
    const found: Tensor[] = [];
    try {
      for (let begin = 0; begin < data.count; begin += chunk) found.push((await session.run((await data.batch(range(begin, Math.min(data.count, begin + chunk)))).feeds, [name]))[name]);
    } finally {
      await session.dispose();
    }
    return found;
  };
  const reference = await scoresOf(float);
  const labels = (await data.batch(range(0, data.count))).labels as { values: readonly number[] };
  return async (graph) => {
    let [right, kl, row] = [0, 0, 0];
    for (const [i, { data: scores, shape: [, classes] }] of (await scoresOf(graph)).entries()) {
      for (let at = 0; at < scores.length; at += classes, row++) {
        if (argMax(scores as Float32Array, at, classes) === labels.values[row]) right++;
        kl += klDivergence(logSoftmax(reference[i].data as Float32Array, at, classes), logSoftmax(scores as Float32Array, at, classes));
      }
    }
    return { top1: (100 * right) / row, kl: kl / row };
  };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/**
 * Fake quantization as it is often written: weights and inputs of layers on the grids of an integer network, everything
 * between them float.
 */
export function floatResidual(graph: Graph, { ops, values }: IntegerNetwork): Graph {
  const grids = new Map<string, { scale: number; low: number; high: number }>();
  const weights = new Map(graph.weights);
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  for (const op of ops) {
    if (op.op !== 'products') continue;
    const { weight, output } = op;
    const { scales: [scale], low, high } = values.get(op.input)!;
    const site = sites.get(weight.id)!;
    grids.set(site.node.outputs[0], { scale, low, high });
    const steps = values.get(output)!.scales.map((product) => product / scale);
    weights.set(weight.id, floatTensor(weight.id, weight.shape, Float32Array.from(weight.codes, (code, i) => code * steps[site.transposed ? i % site.rows : Math.floor(i / site.cols)])));
  }
  const { graph: extended, result: seen } = extend({ ...graph, weights }, (tape) => new Map([...sites.values()].map((site): [string, string] => {
    const { scale, low, high } = grids.get(site.node.outputs[0])!;
    const step = tape.constant(scale);
    const codes = tape.op('Clip', [tape.op('Round', [tape.op('Div', [site.input, step])]), tape.constant(low), tape.constant(high)]);
    return [site.node.outputs[0], tape.op('Mul', [codes, step])];
  })));
  const nodes = extended.nodes.map((node) => {
    const input = seen.get(node.outputs[0]);
    return input === undefined ? node : { ...node, inputs: [input, ...node.inputs.slice(1)] };
  });
  const next = { ...extended, nodes };
  return { ...next, nodes: sortNodes(next) };
}

/** How many times as long one graph takes as another, run in turn on the same images: one figure per round. */
export async function timeAgainst(one: Graph, other: Graph, data: Dataset, threads: number, rounds = 7): Promise<number[]> {
  const { feeds } = await data.batch(range(0, data.count));
  const sessions = [await openGraph(one, ortNode, { threads }), await openGraph(other, ortNode, { threads })];
  const times: number[] = [];
  try {
    for (let round = -2; round < rounds; round++) {
      const taken: number[] = [];
      for (const session of sessions) {
        const start = performance.now();
        await session.run(feeds);
        taken.push(performance.now() - start);
      }
      if (round >= 0) times.push(taken[1] / taken[0]);
    }
  } finally {
    for (const session of sessions) await session.dispose();
  }
  return times;
}
