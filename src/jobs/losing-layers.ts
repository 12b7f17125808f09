/**
 * Where a static int8 graph loses: activations left float, one at a time, with everything that reads or makes them, and
 * how much nearer the outputs come to the float model's on calibration data. Runs of neighbours are tried first, and
 * only the best of them one by one.
 */
import type { Engine } from '../engine/session.ts';
import { activationValues } from '../export/onnx-static.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { viewOf } from '../graph/traverse.ts';
import type { Batches } from '../observe/taps.ts';
import type { Applied } from '../recipes/apply.ts';
import { without } from './float-ends.ts';
import { staticNoise, type StaticNoise } from './static-noise.ts';

export interface LosingLayer {
  /** The activation, as `--keep` takes it. */
  readonly value: string;
  /** What makes it: the weight of a layer, else the operator. */
  readonly maker: string;
  /** dB by which the outputs come nearer to the float model's when this activation alone is float. */
  readonly gain: number;
}

export interface LosingLayers {
  /** Of the outputs, dB: with every activation in integers, and with float activations before low-bit weights. */
  readonly sqnr: number;
  readonly weightsAlone: number;
  /** Largest gain first. */
  readonly layers: readonly LosingLayer[];
}

/** Runs of neighbours that are looked into. */
const opened = 3;
/** dB below which an activation is not worth a name. */
const least = 0.1;

/** The `count` activations whose rounding costs most. */
export const losingLayers = (applied: Applied, engine: Engine, batches: Batches, count = 5): Promise<LosingLayers> =>
  rankedLayers(applied, staticNoise(applied.graph, engine, batches), count);

/** The same by a measure of noise that is prepared already. */
export async function rankedLayers(applied: Applied, sqnrOf: StaticNoise, count: number): Promise<LosingLayers> {
  const sqnrWithout = (values: readonly string[]): Promise<number> => sqnrOf(without(applied, values));
  const values = activationValues(applied.graph).filter((value) => applied.ranges.has(value));
  const sqnr = await sqnrOf(applied);
  const ranked: { run: readonly string[]; gain: number }[] = [];
  const size = Math.max(1, Math.ceil(Math.sqrt(values.length)));
  for (let begin = 0; begin < values.length; begin += size) {
    const run = values.slice(begin, begin + size);
    ranked.push({ run, gain: (await sqnrWithout(run)) - sqnr });
  }
  ranked.sort((a, b) => b.gain - a.gain);
  const layers: LosingLayer[] = [];
  const maker = makers(applied.graph);
  for (const { run } of ranked.slice(0, opened)) {
    for (const value of run) layers.push({ value, maker: maker(value), gain: (await sqnrWithout([value])) - sqnr });
  }
  return {
    sqnr, weightsAlone: await sqnrWithout(values),
    layers: layers.filter(({ gain }) => gain >= least).sort((a, b) => b.gain - a.gain).slice(0, count),
  };
}

/** What makes a value, past the clamp that belongs to it. */
function makers(graph: Graph): (value: string) => string {
  const view = viewOf(graph);
  const sites = new Map(linearSites(graph).map((site) => [site.output, site.id]));
  return (value) => {
    const node = view.producers.get(value);
    if (node === undefined) return 'input';
    return sites.get(value) ?? (node.op === 'Relu' || node.op === 'Clip' ? sites.get(node.inputs[0]) : undefined) ?? node.op;
  };
}

/** One line: how far, by which layers, and what leaves them float. */
export function losingNote({ sqnr, weightsAlone, layers }: LosingLayers): string {
  const far = `outputs lie ${sqnr.toFixed(1)} dB from the float model's on calibration data, ${weightsAlone.toFixed(1)} dB with float activations`;
  if (layers.length === 0) return `${far}; no activation stands out`;
  const named = layers.map(({ value, maker, gain }) => `${value} of ${maker} (+${gain.toFixed(1)} dB as float)`).join(', ');
  return `${far}; most is lost at ${named}; --keep '${layers.map(({ value }) => value).join(',')}' leaves them float`;
}
