/** ARCQuant: do residuals of the largest channels bring NVFP4 inputs near 8-bit ones, and at what width? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { hadamardMatrix } from '../numeric/hadamard.ts';
import { observeInputRows } from '../observe/input-rows.ts';
import { applyRecipe, type Applied } from '../recipes/apply.ts';
import type { Step } from '../recipes/recipe.ts';
import { balanceFactors, balanceInputs } from '../transform/balance.ts';
import { openProducts, rounded, type Products } from '../transform/layer-error.ts';
import { rotateInputs } from '../transform/rotate.ts';
import { ditFiles, openDit } from './data/dit.ts';
import { openLlama } from './data/llama.ts';
import { judgeNetworks } from './dit-arms.ts';
import { measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { bitsOfArm, hostNotes, isDitLayer, isLlamaLayer, LanguageArms, layerEnergies, layerErrors, lessLayerError, plantOutliers, weightCounts } from './w4a4-arms.ts';
import { standard } from './written.ts';

const reduced = { windows: 32, calibration: 8, points: 64, images: 20, steps: 20 } as const;
const whole = { windows: 193, calibration: 128, points: 256, images: 100, steps: 50 } as const;
const short = { ...reduced, windows: 12 } as const;

const sort: Step = { step: 'sort-channels' };
const nearest: Step = { step: 'round', rounder: 'nearest' };
const residuals = (channels: 'rule' | number): Step => ({ step: 'residual-channels', channels, samples: 256 });

/** What a recipe left, and the float graph that it rounded: residual channels are no part of it. */
interface Made extends Applied { readonly float: Graph }

interface Case { readonly steps: readonly Step[]; readonly weights?: string; readonly inputs?: string | null; prepare?(graph: Graph, sites: readonly Linear[], points: Feeds): Promise<Pick<Applied, 'graph' | 'kept'>> }

const cases: Readonly<Record<string, Case>> = {
  'NVFP4': { steps: [nearest] },
  'MXFP4': { steps: [nearest], weights: 'mxfp4', inputs: 'mxfp4' },
  'NVFP4, turned in blocks of 16': {
    steps: [nearest],
    prepare: (graph, sites) => {
      const matrix = hadamardMatrix(16);
      const widths = new Map(sites.map(({ cols }) => [cols, { width: cols, order: 16, matrix }]));
      return rotateInputs(graph, ({ cols }) => widths.get(cols), sites);
    },
  },
  'NVFP4, smoothed by one half': { steps: [nearest], prepare: async (graph, sites, points) => ({ graph: await smoothedByHalf(graph, sites, points), kept: new Set() }) },
  'NVFP4 weights, MXFP8 inputs': { steps: [nearest], inputs: 'mxfp8_e4m3' },
  'NVFP4 weights, float inputs': { steps: [nearest], inputs: null },
  'ARCQuant': { steps: [sort, nearest, residuals('rule')] },
  'ARCQuant, an eighth of the channels': { steps: [sort, nearest, residuals(1 / 8)] },
  'ARCQuant, all channels': { steps: [sort, nearest, residuals(1)] },
  'ARCQuant, all channels in their own order': { steps: [nearest, residuals(1)] },
};

async function make({ steps, weights = 'nvfp4', inputs = 'nvfp4', prepare }: Case, graph: Graph, called: (id: string) => boolean, points: Feeds): Promise<Made> {
  const sites = linearSites(graph).filter(({ id }) => called(id));
  const from = prepare === undefined ? { graph, kept: new Set<string>() } : await prepare(graph, sites, points);
  const own = ({ id }: Linear): boolean => called(id) && !from.kept.has(id);
  const [format, input] = [parseFormat(weights), inputs === null ? undefined : parseFormat(inputs)];
  const through = (part: readonly Step[]): Promise<Applied> => applyRecipe({ name: 'arm', summary: '', needs: [], steps: part, formats: [], exports: [] }, from.graph, {
    engine: ortNode, batches: () => [points], formatOf: (site) => (own(site) ? format : undefined), activationOf: (site) => (own(site) ? input : undefined),
  });
  const applied = await through(steps);
  const before = steps.filter(({ step }) => step !== 'residual-channels');
  return { ...applied, kept: from.kept, float: before.length === steps.length ? applied.graph : (await through(before)).graph };
}

