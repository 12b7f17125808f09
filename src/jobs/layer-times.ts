/**
 * How long layers take in each format, measured: a layer as a network of its own, as its file would hold it, run by the
 * engine that will load the file. All formats of a layer and the float layer take turns, so that other work on the machine
 * touches them alike.
 */
import type { Engine, Session } from '../engine/session.ts';
import { f32 } from '../engine/tensor.ts';
import { measureLatency } from '../evaluate/metrics/latency.ts';
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { normal } from '../numeric/random.ts';
import { openGraph } from '../observe/taps.ts';
import type { LayerTimes } from '../recipes/state.ts';
import { quantizedLazily } from '../round/quantized-matrix.ts';

/** Runs of each format, and milliseconds after which five of each are enough. */
const rounds = 30, budget = 400;

export const layerTimes = (engine: Engine, threads: number): LayerTimes => ({
  counted: `milliseconds of the layers that are chosen for, one after another, for one sample, each measured alone on ${engine.name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}; other operators aside`,
  async of(graph, site, { input, output }, formats) {
    const alone: Graph = {
      name: 'layer', nodes: [site.node], inputs: [{ name: site.input, type: 'f32', shape: input }], outputs: [{ name: site.output, type: 'f32', shape: output }],
      weights: new Map([...graph.weights].filter(([name]) => site.node.inputs.includes(name))), values: new Map(), opset: graph.opset, metadata: new Map(),
    };
    const [own] = linearSites(alone);
    const graphs = [alone];
    for (const format of formats) graphs.push((await exportWeightOnly(alone, new Map([[site.id, quantizedLazily(own, format)]]))).graph);
    const sessions: Session[] = [];
    try {
      for (const one of graphs) sessions.push(await openGraph(one, engine, { threads }));
      const feeds = { [site.input]: f32(input, Float32Array.from({ length: input.reduce((product, dim) => product * dim, 1) }, (_, i) => normal(0x71, 0, i))) };
      const [float, ...timed] = await measureLatency(sessions.map((session, i) => ({ name: String(i), run: () => session.run(feeds) })), { warmup: 2, rounds, budget });
      // The quietest tenth of the float layer's runs says how long it takes, ratios within rounds how the formats stand to it.
      return { float: float.p10, formats: timed.map(({ ratio }) => ratio * float.p10) };
    } finally {
      for (const session of sessions) await session.dispose();
    }
  },
});
