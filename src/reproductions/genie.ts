/** Genie: do images from a generator calibrate low bits better than pixels or noise, and does learning scales beside roundings help? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { openModern } from '../jobs/source-node.ts';
import { normal } from '../numeric/random.ts';
import { shuffled } from '../observe/data/index.ts';
import { distilImages } from '../train/batchnorm-data.ts';
import { generateImages } from '../train/generator-data.ts';
import type { BlockResult } from '../train/reconstruct-block.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { accuracyOf } from './data/accuracy.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from './data/cifar.ts';
import { learned, roundedToNearest, spell, type Bits, type Method } from './reconstruction.ts';
import { measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';

const model = 'cnn-resnet-cifar10/derived_resnet20.onnx';
/** Sizes for two cores: the paper makes 1024 images in 4000 steps a batch and learns 20,000 steps a block. */
const sizes = { images: 64, distil: 120, iterations: 200, batch: 16, widths: [32, 16] } as const;
const [two, four]: readonly [Bits, Bits] = [{ weights: 2, activations: 4 }, { weights: 4, activations: 4 }];

const sources = ['noise', 'pixels', 'generator without swing', 'generator', 'real'] as const;
type Source = (typeof sources)[number];
const genieM: Method = { unit: 'block', scales: 'learned', drop: true };
/** The same with scales that stay where they start. */
const adaRound: Method = { unit: 'block', scales: 'fixed', drop: true };

async function run({ asset, seeds, threads, say }: ReproductionContext): Promise<Outcome> {
  const { graph: trained, close } = await openModern(asset(model));
  const graph = foldBatchNorm(trained);
  const judged = await judgedImages(asset(cifarFiles.judged), normalised);
  const training = await trainingImages(asset(cifarFiles.all), normalised);
  const [{ name: input }] = graph.inputs;
  const float = await accuracyOf(graph, ortNode, judged);
  const scores = new Map<string, number[]>();
  const add = (key: string, value: number): void => { scores.set(key, [...(scores.get(key) ?? []), value]); };
  const blocks: BlockResult[] = [];
  for (const seed of seeds) {
    const settings = { iterations: sizes.iterations, batch: sizes.batch, seed, threads };
    const images = await imagesOf(trained, input, { seed, threads }, (await training.batch(shuffled(training.count, seed).slice(0, sizes.images))).feeds.input);
    say(`seed ${seed}: images made`);
    const feedsOf = (source: Source): Feeds => ({ [input]: images[source] });
    const judge = async (source: Source, bits: Bits, method: Method, name: string): Promise<void> => {
      const made = await learned(graph, bits, feedsOf(source), method, settings);
      const score = await accuracyOf(made.graph, ortNode, judged);
      add(`${name} ${spell(bits)}`, score);
      if (source === 'generator' && method === genieM) blocks.push(...made.blocks);
      say(`seed ${seed}, ${spell(bits)}, ${name}: ${score.toFixed(2)} %`);
    };
    for (const source of sources) await judge(source, two, genieM, source);
    await judge('generator', two, adaRound, 'AdaRound and QDrop');
    add(`nearest ${spell(two)}`, await accuracyOf(await roundedToNearest(graph, two, feedsOf('generator')), ortNode, judged));
    // An easy setting: one seed shows whether there is anything to see.
    if (seed !== seeds[0]) continue;
    for (const source of ['generator', 'real'] as const) await judge(source, four, genieM, source);
    await judge('generator', four, adaRound, 'AdaRound and QDrop');
    add(`nearest ${spell(four)}`, await accuracyOf(await roundedToNearest(graph, four, feedsOf('generator')), ortNode, judged));
  }
  await close();
  return { arms: armsOf(float, scores), checks: checksOf(scores, blocks), notes: [
    `ResNet-20, batch normalization folded; ${judged.count} CIFAR-10 images judged`,
    `${sizes.images} images of each source; pixels and generators ${sizes.distil} steps, generator of ${sizes.widths.join(' and ')} channels; ${sizes.iterations} steps of ${sizes.batch} images per block`,
    'weights asymmetric per channel, first and last layer 8 bits; activations per tensor, 8 bits before the second and the last layer, the image not rounded',
    'roundings learn 20 / steps per step instead of 0.001, so that as little training still ends at 0 and 1; scales by 0.2 % of themselves',
  ] };
}