async function smoothedByHalf(graph: Graph, sites: readonly Linear[], points: Feeds): Promise<Graph> {
  const seen = await observeInputRows(graph, ortNode, [points], sites);
  const largest = new Map<string, Float32Array>();
  for (const site of sites) {
    const most = largest.get(site.input) ?? new Float32Array(site.cols);
    (await site.weightMatrix()).forEach((w, i) => { most[i % site.cols] = Math.max(most[i % site.cols], Math.abs(w)); });
    largest.set(site.input, most);
  }
  return balanceInputs(graph, new Map([...seen].map(([value, { maxAbsolute }]) => [value, balanceFactors(maxAbsolute, largest.get(value)!, 0.5)])));
}

/** Σ(x − x̂)² of inputs by one stage of rounding over that of two, by input. */
async function stageGains(graph: Graph, called: (id: string) => boolean, points: Feeds): Promise<number[]> {
  const format = parseFormat('nvfp4');
  const seen = await observeInputRows(graph, ortNode, [points], linearSites(graph).filter(({ id }) => called(id)));
  return [...seen.values()].map(({ values, count, cols }) => {
    const first = rounded(values, count, cols, format);
    const lost = values.map((v, i) => v - first[i]);
    const second = rounded(lost, count, cols, format);
    const energy = (errors: Float32Array): number => errors.reduce((sum, e) => sum + e * e, 0);
    return energy(lost) / energy(lost.map((e, i) => e - second[i]));
  });
}

const shareOf = ({ weights }: Applied, counts: ReadonlyMap<string, number>): number => {
  let [wide, plain] = [0, 0];
  for (const [id, { rows, cols }] of weights) { wide += rows * cols; plain += counts.get(id)!; }
  return wide / plain - 1;
};

