/** The front of size against error that a budget chooses from: the allocator's own, on the first rows of every layer. */
import { frontOf, pointOf, uniformChoice, type AllocationBudget, type LayerOptions } from '../../src/allocate/allocation.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { isTooShort, keepsFloat } from '../../src/jobs/keep.ts';
import { modernModel } from '../../src/jobs/recipe-runner.ts';
import { schemeForBits, type Target } from '../../src/jobs/schemes.ts';
import { storageOf } from '../../src/jobs/storage-cost.ts';
import { tensorView } from '../../src/jobs/tensor-view.ts';
import type { Calls, Front, Tell } from './protocol.ts';
import { opened } from './worker-desk.ts';
import { namesIn } from './words.ts';

/** Any fraction names the formats that budgets choose from. */
const anyBudget = 4.5;

export async function frontFor({ to, keep }: Calls['front']['give'], tell: Tell): Promise<Front> {
  const model = await modernModel(opened().model);
  const scheme = schemeForBits(anyBudget, to as Target, model.kind);
  const formats = scheme.budget!.formats.map((name) => parseFormat(name));
  const kept = namesIn(keep);
  const storage = storageOf(model, scheme, kept);
  const sites = [...new Map(linearSites(model.graph).map((site) => [site.id, site])).values()]
    .filter((site) => site.kind !== 'Gather' && !keepsFloat(site.id, site.node.name, kept) && !isTooShort(site, parseFormat(scheme.weights)) && formats.some((format) => format.refuses(site.rows, site.cols) === undefined));
  const layers: LayerOptions[] = [];
  for (const [i, site] of sites.entries()) {
    const view = await tensorView(site, formats);
    const options = [];
    for (const [k, format] of formats.entries()) {
      const { sqnr } = view.formats[k];
      if (sqnr === undefined || format.refuses(site.rows, site.cols) !== undefined) continue;
      options.push({ format: format.name, bits: await storage.bitsOf(site, format), loss: 10 ** (-sqnr / 10) });
    }
    if (options.length > 0) layers.push({ id: site.id, weights: site.rows * site.cols, options });
    tell('errors of layers', (i + 1) / sites.length);
  }
  const budget: AllocationBudget = { bitsPerWeight: anyBudget, weights: storage.weights, rest: await storage.rest(model.graph, new Set(layers.map(({ id }) => id))) };
  return {
    measure: 'squared error of the weights by their squares, summed over layers', points: frontOf(layers, budget),
    uniform: formats.flatMap(({ name }) => {
      const same = uniformChoice(layers, name);
      return same === undefined ? [] : [{ format: name, ...pointOf(layers, same, budget) }];
    }),
  };
}
