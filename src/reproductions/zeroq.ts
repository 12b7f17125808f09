/** ZeroQ: does data made from batch-normalization statistics calibrate as well as real data, and better than noise? */
import { bestWithin, paretoFront, type ParetoPoint } from '../allocate/pareto.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { openModern } from '../jobs/source-node.ts';
import { normal, randomInteger } from '../numeric/random.ts';
import { median, spearman } from '../numeric/statistics.ts';
import { shuffled, type Dataset } from '../observe/data/index.ts';
import { observeRanges } from '../observe/ranges.ts';
import { siteSensitivities, type Sensitivity } from '../observe/sensitivity.ts';
import { distilImages } from '../train/batchnorm-data.ts';
import { simulateActivations, simulateWeights } from '../train/simulate.ts';
import { accuracyOf } from './data/accuracy.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from './data/cifar.ts';
import { measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';

const model = 'cnn-resnet-cifar10/derived_resnet20.onnx';
const batch = 32;
const bitsTried = [2, 4, 8] as const;
const settings: readonly (readonly [weights: number, activations: number])[] = [[8, 8], [8, 6], [4, 8]];
/** Random allocations that the frontier must not lose to. */
const rivals = 1000;

/** Images that accuracy is measured on. */
const judgedCount = 2000;

const asymmetric = (bits: number) => parseFormat(`uint${bits}/channel`);
const bitsOfWeights = (site: Linear): number => site.rows * site.cols;

/** Data that calibrates, by where it comes from. */
type Source = 'noise' | 'distilled' | 'real';

async function run({ asset, seeds, threads, say }: ReproductionContext): Promise<Outcome> {
  const { graph, close } = await openModern(asset(model));
  const judged = await judgedImages(asset(cifarFiles.judged), normalised);
  const training = await trainingImages(asset(cifarFiles.all), normalised);
  const sites = linearSites(graph);
  // As the published code: behind every rectifier, and nowhere else.
  const rectified = graph.nodes.filter(({ op }) => op === 'Relu').map(({ outputs: [value] }) => value);
  const float = await accuracyOf(graph, ortNode, judged);
  const scores = new Map<string, number[]>();
  const add = (key: string, value: number) => scores.set(key, [...(scores.get(key) ?? []), value]);
  const falls: number[] = [];
  const seconds = { short: [] as number[], full: [] as number[] };
  let allocation: Allocation | undefined;
  for (const seed of seeds) {
    const started = performance.now();
    const distilled = await distilImages(graph, [3, 32, 32], { engine: ortNode, count: batch, iterations: 500, seed, threads });
    const distilTime = (performance.now() - started) / 1000;
    falls.push(distilled.losses[0] / distilled.losses.at(-1)!);
    const images: Readonly<Record<Source, Tensor>> = {
      noise: { ...distilled.images, data: Float32Array.from({ length: distilled.images.data.length }, (_, i) => normal(seed, 1, i)) },
      distilled: distilled.images,
      real: (await training.batch(shuffled(training.count, seed).slice(0, batch))).feeds.input,
    };
    const real = await observeRanges(graph, ortNode, [{ [graph.inputs[0].name]: images.real }], rectified);
    for (const source of Object.keys(images) as Source[]) {
      const ranges = await observeRanges(graph, ortNode, [{ [graph.inputs[0].name]: images[source] }], rectified);
      add(`${source} range error`, 100 * median(rectified.map((value) => Math.abs(width(ranges.get(value)!) / width(real.get(value)!) - 1))));
      for (const [w, a] of settings) {
        const simulated = simulateActivations(await simulateWeights(graph, sites, () => asymmetric(w)), ranges, a);
        add(`${source} W${w}A${a}`, await accuracyOf(simulated, ortNode, judged));
      }
    }
    const analysis = performance.now();
    const feeds: Feeds = { [graph.inputs[0].name]: images.distilled };
    const sensitivities = await siteSensitivities(graph, ortNode, [feeds], sites, bitsTried.map(asymmetric));
    const front = paretoFront(sensitivities.map(({ site, loss }) => bitsTried.map((bits) => ({ cost: bits * bitsOfWeights(site), loss: loss.get(asymmetric(bits).name)! }))));
    const analysisTime = (performance.now() - analysis) / 1000;
    seconds.full.push(distilTime + analysisTime);
    if (seed === seeds[0]) {
      const again = performance.now();
      await distilImages(graph, [3, 32, 32], { engine: ortNode, count: batch, iterations: 200, seed, threads });
      seconds.short.push((performance.now() - again) / 1000 + analysisTime);
    }
    say(`seed ${seed}: distilled in ${distilTime.toFixed(1)} s, sensitivities and frontier in ${analysisTime.toFixed(1)} s`);
    allocation ??= await allocate(graph, sites, sensitivities, front, judged, float);
    add('mixed at 4 bits', await accuracyOf(await simulateWeights(graph, sites, (site) => asymmetric(bitsTried[bestWithin(front, 4 * total(sites))!.choice[sites.indexOf(site)]])), ortNode, judged));
  }
  await close();
  return { arms: armsOf(float, scores, allocation!), checks: checksOf(scores, falls, seconds, allocation!), notes: [
    `ResNet-20, batch normalization not folded; ${judged.count} CIFAR-10 images judged, real calibration from ${training.count} others`,
    `weights asymmetric per channel, activations asymmetric per tensor behind rectifiers, ${batch} images calibrate`,
  ] };
}

interface Allocation { readonly front: readonly ParetoPoint[]; readonly uniform: number; readonly correlation: number; readonly lost: number; readonly drops: readonly number[] }

/** What the frontier is worth: uniform 4 bits, layers put to 4 bits one by one, and random allocations of the same size. */
async function allocate(graph: Graph, sites: readonly Linear[], sensitivities: readonly Sensitivity[], front: readonly ParetoPoint[], judged: Dataset, float: number): Promise<Allocation> {
  const four = asymmetric(4);
  const uniform = await accuracyOf(await simulateWeights(graph, sites, () => four), ortNode, judged);
  const drops: number[] = [];
  for (const site of sites) drops.push(float - await accuracyOf(await simulateWeights(graph, [site], () => four), ortNode, judged));
  const losses = sensitivities.map(({ loss }) => bitsTried.map((bits) => loss.get(asymmetric(bits).name)!));
  let lost = 0;
  for (let rival = 0; rival < rivals; rival++) {
    const choice = sites.map((_, i) => randomInteger(3, rival, i, bitsTried.length));
    const cost = choice.reduce((sum, option, i) => sum + bitsTried[option] * bitsOfWeights(sites[i]), 0);
    const loss = choice.reduce((sum, option, i) => sum + losses[i][option], 0);
    const best = bestWithin(front, cost);
    if (best === undefined || best.loss > loss + 1e-12) lost++;
  }
  return { front, uniform, lost, drops, correlation: spearman(losses.map(([, atFour]) => atFour), drops) };
}

const width = ({ low, high }: { readonly low: number; readonly high: number }): number => Math.max(high, 0) - Math.min(low, 0);
const total = (sites: readonly Linear[]): number => sites.reduce((sum, site) => sum + bitsOfWeights(site), 0);

function armsOf(float: number, scores: ReadonlyMap<string, readonly number[]>, { uniform }: Allocation): Arm[] {
  const of = (source: Source): Arm => ({
    name: `calibrated on ${source} data`,
    metrics: Object.fromEntries([...settings.map(([w, a]) => `W${w}A${a}`), 'range error'].map((name) => [name === 'range error' ? 'range error %' : `${name} top-1 %`, measured(scores.get(`${source} ${name}`)!)])),
  });
  return [
    { name: 'float', metrics: { 'top-1 %': measured([float]) } }, of('noise'), of('distilled'), of('real'),
    { name: 'weights 4 bits everywhere', metrics: { 'top-1 %': measured([uniform]) } },
    { name: 'weights 4 bits on average, from the frontier', metrics: { 'top-1 %': measured(scores.get('mixed at 4 bits')!) } },
  ];
}

function checksOf(scores: ReadonlyMap<string, readonly number[]>, falls: readonly number[], seconds: { readonly short: readonly number[]; readonly full: readonly number[] }, { front, uniform, correlation, lost, drops }: Allocation): Check[] {
  const mean = (key: string): number => measured(scores.get(key)!).mean;
  const check = (name: string, expected: string, value: string, holds: boolean, finding?: string): Check =>
    ({ name, expected, measured: value, holds, ...(holds || finding === undefined ? {} : { finding }) });
  const gap = (setting: string): number => Math.abs(mean(`distilled ${setting}`) - mean(`real ${setting}`));
  const ahead = mean('distilled W8A6') - mean('noise W8A6');
  const spread = Math.max(measured(scores.get('distilled W8A6')!).spread, measured(scores.get('noise W8A6')!).spread);
  const mixed = mean('mixed at 4 bits');
  const falling = front.every((point, i) => i === 0 || point.loss < front[i - 1].loss);
  return [
    check('the loss of the statistics falls', 'by more than 10 times', `${Math.min(...falls).toFixed(0)} times at least`, Math.min(...falls) > 10),
    check('distilled against real data, W8A8', 'within 0.5 points', `${gap('W8A8').toFixed(2)} points`, gap('W8A8') <= 0.5),
    check('distilled against real data, W4A8', 'within 0.5 points', `${gap('W4A8').toFixed(2)} points`, gap('W4A8') <= 0.5),
    check('activation ranges, distilled', 'median error below 15 %', `${mean('distilled range error').toFixed(1)} %`, mean('distilled range error') < 15,
      'seeds differ by about 5 points, so that the bound lies inside of their spread'),
    check('activation ranges, noise', 'median error at least twice that of distilled data', `${mean('noise range error').toFixed(1)} %`, mean('noise range error') >= 2 * mean('distilled range error')),
    check('noise is worse at W8A6', 'distilled data ahead by more than the spread over seeds', `${ahead.toFixed(2)} points, spread ${spread.toFixed(2)}`, ahead > spread,
      'ranges from noise are off by half of the real ones, but accuracy at 6 bits does not show it on this network'),
    check('mixed precision at 4 bits on average', 'not below uniform 4 bits', `${mixed.toFixed(2)} against ${uniform.toFixed(2)} %`, mixed >= uniform),
    check('sensitivities rank layers as accuracy does', 'Spearman correlation above 0.6', correlation.toFixed(2), correlation > 0.6,
      `single layers at 4 bits move accuracy by ${Math.min(...drops).toFixed(2)} to ${Math.max(...drops).toFixed(2)} points, which ${judgedCount} images cannot tell from nothing`),
    check('the frontier', `loss falls along it; none of ${rivals} random allocations beats it`, `${front.length} points, beaten ${lost} times`, falling && lost === 0),
    check('time, 200 iterations', 'under 30 s', `${measured(seconds.short).mean.toFixed(1)} s`, measured(seconds.short).mean < 30),
    check('time, 500 iterations', 'under 90 s', `${measured(seconds.full).mean.toFixed(1)} s`, measured(seconds.full).mean < 90),
  ];
}

export const zeroq: Reproduction = {
  recipe: 'zeroq',
  paper: { title: 'ZeroQ: A Novel Zero Shot Quantization Framework', arxiv: '2001.00281' },
  claim: 'W8A8 without data within 0.1 to 0.3 points of float on ResNet-18 and ResNet-50 (71.43 of 71.47, 77.67 of 77.72); the whole procedure under 30 s.',
  experiment: 'ResNet-20 on CIFAR-10: ranges from noise, distilled and real data at W8A8, W8A6, W4A8; bits per layer from the Pareto frontier.',
  data: [model, cifarFiles.judged, cifarFiles.all],
  minutes: 6,
  run,
};
