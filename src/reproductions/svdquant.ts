/** SVDQuant: do searched smoothing and a float branch of low rank make weights and inputs of 4 bits work where each alone does not? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { normal } from '../numeric/random.ts';
import { applyRecipe, type Applied } from '../recipes/apply.ts';
import type { Step } from '../recipes/recipe.ts';
import { layerEnergy, layerError, openProducts, rounded, type Products, type SharedLayers } from '../transform/layer-error.ts';
import { splitLowRank, withoutBranch } from '../transform/low-rank.ts';
import { searchSmoothing, smoothed } from '../transform/smooth-search.ts';
import { ditFiles, openDit } from './data/dit.ts';
import { openLlama } from './data/llama.ts';
import { judgeNetworks } from './dit-arms.ts';
import { measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { bitsOfArm, hostNotes, isDitLayer, isLlamaLayer, LanguageArms, layerEnergies, layerErrors, lessLayerError, plantOutliers, weightCounts } from './w4a4-arms.ts';
import { standard } from './written.ts';

const reduced = { grid: 10, samples: 128, rounds: 24, windows: 24, calibration: 8, points: 64, images: 20, steps: 20 } as const;
const whole = { grid: 20, samples: 256, rounds: 100, windows: 193, calibration: 32, points: 256, images: 100, steps: 50 } as const;
const short = { ...reduced, windows: 12 } as const;
type Protocol = typeof reduced | typeof whole | typeof short;

const nearest: Step = { step: 'round', rounder: 'nearest' };
const gptq: Step = { step: 'round', rounder: 'gptq' };
const stepsOf = ({ grid, samples, rounds }: Protocol) => ({
  shift: { step: 'shift' } as const,
  plainSearch: { step: 'smooth-search', grid, rank: 0, samples } as const,
  search: { step: 'smooth-search', grid, rank: 32, samples } as const,
  single: { step: 'low-rank', rank: 32, rounds: 1, samples } as const,
  iterated: { step: 'low-rank', rank: 32, rounds, samples } as const,
});

/** A float graph that steps left, and what layers' inputs take, by weight: layers keep their weights' names where outputs are renamed. */
interface Prepared { readonly graph: Graph; readonly inputs: ReadonlyMap<string, NumberFormat> }

const prepared = ({ graph, activations }: Applied, { inputs }: Pick<Prepared, 'inputs'>): Prepared =>
  ({ graph, inputs: new Map([...inputs, ...linearSites(graph).flatMap(({ id, output }) => (activations.has(output) ? [[id, activations.get(output)!] as const] : []))]) });

/** Carries out steps on layers that are called so, on what an earlier arm left. */
async function arm(from: Prepared, steps: readonly Step[], called: (id: string) => boolean, points: Feeds, weights: string, inputs: string | undefined): Promise<Applied> {
  const [format, input] = [parseFormat(weights), inputs === undefined ? undefined : parseFormat(inputs)];
  return applyRecipe({ name: 'arm', summary: '', needs: [], steps, formats: [], exports: [] }, from.graph, {
    engine: ortNode, batches: () => [points],
    formatOf: ({ id }: Linear) => (called(id) ? format : undefined),
    activationOf: ({ id }: Linear) => (called(id) ? from.inputs.get(id) ?? input : undefined),
  });
}

/** All arms of one host in one format: the steps that they share are carried out once. */
async function armsOf(graph: Graph, called: (id: string) => boolean, points: Feeds, format: string, protocol: Protocol, say: (line: string) => void, only?: readonly string[]): Promise<Map<string, Applied>> {
  const { shift, plainSearch, search, single, iterated } = stepsOf(protocol);
  const found = new Map<string, Applied>();
  const wants = (name: string): boolean => only === undefined || only.includes(name);
  const add = async (name: string, from: Prepared, steps: readonly Step[], weights = format, inputs: string | undefined = format): Promise<void> => {
    if (!wants(name)) return;
    say(`${format}, ${name}: rounding`);
    found.set(name, await arm(from, steps, called, points, weights, inputs));
  };
  const start: Prepared = { graph, inputs: new Map() };
  await add('nearest', start, [nearest]);
  say(`${format}: searching factors`);
  const smooth = wants('smooth') || wants('5-bit weights, smooth') ? prepared(await arm(start, [shift, plainSearch], called, points, format, format), start) : start;
  await add('smooth', smooth, [nearest]);
  await add('low rank', start, [single, nearest]);
  say(`${format}: searching factors for a branch`);
  const ready = prepared(await arm(start, [shift, search], called, points, format, format), start);
  await add('SVDQuant, one decomposition', ready, [single, nearest]);
  say(`${format}: splitting off branches`);
  const split = await arm(ready, [iterated], called, points, format, format);
  const rest = async (name: string, step: Step): Promise<void> => {
    if (!wants(name)) return;
    const made = await arm(prepared(split, ready), [step], (id) => called(id) && !split.kept.has(id), points, format, format);
    found.set(name, { ...made, kept: split.kept });
  };
  await rest('SVDQuant', nearest);
  await rest('SVDQuant, GPTQ', gptq);
  if (format === 'int4/g64') {
    await add('5-bit weights, smooth', smooth, [nearest], 'int5/g64');
    if (wants('4-bit weights, float inputs')) found.set('4-bit weights, float inputs', await arm(start, [nearest], called, points, format, undefined));
  }
  return found;
}

