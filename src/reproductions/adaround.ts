/** Learned rounding: layer by layer, block by block, with and without dropped quantization of activations, from real images. */
import { ortNode } from '../engine/ort-node.ts';
import { openModern } from '../jobs/source-node.ts';
import { shuffled } from '../observe/data/index.ts';
import type { BlockResult } from '../train/reconstruct-block.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { accuracyOf } from './data/accuracy.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from './data/cifar.ts';
import { learned, roundedToNearest, spell, type Bits, type Method } from './reconstruction.ts';
import { measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';

const model = 'cnn-resnet-cifar10/derived_resnet20.onnx';
/** Sizes for two cores: the papers learn 10,000 to 20,000 steps of 32 on 1024 images. */
const sizes = { images: 128, iterations: 150, batch: 16 } as const;
const settings: readonly Bits[] = [4, 3, 2].map((weights) => ({ weights, activations: 8 }));
const lowest = settings.at(-1)!;

const methods: Readonly<Record<string, Method>> = {
  'AdaRound, per layer': { unit: 'layer', scales: 'fixed', drop: false },
  'BRECQ, per block': { unit: 'block', scales: 'fixed', drop: false },
  'AdaRound with QDrop': { unit: 'layer', scales: 'fixed', drop: true },
  'BRECQ with QDrop': { unit: 'block', scales: 'fixed', drop: true },
};
const nearest = 'rounding to nearest';
/** Seen with seed 0 while looking for the reason. */
const blocksFallBehind = 'blocks alone need more steps than layers: with 300 instead of 150, 78.55 % against 79.35 %; 1024 images instead of 128 do not help (74.70 %); quantization dropped at random does (79.45 % against 79.20 % per layer)';

async function run({ asset, seeds, threads, say }: ReproductionContext): Promise<Outcome> {
  const { graph: trained, close } = await openModern(asset(model));
  const graph = foldBatchNorm(trained);
  const judged = await judgedImages(asset(cifarFiles.judged), normalised);
  const training = await trainingImages(asset(cifarFiles.all), normalised);
  const float = await accuracyOf(graph, ortNode, judged);
  const scores = new Map<string, number[]>();
  const blocks: BlockResult[] = [];
  const add = (name: string, bits: Bits, score: number, seed: number): void => {
    const key = `${name} ${spell(bits)}`;
    scores.set(key, [...(scores.get(key) ?? []), score]);
    say(`seed ${seed}, ${spell(bits)}, ${name}: ${score.toFixed(2)} %`);
  };
  for (const seed of seeds) {
    const { feeds } = await training.batch(shuffled(training.count, seed).slice(0, sizes.images));
    for (const bits of settings) {
      // Differences show at the lowest bits: the others take one seed.
      if (bits !== lowest && seed !== seeds[0]) continue;
      add(nearest, bits, await accuracyOf(await roundedToNearest(graph, bits, feeds), ortNode, judged), seed);
      for (const [name, method] of Object.entries(methods)) {
        const made = await learned(graph, bits, feeds, method, { iterations: sizes.iterations, batch: sizes.batch, seed, threads });
        blocks.push(...made.blocks);
        add(name, bits, await accuracyOf(made.graph, ortNode, judged), seed);
      }
    }
  }
  await close();
  return { arms: armsOf(float, scores), checks: checksOf(float, scores, blocks), notes: [
    `ResNet-20, batch normalization folded; ${judged.count} CIFAR-10 images judged, ${sizes.images} others calibrate`,
    `${sizes.iterations} steps of ${sizes.batch} images per layer or block, scales fixed; rounding at 20 / steps per step instead of 0.001`,
    'weights asymmetric per channel, first and last layer 8 bits; activations 8 bits per tensor with learned steps, the image not rounded',
  ] };
}

function armsOf(float: number, scores: ReadonlyMap<string, readonly number[]>): Arm[] {
  return [
    { name: 'float', metrics: { 'top-1 %': measured([float]) } },
    ...[nearest, ...Object.keys(methods)].map((name): Arm => ({ name, metrics: Object.fromEntries(settings.map((bits) => [`${spell(bits)} top-1 %`, measured(scores.get(`${name} ${spell(bits)}`)!)])) })),
  ];
}

function checksOf(float: number, scores: ReadonlyMap<string, readonly number[]>, blocks: readonly BlockResult[]): Check[] {
  const mean = (name: string, bits: Bits): number => measured(scores.get(`${name} ${spell(bits)}`)!).mean;
  const ahead = (a: string, b: string, bits: Bits, least: number, expected: string, finding?: string): Check => {
    const holds = mean(a, bits) - mean(b, bits) >= least;
    return {
      name: `${a} against ${b}, ${spell(bits)}`, expected, measured: `${mean(a, bits).toFixed(2)} against ${mean(b, bits).toFixed(2)} %`, holds,
      ...(holds || finding === undefined ? {} : { finding }),
    };
  };
  const [layer, block, , dropped] = Object.keys(methods);
  const [w4] = settings;
  const jump = Math.max(...blocks.map(({ soft, hard }) => hard / soft - 1));
  const lost = float - mean(block, w4);
  return [
    ahead(layer, nearest, lowest, 10, 'more than 10 points ahead'),
    ahead(layer, nearest, settings[1], 0, 'not below'),
    ahead(block, layer, lowest, 0, 'not below', blocksFallBehind),
    ahead(dropped, block, lowest, -1, 'within a point or ahead: at 8 bits activations lose little that could be dropped'),
    { name: `${block} against float, ${spell(w4)}`, expected: 'loses less than 1 point', measured: `${lost.toFixed(2)} points`, holds: lost < 1 },
    { name: 'forcing roundings to 0 and 1', expected: 'loss of no layer or block rises by more than 20 %', measured: `${(100 * jump).toFixed(1)} % at most`, holds: jump <= 0.2 },
  ];
}

export const adaround: Reproduction = {
  recipe: 'adaround',
  paper: { title: 'Up or Down? Adaptive Rounding for Post-Training Quantization', arxiv: '2004.10568' },
  claim: 'Weights of ResNet-18 at 4 bits from 1024 images: 68.71 % on ImageNet where rounding to nearest leaves 23.99 % (float 69.68 %); BRECQ (arXiv:2102.05426) goes to 2 bits block by block.',
  experiment: 'ResNet-20 on CIFAR-10 at W4A8, W3A8 and W2A8: rounding to nearest, learned per layer, per block, and both with activations quantized at random.',
  data: [model, cifarFiles.judged, cifarFiles.all],
  minutes: 12,
  run,
};
