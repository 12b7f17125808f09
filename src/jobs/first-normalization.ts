/**
 * Whether inputs look like those that a network was trained on: what reaches its first batch normalization, against the
 * means and variances that it holds. Wrong scales and swapped ranges of images show here, before anything is measured.
 */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { readFloats } from '../graph/values.ts';
import { floatsOf, openGraph } from '../observe/taps.ts';

/** Standard deviations that a typical channel's mean may lie off, and factors that its deviation may differ by. */
const limits = { mean: 3, deviation: 4 };

/** One sentence for inputs that lie far off; undefined where they do not, or no normalization tells. */
export async function unlikeTraining(graph: Graph, engine: Engine, feeds: Feeds): Promise<string | undefined> {
  const node = graph.nodes.find(({ op, domain, inputs }) => op === 'BatchNormalization' && domain === '' && inputs.slice(1, 5).every((name) => graph.weights.has(name)));
  if (node === undefined) return undefined;
  const [value] = node.inputs;
  const visible = await withOutputs(graph, [value]);
  const session = await openGraph(removeDeadNodes({ ...visible, outputs: visible.outputs.filter(({ name }) => name === value) }), engine);
  try {
    const { shape, type, data } = (await session.run(feeds))[value];
    const { means, deviations } = await apart(graph, node, shape, floatsOf(value, { shape, type, data }));
    if (means <= limits.mean && deviations <= limits.deviation && deviations >= 1 / limits.deviation) return undefined;
    const spread = deviations >= 1 ? `${figure(deviations)} times` : `1/${figure(1 / deviations)} of`;
    return `inputs look unlike those of training: at the first batch normalization, ${node.name === '' ? value : node.name}, a typical channel has ${spread} the spread and its mean ${figure(means)} deviations off; check --input`;
  } finally {
    await session.dispose();
  }
}

/** Medians over channels of |mean − μ| / σ and of the ratio of deviations; values [batch, channels, …]. */
async function apart(graph: Graph, node: Node, shape: readonly number[], values: ArrayLike<number>): Promise<{ means: number; deviations: number }> {
  const [mu, variance] = await Promise.all([3, 4].map((at) => readFloats(graph.weights.get(node.inputs[at])!)));
  const [batch, channels, ...rest] = shape;
  const area = rest.reduce((product, dim) => product * dim, 1);
  const means: number[] = [];
  const deviations: number[] = [];
  for (let c = 0; c < channels; c++) {
    let sum = 0, squares = 0;
    for (let n = 0; n < batch; n++) {
      for (let i = 0; i < area; i++) {
        const x = values[(n * channels + c) * area + i];
        sum += x;
        squares += x * x;
      }
    }
    const mean = sum / (batch * area);
    const sigma = Math.sqrt(variance[c]);
    // A channel that never moved says nothing.
    if (!(sigma > 1e-6)) continue;
    means.push(Math.abs(mean - mu[c]) / sigma);
    deviations.push(Math.sqrt(Math.max(0, squares / (batch * area) - mean * mean)) / sigma);
  }
  return { means: median(means) ?? 0, deviations: median(deviations) ?? 1 };
}

const figure = (value: number): string => (value >= 10 ? String(Math.round(value)) : value.toPrecision(2));
const median = (values: number[]): number | undefined => values.sort((a, b) => a - b)[values.length >> 1];