interface SyntheticRun { readonly errors: Readonly<Record<'nearest' | 'low rank' | 'smooth' | 'one decomposition' | 'iterated' | 'float inputs', number>>; readonly plain: number; readonly chosen: number; readonly moved: number; readonly full: number }

/** The layer of the card: normal values, every 32nd of 256 input channels twenty times as large. */
async function synthetic(products: Products, seed: number, { grid, rounds }: Protocol): Promise<SyntheticRun> {
  const [count, cols, rows] = [512, 256, 256];
  const format = parseFormat('int4/g64');
  const values = Float32Array.from({ length: count * cols }, (_, i) => normal(seed, 0, i) * (i % 32 === 5 ? 20 : 1));
  const maxAbsolute = new Float32Array(cols);
  values.forEach((v, i) => { maxAbsolute[i % cols] = Math.max(maxAbsolute[i % cols], Math.abs(v)); });
  const weight = Float32Array.from({ length: rows * cols }, (_, i) => normal(seed, 1, i));
  const shared: SharedLayers = { rows: { values, count, cols, maxAbsolute }, input: format, layers: [{ values: weight, rows, format }] };
  const energy = await layerEnergy(products, shared);
  const relative = (error: number): number => Math.sqrt(error / energy);
  const direct = [rounded(weight, rows, cols, format)];
  const smooth = await searchSmoothing(products, shared, { grid, rank: 0 });
  const chosen = await searchSmoothing(products, shared, { grid, rank: 8 });
  const ready = smoothed(shared, chosen.factors);
  const split = await splitLowRank(products, ready, 8, rounds);
  const whole = await splitLowRank(products, ready, cols, 1);
  return {
    errors: {
      nearest: relative(await layerError(products, shared, [weight], direct)), 'low rank': relative((await splitLowRank(products, shared, 8, 1)).errors[0]),
      smooth: relative(smooth.error), 'one decomposition': relative(split.errors[0]), iterated: relative(Math.min(...split.errors)),
      'float inputs': relative(await layerError(products, { ...shared, input: undefined }, [weight], direct)),
    },
    plain: smooth.alpha, chosen: chosen.alpha, full: relative(whole.errors[0]), moved: await movedBy(products, shared, ready, split),
  };
}

/** How far the float layer moves by smoothing and splitting, relative. */
async function movedBy(products: Products, plain: SharedLayers, ready: SharedLayers, branch: Parameters<typeof withoutBranch>[2] & { readonly ups: readonly Float32Array[] }): Promise<number> {
  const { values: weight, rows } = ready.layers[0];
  const { values, count, cols } = ready.rows;
  const rest = withoutBranch(weight, cols, branch, branch.ups[0]);
  const together = rest.map((w, i) => {
    let sum = w;
    for (let k = 0; k < branch.rank; k++) sum += branch.ups[0][Math.floor(i / cols) * branch.rank + k] * branch.down[k * cols + (i % cols)];
    return sum;
  });
  return Math.sqrt((await products.difference(plain.rows.values, plain.layers[0].values, values, together, count, rows)) / (await layerEnergy(products, plain)));
}

