/** The self-check of every rewrite: the float output must not move. */
import { defineErrors } from '../errors.ts';
import type { Engine, Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { floatsOf, openGraph } from '../observe/taps.ts';

const errors = defineErrors('transform', {
  moved: (f: { output: string; deviation: number; tolerance: number }) =>
    `output ${f.output} moved by ${f.deviation.toExponential(2)} of its size, more than ${f.tolerance}`,
});

/** Largest ‖a − b‖ / ‖a‖ over the outputs of both graphs on the same feeds; throws where it exceeds the tolerance or is not a number. */
export async function checkEquivalent(before: Graph, after: Graph, engine: Engine, feeds: Feeds, tolerance = 1e-4): Promise<number> {
  const names = before.outputs.map(({ name }) => name);
  const run = async (graph: Graph) => {
    const session = await openGraph(graph, engine);
    try {
      return await session.run(feeds, names);
    } finally {
      await session.dispose();
    }
  };
  const [a, b] = [await run(before), await run(after)];
  let largest = 0;
  for (const name of names) {
    if (a[name].type !== 'f32' && a[name].type !== 'f16') continue;
    const [x, y] = [floatsOf(name, a[name]), floatsOf(name, b[name])];
    let difference = x.length === y.length ? 0 : Infinity, size = 0;
    for (let i = 0; i < x.length; i++) { difference += (x[i] - y[i]) ** 2; size += x[i] ** 2; }
    const deviation = difference === 0 ? 0 : Math.sqrt(difference / Math.max(size, Number.MIN_VALUE));
    if (!(deviation <= tolerance)) throw errors.moved({ output: name, deviation, tolerance });
    largest = Math.max(largest, deviation);
  }
  return largest;
}
