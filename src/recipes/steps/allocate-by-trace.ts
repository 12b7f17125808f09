/** Formats per layer by an integer program over the traces of the Hessian (HAWQ-V3, arXiv:2011.10680, section 3.4). */
import { chooseByTrace, omega, type TracedOptions } from '../../allocate/by-trace.ts';
import type { Feeds } from '../../engine/session.ts';
import { parseFormat } from '../../formats/registry.ts';
import type { Graph } from '../../graph/graph.ts';
import { weightSites, type Linear } from '../../graph/linear.ts';
import { firstBatches } from '../../observe/few-batches.ts';
import { productsOf, shapesOfOne } from '../../observe/layer-work.ts';
import { encodeMatrix } from '../../round/encode-matrix.ts';
import { ownTraces } from '../../train/own-traces.ts';
import type { StepContext, StepRunner } from '../state.ts';

/** Samples whose traces are taken, and random vectors in all. */
const most = { samples: 64, tokens: 2048 } as const;
const vectors = 32;
/** Bits of what layers multiply, as integer-only networks have them. */
const activationBits = 8;

export const allocateByTrace: StepRunner<'allocate-by-trace'> = async (state, { step, formats, budget, share }, context) => {
  const { options: { onLine, storage } } = context;
  const batches = await firstBatches(context.batches(state, step)(), most);
  const sites = weightSites(state.graph).filter((site) => site.kind !== 'ConvTranspose' && context.formatOf(state, site) !== undefined);
  const traces = await tracesOf(state.graph, sites, batches, context);
  const shapes = budget === 'bops' ? await shapesOfOne(state.graph, batches[0]) : undefined;
  const layers: TracedOptions[] = [];
  for (const [i, site] of sites.entries()) {
    // The first and the last layer keep the widest format.
    const allowed = i === 0 || i === sites.length - 1 ? formats.slice(-1) : formats;
    const matrix = await site.weightMatrix();
    layers.push({
      trace: traces.get(site.id)!, count: site.rows * site.cols,
      ...(allowed.length === 1 ? {} : { tie: site.input }),
      options: await Promise.all(allowed.map(async (name) => {
        const format = parseFormat(name);
        const bits = await storage?.bitsOf(site, format) ?? site.rows * site.cols * format.bitsPerWeight(site.rows, site.cols);
        return { error: encodeMatrix(format, matrix, site.rows, site.cols, { name: site.id }).squaredError, uses: [shapes === undefined ? bits : productsOf(site, shapes(site)) * format.bits * activationBits] };
      })),
    });
  }
  const { choice, loss } = await chooseByTrace(layers, [share]);
  const chosen = sites.map((site, i): [string, string] => [site.id, (layers[i].options.length === 1 ? formats.slice(-1) : formats)[choice[i]]]);
  const widest = layers.reduce((sum, layer) => sum + omega(layer, layer.options.at(-1)!), 0);
  const narrow = chosen.filter(([, name]) => name !== formats.at(-1)).map(([id]) => id);
  const note = `formats by the trace of the Hessian, ${100 * share} % of what ${budget === 'bops' ? 'bit operations' : 'size'} can take: ${narrow.length} of ${sites.length} layers narrower than ${formats.at(-1)} (${narrow.join(', ')}); Ω ${loss.toPrecision(3)}, ${widest.toPrecision(3)} with all of them wide`;
  onLine?.(note);
  return { ...state, formats: new Map([...state.formats, ...chosen.map(([id, name]): [string, ReturnType<typeof parseFormat>] => [id, parseFormat(name)])]), notes: [...state.notes, note] };
};

/** By weight id. What an earlier run measured on the same network and data is taken from it. */
async function tracesOf(graph: Graph, sites: readonly Linear[], batches: readonly Feeds[], { recipe, options }: StepContext): Promise<ReadonlyMap<string, number>> {
  const before = recipe.steps.slice(0, recipe.steps.findIndex(({ step }) => step === 'allocate-by-trace'));
  const name = JSON.stringify(['traces of the Hessian', before, most, vectors, options.seed ?? 0]);
  const known = await options.measurements?.read(name);
  if (known !== undefined) return new Map(Object.entries(known));
  const probes = Math.ceil(vectors / batches.length);
  const traces = await ownTraces(graph, options.engine, batches, sites.map(({ id }) => id), { probes, ...(options.seed === undefined ? {} : { seed: options.seed }) });
  const noisiest = traces.reduce((worst, one) => (one.error * worst.trace > worst.error * one.trace ? one : worst));
  options.onLine?.(`traces of the Hessian over ${probes * batches.length} vectors, standard error at most ${((100 * noisiest.error) / Math.max(noisiest.trace, Number.MIN_VALUE)).toFixed(0)} % (${noisiest.weight})`);
  const found = Object.fromEntries(traces.map(({ weight, trace }) => [weight, trace]));
  await options.measurements?.write(name, found);
  return new Map(Object.entries(found));
}