/** Images from every source, as many of each. */
async function imagesOf(graph: Parameters<typeof distilImages>[0], input: string, { seed, threads }: { readonly seed: number; readonly threads: number }, real: Tensor): Promise<Record<Source, Tensor>> {
  const shape = [3, 32, 32] as const;
  const common = { engine: ortNode, count: sizes.images, iterations: sizes.distil, seed, threads };
  const generated = { ...common, batch: sizes.images, widths: sizes.widths };
  return {
    noise: { ...real, data: Float32Array.from({ length: real.data.length }, (_, i) => normal(seed, 1, i)) },
    pixels: (await distilImages(graph, shape, common)).images,
    'generator without swing': (await generateImages(graph, shape, { ...generated, swing: false })).images,
    generator: (await generateImages(graph, shape, generated)).images,
    real,
  };
}

function armsOf(float: number, scores: ReadonlyMap<string, readonly number[]>): Arm[] {
  const arm = (name: string, key: string): Arm => ({
    name, metrics: Object.fromEntries([two, four].flatMap((bits) => { const found = scores.get(`${key} ${spell(bits)}`); return found === undefined ? [] : [[`${spell(bits)} top-1 %`, measured(found)]]; })),
  });
  return [
    { name: 'float', metrics: { 'top-1 %': measured([float]) } },
    ...sources.map((source) => arm(`Genie's quantizer on ${source}${source === 'real' ? ' images' : ''}`, source)),
    arm('AdaRound and QDrop per block, scales fixed, on generator', 'AdaRound and QDrop'), arm('rounding to nearest, steps from generator', 'nearest'),
  ];
}

function checksOf(scores: ReadonlyMap<string, readonly number[]>, blocks: readonly BlockResult[]): Check[] {
  const mean = (name: string, bits: Bits): number => measured(scores.get(`${name} ${spell(bits)}`)!).mean;
  const ahead = (name: string, a: string, b: string, bits: Bits, least: number, expected: string): Check => {
    const gap = mean(a, bits) - mean(b, bits);
    return { name: `${name}, ${spell(bits)}`, expected, measured: `${mean(a, bits).toFixed(2)} against ${mean(b, bits).toFixed(2)} %`, holds: gap >= least };
  };
  const jump = Math.max(...blocks.map(({ soft, hard }) => hard / soft - 1));
  const undecided = Math.max(...blocks.map((block) => block.undecided));
  const easy = Math.abs(mean('real', four) - mean('generator', four));
  return [
    ahead('real images against the generator', 'real', 'generator', two, 0, 'not below'),
    ahead('the generator against pixels', 'generator', 'pixels', two, 0, 'not below'),
    ahead('the generator against noise', 'generator', 'noise', two, 5, 'more than 5 points ahead'),
    ahead("Genie's quantizer against fixed scales", 'generator', 'AdaRound and QDrop', two, 0, 'not below'),
    ahead('fixed scales against rounding to nearest', 'AdaRound and QDrop', 'nearest', two, 10, 'more than 10 points ahead'),
    { name: `real images against the generator, ${spell(four)}`, expected: 'within 2 points', measured: `${easy.toFixed(2)} points`, holds: easy <= 2 },
    { name: 'forcing roundings to 0 and 1', expected: 'loss of no block rises by more than 20 %', measured: `${(100 * jump).toFixed(1)} % at most`, holds: jump <= 0.2 },
    { name: 'roundings between 0.05 and 0.95 at the end', expected: 'at most 1 % in every block', measured: `${(100 * undecided).toFixed(1)} % at most`, holds: undecided <= 0.01 },
  ];
}

export const genie: Reproduction = {
  recipe: 'genie',
  paper: { title: 'Genie: Show Me the Data for Quantization', arxiv: '2212.04780' },
  claim: 'Without data, ResNet-18 at W4A4 69.66 % on ImageNet (about 1.9 points above the best before) and ResNet-50 at W2A4 69.99 % (66.72 before).',
  experiment: 'ResNet-20 on CIFAR-10 at W2A4 and W4A4: five sources of calibration images, and rounding with learned scales against fixed ones and none.',
  data: [model, cifarFiles.judged, cifarFiles.all],
  minutes: 15,
  run,
};
