/** Top-1 accuracy of a graph on labelled samples. */
import type { Engine } from '../../engine/session.ts';
import { bindFeeds } from '../../evaluate/feeds.ts';
import type { Graph } from '../../graph/graph.ts';
import { argMax } from '../../numeric/distribution.ts';
import type { Dataset } from '../../observe/data/index.ts';
import { openGraph } from '../../observe/taps.ts';

/** Samples run at a time. */
const chunk = 100;

/** Per cent of the samples whose label has the highest score. */
export async function accuracyOf(graph: Graph, engine: Engine, data: Dataset): Promise<number> {
  const session = await openGraph(graph, engine);
  const [{ name }] = session.outputs;
  let right = 0;
  try {
    for (let begin = 0; begin < data.count; begin += chunk) {
      const { feeds, labels } = await data.batch(Array.from({ length: Math.min(chunk, data.count - begin) }, (_, i) => begin + i));
      const scores = (await session.run(bindFeeds(feeds, session.inputs), [name]))[name];
      const width = scores.shape.at(-1)!;
      (labels as { values: readonly number[] }).values.forEach((label, row) => {
        if (argMax(scores.data as Float32Array, row * width, width) === label) right++;
      });
    }
  } finally {
    await session.dispose();
  }
  return (100 * right) / data.count;
}

/** The samples with the float network's answers as their labels: accuracy on them is agreement with it. */
export async function labelledBy(graph: Graph, engine: Engine, data: Dataset): Promise<Dataset> {
  const session = await openGraph(graph, engine);
  const [{ name }] = session.outputs;
  const answers: number[] = [];
  try {
    for (let begin = 0; begin < data.count; begin += chunk) {
      const { feeds } = await data.batch(Array.from({ length: Math.min(chunk, data.count - begin) }, (_, i) => begin + i));
      const { data: scores, shape } = (await session.run(bindFeeds(feeds, session.inputs), [name]))[name];
      for (let row = 0; row < shape[0]; row++) answers.push(argMax(scores as Float32Array, row * shape.at(-1)!, shape.at(-1)!));
    }
  } finally {
    await session.dispose();
  }
  return {
    ...data, labels: 'classes',
    batch: async (indices) => ({ ...(await data.batch(indices)), labels: { kind: 'classes', values: indices.map((i) => answers[i]) } }),
  };
}