async function run({ asset, seeds, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : page ? short : reduced;
  const products = await openProducts(ortNode);
  try {
    const layers: SyntheticRun[] = [];
    for (const seed of seeds) layers.push(await synthetic(products, seed, protocol));
    say(`layer with outliers: nearest ${layers[0].errors.nearest.toFixed(3)}, iterated ${layers[0].errors.iterated.toFixed(3)}`);
    const language = await onLanguage(products, protocol, threads, page, say);
    const diffusion = page ? { arms: [], checks: [] } : await onDiffusion(products, protocol, asset, threads, say);
    return {
      arms: [
        ...(Object.keys(layers[0].errors) as (keyof SyntheticRun['errors'])[]).map((name): Arm => ({ name: `layer with planted outliers: ${name}`, metrics: { 'layer error, %': measured(layers.map(({ errors }) => 100 * errors[name])) } })),
        ...language.arms, ...diffusion.arms,
      ],
      protocol: { ...protocol, seeds: seeds.length, judgedPoints: 256, rank: 'one in 32 input channels, at most 32' },
      checks: [...syntheticChecks(layers), ...language.checks, ...diffusion.checks],
      notApplicable: [
        ...(page ? [notInPage('the diffusion transformer', 'its weights do not come with it'), notInPage('the language model without planted outliers, and NVFP4', 'searching for all its arms takes minutes')] : []),
        { arm: 'speed of a fused branch beside a 4-bit product', reason: 'the engine has no 4-bit product: files compute the rounded values in float, where a branch costs what its products cost' },
        { arm: 'memory of FLUX.1, FID and ImageReward', reason: 'no text-to-image network is at hand' },
      ],
      notes: [
        ...hostNotes,
        'bits count scales, and branches in half precision, as in the paper',
        'scales of int4/g64 are float32 (0.5 bits a weight); layers that share an input are scored together, not the attention block as a whole',
      ],
    };
  } finally {
    await products.dispose();
  }
}

/** `twinAlone`: of the network with planted outliers, which show the method best. */
async function onLanguage(products: Products, protocol: Protocol, threads: number, twinAlone: boolean, say: (line: string) => void): Promise<{ arms: Arm[]; checks: Check[] }> {
  const host = await openLlama();
  try {
    const points = host.calibration(protocol.calibration, 100, protocol.calibration)[0];
    const heldout = host.calibration(4, 200, 4)[0];
    const arms = await LanguageArms.open(host.graph, host.judged(protocol.windows), threads);
    const counts = weightCounts(host.graph);
    const judge = async (prefix: string, graph: Graph, found: ReadonlyMap<string, Applied>): Promise<void> => {
      const energies = await layerEnergies(products, graph, heldout, isLlamaLayer);
      for (const [name, made] of found) {
        const errors = await layerErrors(products, made.graph, made, energies, heldout);
        await arms.add(`${prefix}${name}`, await standard(made), bitsOfArm(made, counts), errors);
        say(`${prefix}${name}: KL ${measured(arms.kl.get(`${prefix}${name}`)!).mean.toFixed(5)}, layers ${(100 * measured([...errors.values()]).mean).toFixed(2)} %`);
      }
    };
    const twin = await plantOutliers(host.graph, isLlamaLayer);
    await judge('planted twin INT4: ', twin, await armsOf(twin, isLlamaLayer, points, 'int4/g64', protocol, say, ['nearest', 'smooth', 'SVDQuant']));
    const onTwin = (name: string): string => `planted twin INT4: ${name}`;
    const twinChecks = [arms.layersErrLess(onTwin('smooth'), onTwin('nearest')), arms.layersErrLess(onTwin('SVDQuant'), onTwin('smooth')), arms.nearer(onTwin('SVDQuant'), onTwin('nearest'))];
    if (twinAlone) return { arms: arms.arms, checks: twinChecks };
    await judge('language INT4: ', host.graph, await armsOf(host.graph, isLlamaLayer, points, 'int4/g64', protocol, say));
    await judge('language NVFP4: ', host.graph, await armsOf(host.graph, isLlamaLayer, points, 'nvfp4', protocol, say, ['nearest', 'SVDQuant']));
    const [of, fp] = [(name: string) => `language INT4: ${name}`, (name: string) => `language NVFP4: ${name}`];
    const few = 'channel maxima of this host are 1.3 to 4 times the median: there is little to smooth';
    return {
      arms: arms.arms,
      checks: [
        arms.layersErrLess(of('smooth'), of('nearest'), few),
        arms.layersErrLess(of('SVDQuant'), of('smooth')),
        arms.layersErrLess(of('SVDQuant'), of('low rank')),
        arms.layersErrLess(of('SVDQuant'), of('SVDQuant, one decomposition')),
        arms.nearer(of('smooth'), of('nearest'), few),
        arms.nearer(of('SVDQuant'), of('smooth')),
        arms.nearer(of('SVDQuant'), of('nearest')),
        arms.nearer(of('SVDQuant'), of('SVDQuant, one decomposition')),
        arms.nearer(of('SVDQuant, GPTQ'), of('SVDQuant'), '24 windows hardly tell the two apart: 6.8e-4 ± 4.9e-4 nats with branches in float32, 4.7e-4 ± 4.8e-4 in half precision; the output error of layers falls from 8.09 to 7.45 %'),
        arms.layersErrLess(fp('SVDQuant'), fp('nearest')),
        arms.nearer(fp('SVDQuant'), fp('nearest')),
        ...twinChecks,
      ],
    };
  } finally {
    await host.close();
  }
}

async function onDiffusion(products: Products, protocol: Protocol, asset: (path: string) => string, threads: number, say: (line: string) => void): Promise<{ arms: readonly Arm[]; checks: Check[] }> {
  const host = await openDit(asset, { threads });
  try {
    const points = await host.points(protocol.points, 100);
    const heldout = await host.points(16, 200);
    const energies = await layerEnergies(products, host.graph, heldout, isDitLayer);
    const names = ['nearest', 'smooth', 'low rank', 'SVDQuant, one decomposition', 'SVDQuant', '5-bit weights, smooth', '4-bit weights, float inputs'];
    const made = new Map([...await armsOf(host.graph, isDitLayer, points, 'int4/g64', protocol, say, names)].map(([name, applied]) => [`diffusion INT4: ${name}`, applied]));
    for (const [name, applied] of await armsOf(host.graph, isDitLayer, points, 'nvfp4', protocol, say, ['nearest', 'SVDQuant'])) made.set(`diffusion NVFP4: ${name}`, applied);
    const counts = weightCounts(host.graph);
    const layers = new Map<string, ReadonlyMap<string, number>>();
    for (const [name, applied] of made) layers.set(name, await layerErrors(products, applied.graph, applied, energies, heldout));
    const judged = await judgeNetworks(host, Object.fromEntries([...made].map(([name, applied]) => [name, () => standard(applied)])), { images: protocol.images, steps: protocol.steps, say });
    const [of, fp] = [(name: string) => `diffusion INT4: ${name}`, (name: string) => `diffusion NVFP4: ${name}`];
    const less = (one: string, other: string): Check => lessLayerError(one, layers.get(one)!, other, layers.get(other)!);
    return {
      arms: judged.arms.map((one) => ({ ...one, metrics: { ...one.metrics, 'layer error, %': measured([...layers.get(one.name)!.values()].map((error) => 100 * error)), 'bits a weight': measured([bitsOfArm(made.get(one.name)!, counts)]) } })),
      checks: [
        less(of('smooth'), of('nearest')), less(of('SVDQuant'), of('smooth')), less(of('SVDQuant'), of('low rank')), less(of('SVDQuant'), of('SVDQuant, one decomposition')),
        judged.better(of('smooth'), of('nearest')), judged.better(of('SVDQuant'), of('smooth')), judged.better(of('SVDQuant'), of('nearest')), judged.better(of('SVDQuant'), of('SVDQuant, one decomposition')),
        less(fp('SVDQuant'), fp('nearest')), judged.better(fp('SVDQuant'), fp('nearest')),
      ],
    };
  } finally {
    await host.close();
  }
}

function syntheticChecks(layers: readonly SyntheticRun[]): Check[] {
  const all = (name: string, expected: string, value: (one: SyntheticRun) => string, holds: (one: SyntheticRun) => boolean, paper?: string): Check =>
    ({ name: `layer with outliers: ${name}`, expected, measured: layers.map(value).join(', '), holds: layers.every(holds), ...(paper === undefined ? {} : { paper }) });
  const percent = (value: number): string => (100 * value).toFixed(1);
  return [
    all('every part helps', 'nearest > low rank > smooth > one decomposition > iterated, each seed',
      ({ errors }) => [errors.nearest, errors['low rank'], errors.smooth, errors['one decomposition'], errors.iterated].map(percent).join(' > '),
      ({ errors }) => errors.nearest > errors['low rank'] && errors['low rank'] > errors.smooth && errors.smooth > errors['one decomposition'] && errors['one decomposition'] > errors.iterated),
    all('the best exponent', 'larger with the branch than without', ({ plain, chosen }) => `${plain.toFixed(2)} to ${chosen.toFixed(2)}`, ({ plain, chosen }) => chosen > plain),
    all('the branch carries what inputs lose', 'less error than float inputs beside 4-bit weights', ({ errors }) => `${percent(errors.iterated)} against ${percent(errors['float inputs'])} %`, ({ errors }) => errors.iterated < errors['float inputs']),
    all('a branch of full rank', 'error below 1e-4', ({ full }) => full.toExponential(1), ({ full }) => full < 1e-4),
    all('smoothing and splitting without rounding', 'at most 1e-5 of the output', ({ moved }) => moved.toExponential(1), ({ moved }) => moved <= 1e-5),
  ];
}

export const svdquantReproduction: Reproduction = {
  recipe: 'svdquant',
  paper: { title: 'SVDQuant: Absorbing Outliers by Low-Rank Components for 4-Bit Diffusion Models', arxiv: '2411.05007' },
  claim: 'FLUX.1-dev with 4-bit weights and inputs: PSNR to the 16-bit images 20.1 dB, 18.5 without it; PixArt-Sigma at W4A4 with an FID of 19.9, ViDiT-Q at W4A8 37.3; memory of FLUX.1 3.5 times smaller.',
  experiment: 'A language model and a diffusion transformer at W4A4 in INT4 and NVFP4: rounding alone, smoothing, a branch of low rank, both, found once and iterated, and with error feedback; a planted-outlier twin and layer.',
  data: [ditFiles.model, ditFiles.classifier, ditFiles.noise],
  minutes: 6,
  run,
};
