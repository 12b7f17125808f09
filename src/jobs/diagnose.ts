/**
 * Which layers of a quantized network cost most, by putting them back: sorted by the error of their weights, halves that
 * bring the outputs nearer to the float ones are halved again. Then the fewest layers that make up for most of the loss,
 * whether it is their weights or their inputs, and the fewest bits that would do instead of floats.
 */
import { chooseOptions } from '../allocate/choose.ts';
import type { Engine, Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { withFloatOperators } from '../graph/linear-operators.ts';
import { branchesBeside, matchLayers, type MatchedLayer } from '../observe/match-layers.ts';
import { comparedOutputs, distanceTo, type Distance, type Outputs } from '../observe/output-distance.ts';
import { quantizedLayers, unreadOperators, withPutBack, type PutBack } from '../observe/quantized-layers.ts';
import { withWholeTables } from '../observe/quantized-lookups.ts';
import { openGraph } from '../observe/taps.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';

export interface GuiltyLayer {
  /** Its codes in the quantized file, its weight in the float one. */
  readonly id: string;
  readonly site: string;
  readonly op: string;
  readonly weights: number;
  readonly bitsPerWeight: number;
  /** Squared error of its weights by their squares. */
  readonly weightError: number;
  /** By how much the distance falls when it alone is put back, and the same with its input float and its weights as they are. */
  readonly gain: number;
  readonly gainOfInput: number;
}

export interface Fix {
  readonly layers: readonly { readonly id: string; readonly site: string; readonly format: string; readonly bitsPerWeight: number; readonly floatInput: boolean }[];
  readonly distance: number;
  /** Of all layers together. */
  readonly extraBits: number;
  /** By the bits of all layers that were found. */
  readonly growth: number;
}

export interface Diagnosis {
  readonly distance: Distance;
  /** Of the quantized network, and with every layer put back. */
  readonly asIs: number;
  readonly allBack: number;
  readonly layers: number;
  readonly unmatched: readonly string[];
  /** Operators that take stored codes and are not taken apart, with how many there are. */
  readonly unread: Readonly<Record<string, number>>;
  /** Largest gain first. */
  readonly guilty: readonly GuiltyLayer[];
  /** The first of them that together recover most of what all layers recover. */
  readonly few: { readonly ids: readonly string[]; readonly distance: number; readonly recovered: number };
  readonly fix?: Fix;
  /** Networks that were run. */
  readonly trials: number;
}

export interface DiagnoseInput {
  readonly quantized: Graph;
  readonly float: Graph;
  readonly engine: Engine;
  readonly distance: Distance;
  /** The same samples for each network, under the names of its inputs. */
  readonly feeds: { readonly quantized: readonly Feeds[]; readonly float: readonly Feeds[] };
  /** Bits of weights that the file stores in other forms than the graph shows, by name. */
  readonly storedBits?: ReadonlyMap<string, number>;
  readonly threads?: number;
  onTrial?(done: number, what: string): void;
}

/** Share of what can be recovered below which a group of layers is not opened, and that the few must recover. */
const worth = 0.05, most = 0.8;
/** Share of what the few recover that cheaper formats may lose again. */
const lost = 0.1;
/** What a guilty layer may take instead of floats, cheapest first. */
const ladder = { grouped: ['uint3/g128', 'uint4/g128', 'uint4/g32', 'uint5/g64', 'uint6/g64', 'int8/g128', 'f16'], channels: ['uint3/channel', 'uint4/channel', 'uint5/channel', 'uint6/channel', 'int8/channel', 'f16'] } as const;

export async function diagnose({ quantized: given, float, engine, distance, feeds, storedBits, threads, onTrial }: DiagnoseInput): Promise<Diagnosis> {
  const quantized = withWholeTables(await withFloatOperators(given));
  const layers = (await quantizedLayers(quantized, engine)).map((layer) => ({ ...layer, bits: storedBits?.get(layer.id) ?? layer.bits }));
  const branches = branchesBeside(quantized, layers);
  const { matched, unmatched } = matchLayers(layers, await quantizedLayers(float, engine), branches);
  const options = threads === undefined ? undefined : { threads };
  const compared = sharedOutputs(float, quantized, distance);
  const run = async (graph: Graph, samples: readonly Feeds[]): Promise<Outputs[]> => {
    const session = await openGraph(graph, engine, options);
    try {
      const results: Outputs[] = [];
      for (const sample of samples) results.push(await session.run(sample, compared));
      return results;
    } finally {
      await session.dispose();
    }
  };
  const distanceOf = distanceTo(distance, await run(float, feeds.float));
  let trials = 0;
  const known = new Map<string, number>();
  const measure = async (back: ReadonlyMap<string, PutBack>, what: string): Promise<number> => {
    onTrial?.(++trials, what);
    return distanceOf(await run(withPutBack(quantized, layers, back), feeds.quantized));
  };
  const putBack = async (group: readonly MatchedLayer[], what: string): Promise<number> => {
    const key = group.map(({ layer }) => layer.id).join(' ');
    const found = known.get(key) ?? await measure(new Map(group.map(({ layer, float: matrix }) => [layer.id, { matrix, floatInput: true }])), what);
    known.set(key, found);
    return found;
  };

  const asIs = await measure(new Map(), 'as it is');
  // A table that is tied to the head is one weight at two places: they go back together. What is the float layer loses nothing.
  const suspects = [...new Map(matched.filter(({ layer, error }) => error > 0 || layer.roundsInput).map((one) => [one.layer.id, one])).values()].sort((a, b) => b.error - a.error);
  const allBack = suspects.length === 0 ? asIs : await putBack(suspects, 'all layers put back');
  const recoverable = asIs - allBack;
  const gains = await bisect(suspects, async (group) => asIs - await putBack(group, `${group.length} put back`), worth * Math.max(0, recoverable));
  const guilty: GuiltyLayer[] = [];
  for (const { item: { layer, partner, error }, gain } of gains) {
    const gainOfInput = layer.roundsInput ? asIs - await measure(new Map([[layer.id, { floatInput: true }]]), `input of ${layer.id}`) : 0;
    guilty.push({ id: layer.id, site: partner.id, op: layer.op, weights: layer.rows * layer.cols, bitsPerWeight: layer.bits / (layer.rows * layer.cols), weightError: error, gain, gainOfInput });
  }
  const byId = new Map(matched.map((one) => [one.layer.id, one]));
  const few: MatchedLayer[] = [];
  let reached = asIs;
  for (const { id } of guilty) {
    if (asIs - reached >= most * recoverable) break;
    few.push(byId.get(id)!);
    reached = await putBack(few, `${few.length} worst put back`);
  }
  const fix = few.length === 0 || reached >= asIs ? undefined : await cheapestFix(few, new Map(guilty.map((one) => [one.id, one])), asIs, reached, layers.reduce((sum, { bits }) => sum + bits, 0), measure);
  return {
    distance, asIs, allBack, layers: new Set(layers.filter((layer) => !branches.parts.has(layer)).map(({ id }) => id)).size, unmatched: [...new Set(unmatched.map(({ id }) => id))],
    unread: Object.fromEntries(unreadOperators(quantized, layers)), guilty,
    few: { ids: few.map(({ layer }) => layer.id), distance: reached, recovered: recoverable > 0 ? (asIs - reached) / recoverable : 0 },
    ...(fix === undefined ? {} : { fix }), trials,
  };
}

/** Items that gain at least so much by themselves, largest first, by opening halves that do; the best one where none does. */
export async function bisect<T>(items: readonly T[], gainOf: (group: readonly T[]) => Promise<number>, least: number): Promise<{ item: T; gain: number }[]> {
  const found: { item: T; gain: number }[] = [];
  const open = async (group: readonly T[], forced: boolean): Promise<void> => {
    if (group.length === 0) return;
    const gain = await gainOf(group);
    if (!forced && gain < least) return;
    if (group.length === 1) { found.push({ item: group[0], gain }); return; }
    const middle = Math.ceil(group.length / 2);
    const halves = [group.slice(0, middle), group.slice(middle)];
    const each = [await gainOf(halves[0]), await gainOf(halves[1])];
    // Layers that matter only together: the better half is looked into.
    const none = each.every((value) => value < least);
    await open(halves[0], none && each[0] >= each[1]);
    await open(halves[1], none && each[1] > each[0]);
  };
  await open(items, items.length > 0);
  return found.sort((a, b) => b.gain - a.gain);
}

/** Formats for the few that lose little against floats, with the fewest bits. */
async function cheapestFix(
  few: readonly MatchedLayer[], guilty: ReadonlyMap<string, GuiltyLayer>, asIs: number, reached: number, allBits: number,
  measure: (back: ReadonlyMap<string, PutBack>, what: string) => Promise<number>,
): Promise<Fix> {
  const floatBack = new Map<string, PutBack>(few.map(({ layer, float }) => [layer.id, { matrix: float, floatInput: true }]));
  interface Way { readonly format: string; readonly bits: number; readonly loss: number; readonly back: PutBack }
  const ways: Way[][] = [];
  for (const { layer, float } of few) {
    const { gain, gainOfInput } = guilty.get(layer.id)!;
    // Integer products cannot take float weights beside rounded inputs.
    const whole = layer.op.endsWith('Integer');
    const floatInput = layer.roundsInput && gainOfInput > gain / 4;
    const { rows, cols, id } = layer;
    const own: Way[] = [];
    const add = async (format: string, bits: number, back: PutBack): Promise<void> => {
      own.push({ format, bits, back, loss: Math.max(0, await measure(changed(new Map([...floatBack, [id, back]])), `${id}: ${format}`) - reached) });
    };
    await add('as it is', layer.bits, { floatInput });
    if (layer.roundsInput && !floatInput) await add('as it is', layer.bits, { floatInput: true });
    for (const name of cols % 32 === 0 && !layer.op.startsWith('Conv') ? ladder.grouped : ladder.channels) {
      const format = parseFormat(name);
      const bits = rows * cols * format.bitsPerWeight(rows, cols);
      if (bits <= layer.bits || format.refuses(rows, cols) !== undefined) continue;
      await add(name, bits, { floatInput: floatInput || whole, matrix: format.decode(encodeMatrix(format, float, rows, cols, { name: id, search: 'mse' })) });
    }
    // Put back as a whole it loses nothing, whatever its rounded input does.
    own.push({ format: 'f32', bits: 32 * rows * cols, loss: 0, back: floatBack.get(id)! });
    ways.push(own);
  }
  const { choice } = await chooseOptions(ways.map((own) => own.map(({ bits, loss }) => ({ loss: bits, uses: [loss] }))), [lost * (asIs - reached)]);
  const chosen = ways.map((own, i) => own[choice[i]]);
  const extraBits = chosen.reduce((sum, { bits }, i) => sum + bits - few[i].layer.bits, 0);
  return {
    layers: chosen.map(({ format, bits, back }, i) => {
      const { layer, partner } = few[i];
      return { id: layer.id, site: partner.id, format, bitsPerWeight: bits / (layer.rows * layer.cols), floatInput: back.floatInput };
    }),
    distance: await measure(changed(new Map(few.map(({ layer }, i) => [layer.id, chosen[i].back]))), 'the fix'),
    extraBits, growth: extraBits / allBits,
  };
}

/** Layers that stay as they are need no replacement. */
const changed = (back: ReadonlyMap<string, PutBack>): Map<string, PutBack> => new Map([...back].filter(([, { matrix, floatInput }]) => matrix !== undefined || floatInput));

/** Outputs that both networks have. */
function sharedOutputs(float: Graph, quantized: Graph, distance: Distance): string[] {
  const names = new Set(quantized.outputs.map(({ name }) => name));
  const shared = float.outputs.filter(({ name }) => names.has(name));
  return comparedOutputs(shared.length > 0 ? shared : float.outputs, distance);
}
