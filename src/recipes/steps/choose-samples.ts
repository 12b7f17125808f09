/** Sample inputs filtered and spread: outliers in what deep normalizations see are dropped, the rest is drawn from clusters of what the last one sees. */
import type { Engine, Feeds } from '../../engine/session.ts';
import type { Graph } from '../../graph/graph.ts';
import { withOutputs } from '../../graph/outputs.ts';
import { diverseSamples, similarityToFirst, type Described } from '../../observe/diverse-samples.ts';
import { floatsOf, openGraph } from '../../observe/taps.ts';
import { sampleRows } from '../../train/samples.ts';
import type { StepRunner } from '../state.ts';

const normalizations = new Set(['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization']);
/** Of all normalizations, the share that counts as deep, from the end. */
const deep = 1 / 3;

export const chooseSamples: StepRunner<'choose-samples'> = async (state, { step, clusters, perCluster }, context) => {
  const { engine, seed = 0 } = context.options;
  const rows = await sampleRows(context.batches(state, step)());
  const described = rows.length <= clusters * perCluster ? [] : await describeSamples(state.graph, engine, rows);
  if (described.length === 0) return { ...state, notes: [...state.notes, `all ${rows.length} samples are used`] };
  const { chosen, dropped } = diverseSamples(described, { clusters, perCluster, seed });
  const batches = (): Feeds[] => chosen.map((i) => rows[i]);
  return { ...state, batches, notes: [...state.notes, `${chosen.length} of ${rows.length} samples from ${clusters} clusters; ${dropped.length} dropped as outliers`] };
};

/** Samples by what the last third of the normalizations see of them; none where the network has no normalization. */
export async function describeSamples(graph: Graph, engine: Engine, rows: readonly Feeds[]): Promise<Described[]> {
  const norms = graph.nodes.filter(({ op }) => normalizations.has(op)).map(({ inputs }) => inputs[0]);
  const values = [...new Set(norms.slice(-Math.ceil(deep * norms.length)))];
  if (norms.length === 0) return [];
  const given = new Set(graph.inputs.map(({ name }) => name));
  const computed = values.filter((value) => !given.has(value));
  const session = await openGraph(await withOutputs(graph, computed), engine);
  const described: Described[] = [];
  try {
    for (const feeds of rows) {
      const made = { ...feeds, ...await session.run(feeds) };
      const last = made[values.at(-1)!];
      described.push({ statistics: values.flatMap((value) => meanAndDeviation(floatsOf(value, made[value]))), descriptor: describe(floatsOf(values.at(-1)!, last), last.shape) });
    }
  } finally {
    await session.dispose();
  }
  return described;
}

function meanAndDeviation(values: ArrayLike<number>): [number, number] {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i++) { sum += values[i]; squares += values[i] ** 2; }
  const mean = sum / values.length;
  return [mean, Math.sqrt(Math.max(0, squares / values.length - mean ** 2))];
}

/** Of [1, frames, tokens, width] how alike the frames are to the first; else the mean over tokens. */
function describe(values: ArrayLike<number>, shape: readonly number[]): ArrayLike<number> {
  const [frames, tokens, width] = shape.slice(-3);
  if (shape.length === 4 && frames > 1) return similarityToFirst(values, [frames, tokens, width]);
  const last = shape.at(-1)!;
  return Float64Array.from({ length: last }, (_, i) => {
    let sum = 0;
    for (let at = i; at < values.length; at += last) sum += values[at];
    return (sum * last) / values.length;
  });
}