async function run({ asset, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : page ? short : reduced;
  const products = await openProducts(ortNode);
  try {
    const language = await onLanguage(products, protocol, threads, say);
    const diffusion = page ? nothing : await onDiffusion(products, protocol, asset, threads, say);
    return {
      arms: [...language.arms, ...diffusion.arms],
      protocol: { ...protocol, judgedPoints: 256, channels: 'metric: largest magnitude; threshold: an eighth of the largest of the token' },
      checks: [...language.checks, ...diffusion.checks],
      notApplicable: [
        ...(page ? [notInPage('the diffusion transformer', 'its weights do not come with it')] : []),
        { arm: 'speed at 0, 3 and 12 % more channels', reason: 'the engine has no product of FP4 codes: files compute the rounded values in float, K + S channels wide' },
        { arm: 'keys and values at 4 bits', reason: 'the language model of the repository is judged without a cache' },
      ],
      notes: [
        ...hostNotes,
        'bits count scales and the repeated columns, which files store twice; magnitudes decide the count of channels, where the code of the authors compares signed values',
        'the scale of the whole input is measured on each call, over all its tokens',
        ...language.notes, ...diffusion.notes,
      ],
    };
  } finally {
    await products.dispose();
  }
}

type Protocol = typeof reduced | typeof whole | typeof short;
const nothing: Part = { arms: [], checks: [], notes: [] };
interface Part { readonly arms: readonly Arm[]; readonly checks: readonly Check[]; readonly notes: readonly string[] }

async function onLanguage(products: Products, protocol: Protocol, threads: number, say: (line: string) => void): Promise<Part> {
  const host = await openLlama();
  try {
    const points = host.calibration(protocol.calibration, 100, protocol.calibration)[0];
    const heldout = host.calibration(4, 200, 4)[0];
    const arms = await LanguageArms.open(host.graph, host.judged(protocol.windows), threads);
    const counts = weightCounts(host.graph);
    const shares = new Map<string, number>();
    const judge = async (prefix: string, graph: Graph, names: readonly string[]): Promise<void> => {
      const energies = await layerEnergies(products, graph, heldout, isLlamaLayer);
      for (const name of names) {
        const made = await make(cases[name], graph, isLlamaLayer, points);
        const errors = await layerErrors(products, made.float, made, energies, heldout);
        shares.set(`${prefix}${name}`, shareOf(made, counts));
        await arms.add(`${prefix}${name}`, await standard(made), bitsOfArm(made, counts), errors);
        say(`${prefix}${name}: KL ${measured(arms.kl.get(`${prefix}${name}`)!).mean.toFixed(5)}, layers ${(100 * measured([...errors.values()]).mean).toFixed(2)} %`);
      }
    };
    await judge('language: ', host.graph, Object.keys(cases));
    await judge('planted twin: ', await plantOutliers(host.graph, isLlamaLayer), ['NVFP4', 'NVFP4 weights, MXFP8 inputs', 'ARCQuant', 'ARCQuant, an eighth of the channels']);
    const none = await make({ steps: [sort, nearest, residuals(0)] }, host.graph, isLlamaLayer, points);
    const sorted = await make({ steps: [sort, nearest] }, host.graph, isLlamaLayer, points);
    await arms.add('language: no residual channels', await standard(none), bitsOfArm(none, counts));
    await arms.add('language: NVFP4, sorted', await standard(sorted), bitsOfArm(sorted, counts));
    const gains = await stageGains(host.graph, isLlamaLayer, heldout);
    const mean = (name: string): number => measured([...arms.layers.get(`language: ${name}`)!.values()]).mean;
    const [same, other] = [arms.kl.get('language: no residual channels')!, arms.kl.get('language: NVFP4, sorted')!];
    const percent = (value: number): string => (100 * value).toFixed(2);
    const within = (name: string, a: string, b: string, share: number): Check =>
      ({ name, expected: `mean layer error within ${100 * share} %`, measured: `${percent(mean(a))} against ${percent(mean(b))} %`, holds: mean(a) <= mean(b) * (1 + share) && mean(a) >= mean(b) * (1 - share) });
    return {
      arms: arms.arms,
      checks: [
        arms.layersErrLess('language: NVFP4', 'language: MXFP4'),
        arms.layersErrLess('language: ARCQuant', 'language: NVFP4'),
        arms.layersErrLess('language: ARCQuant, an eighth of the channels', 'language: NVFP4'),
        arms.layersErrLess('language: NVFP4 weights, float inputs', 'language: ARCQuant'),
        { name: 'ARCQuant against MXFP8 inputs', expected: 'mean layer error at most a tenth more', measured: `${percent(mean('ARCQuant'))} against ${percent(mean('NVFP4 weights, MXFP8 inputs'))} %`, holds: mean('ARCQuant') <= 1.1 * mean('NVFP4 weights, MXFP8 inputs') },
        within('all channels against MXFP8 inputs', 'ARCQuant, all channels', 'NVFP4 weights, MXFP8 inputs', 0.05),
        within('all channels, sorted or not', 'ARCQuant, all channels', 'ARCQuant, all channels in their own order', 0.1),
        { name: 'error of inputs, one stage over two', expected: 'more than 30 times less, every input', measured: `${Math.min(...gains).toFixed(0)} to ${Math.max(...gains).toFixed(0)}`, holds: gains.every((gain) => gain > 30) },
        { name: 'no residual channels', expected: 'what NVFP4 on sorted channels gives, to the bit', measured: `largest difference of KL ${Math.max(...same.map((kl, i) => Math.abs(kl - other[i]))).toExponential(1)}`, holds: same.every((kl, i) => kl === other[i]) },
        arms.nearer('language: ARCQuant', 'language: NVFP4'),
        arms.nearer('language: ARCQuant, all channels', 'language: ARCQuant'),
        arms.nearer('language: ARCQuant', 'language: NVFP4, turned in blocks of 16'),
        arms.layersErrLess('planted twin: ARCQuant', 'planted twin: NVFP4'),
        arms.nearer('planted twin: ARCQuant', 'planted twin: NVFP4'),
        { name: 'channels that the rule keeps', expected: 'fewer where outliers stand out: on the planted twin than on the network itself', measured: `${percent(shares.get('planted twin: ARCQuant')!)} against ${percent(shares.get('language: ARCQuant')!)} %`, holds: shares.get('planted twin: ARCQuant')! < shares.get('language: ARCQuant')! },
      ],
      notes: [`the rule keeps residuals of ${percent(shares.get('language: ARCQuant')!)} % of the channels of the language model, of ${percent(shares.get('planted twin: ARCQuant')!)} % on its planted twin`],
    };
  } finally {
    await host.close();
  }
}

async function onDiffusion(products: Products, protocol: Protocol, asset: (path: string) => string, threads: number, say: (line: string) => void): Promise<Part> {
  const host = await openDit(asset, { threads });
  try {
    const [points, heldout] = [await host.points(protocol.points, 100), await host.points(16, 200)];
    const energies = await layerEnergies(products, host.graph, heldout, isDitLayer);
    const counts = weightCounts(host.graph);
    const made = new Map<string, Made>();
    const layers = new Map<string, ReadonlyMap<string, number>>();
    for (const name of ['NVFP4', 'MXFP4', 'NVFP4 weights, MXFP8 inputs', 'ARCQuant', 'ARCQuant, an eighth of the channels', 'ARCQuant, all channels']) {
      const one = await make(cases[name], host.graph, isDitLayer, points);
      made.set(`diffusion: ${name}`, one);
      layers.set(`diffusion: ${name}`, await layerErrors(products, one.float, one, energies, heldout));
    }
    const judged = await judgeNetworks(host, Object.fromEntries([...made].map(([name, one]) => [name, () => standard(one)])), { images: protocol.images, steps: protocol.steps, say });
    const less = (one: string, other: string): Check => lessLayerError(one, layers.get(one)!, other, layers.get(other)!);
    return {
      arms: judged.arms.map((one) => ({ ...one, metrics: { ...one.metrics, 'layer error, %': measured([...layers.get(one.name)!.values()].map((error) => 100 * error)), 'bits a weight': measured([bitsOfArm(made.get(one.name)!, counts)]) } })),
      checks: [
        less('diffusion: ARCQuant', 'diffusion: NVFP4'), less('diffusion: NVFP4', 'diffusion: MXFP4'),
        judged.better('diffusion: ARCQuant', 'diffusion: NVFP4'), judged.better('diffusion: ARCQuant, all channels', 'diffusion: NVFP4'),
      ],
      notes: [`the rule keeps residuals of ${(100 * shareOf(made.get('diffusion: ARCQuant')!, counts)).toFixed(1)} % of the channels of the diffusion transformer`],
    };
  } finally {
    await host.close();
  }
}

export const arcquantReproduction: Reproduction = {
  recipe: 'arcquant',
  paper: { title: 'ARCQuant: Boosting NVFP4 Quantization with Augmented Residual Channels for LLMs', arxiv: '2601.07475' },
  claim: 'NVFP4 weights and inputs of Llama and Qwen models with perplexity and downstream accuracy comparable to 16 bits, worst-case error comparable to MXFP8, up to 3 times faster than FP16.',
  experiment: 'A language model and a diffusion transformer in NVFP4: to nearest, turned, smoothed, and with residual channels by the rule, of an eighth and of all channels, beside MXFP4 and 8-bit inputs; a planted-outlier twin.',
  data: [ditFiles.model, ditFiles.classifier, ditFiles.noise],
  minutes: 4,
  run,
};
