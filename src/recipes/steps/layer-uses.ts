/** What layers take of the budgets beside size: bit operations by counting, time by measuring. */
import type { LayerLimits } from '../../allocate/allocation.ts';
import { defineErrors } from '../../errors.ts';
import type { NumberFormat } from '../../formats/format.ts';
import type { Linear } from '../../graph/linear.ts';
import { productsOf, shapesOfOne, type LayerShapes } from '../../observe/layer-work.ts';
import { firstBatch } from '../../observe/taps.ts';
import type { RecipeState, StepContext } from '../state.ts';

const errors = defineErrors('layer-uses', {
  noTimes: (_: Record<string, never>) => ['no engine is at hand that layers could be timed on', 'give a budget of bits, or of bit operations'] as const,
});

/** Bits of an input that no format rounds. */
const floatBits = 32;

export interface LayerUses {
  /** What a layer takes in a format, of the budgets that are asked for. */
  of(site: Linear, format: NumberFormat): Promise<LayerLimits>;
  /** What the numbers are of, and what the float layers take. */
  readonly counted: Readonly<Record<keyof LayerLimits, string>>;
  float(): LayerLimits;
}

export async function layerUses(state: RecipeState, candidates: readonly NumberFormat[], limits: LayerLimits, context: StepContext): Promise<LayerUses> {
  const { options } = context;
  const asked = limits.bops !== undefined || limits.milliseconds !== undefined;
  if (limits.milliseconds !== undefined && options.layerTimes === undefined) throw errors.noTimes({});
  const shapes = asked ? await shapesOfOne(state.graph, await firstBatch(context.batches(state, 'allocate')())) : undefined;
  const name = JSON.stringify(['times of layers', options.layerTimes?.counted]);
  const times = new Map(limits.milliseconds === undefined ? [] : Object.entries(await options.measurements?.read(name) ?? {}));
  const float = { bops: 0, milliseconds: 0 };
  const added = new Set<string>();
  const bitsOf = (site: Linear): number => context.activationOf(state, site)?.bits ?? options.inputBits ?? floatBits;
  /** Layers alike in shape take the same time. */
  const timeOf = async (site: Linear, shape: LayerShapes, format: NumberFormat): Promise<number> => {
    const alike = `${site.kind} ${site.rows}x${site.cols}/${site.groups} ${site.kernel.join('x')} ${shape.input.join('x')} ${shape.output.join('x')}`;
    if (!times.has(`${alike} ${format.name}`)) {
      const missing = [...new Map([...candidates, format].map((one) => [one.name, one])).values()].filter((one) => !times.has(`${alike} ${one.name}`) && one.refuses(site.rows, site.cols) === undefined);
      options.onLine?.(`timing ${alike} in ${missing.length} formats`);
      const found = await options.layerTimes!.of(state.graph, site, shape, missing);
      times.set(`${alike} float`, found.float);
      missing.forEach((one, i) => times.set(`${alike} ${one.name}`, found.formats[i]));
      await options.measurements?.write(name, Object.fromEntries(times));
    }
    if (!added.has(site.id)) float.milliseconds += times.get(`${alike} float`)!;
    return times.get(`${alike} ${format.name}`)!;
  };
  return {
    counted: { bops: '10⁹ bit operations for one sample: products of the layers that are chosen for, each with the bits of its weight times those of its input', milliseconds: options.layerTimes?.counted ?? '' },
    float: () => float,
    async of(site, format) {
      if (shapes === undefined) return {};
      const shape = shapes(site);
      const products = productsOf(site, shape) / 1e9;
      const milliseconds = limits.milliseconds === undefined ? undefined : await timeOf(site, shape, format);
      if (!added.has(site.id)) float.bops += products * floatBits ** 2;
      added.add(site.id);
      return {
        ...(limits.bops === undefined ? {} : { bops: products * format.bits * bitsOf(site) }),
        ...(milliseconds === undefined ? {} : { milliseconds }),
      };
    },
  };
}
