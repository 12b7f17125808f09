/** HAWQ-V3: are whole networks exact in integers, what does the width of the residual cost, and does the Hessian choose layers well? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { exportIntegerOnly, integerValues } from '../export/onnx-integer.ts';
import type { IntegerNetworkOptions } from '../export/integer-network.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { openModern } from '../jobs/source-node.ts';
import { shuffled, type Dataset } from '../observe/data/index.ts';
import { observeRanges } from '../observe/ranges.ts';
import { quantizedLazily, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from './data/cifar.ts';
import { labelledImages, personFiles, unlabelledImages } from './data/person.ts';
import { allocationArms, allocationChecks, allocationNote, allocationStudy, shares, type AllocationStudy } from './hessian-allocation.ts';
import { integerAgreement, type IntegerAgreement } from './integer-agreement.ts';
import { classJudge, floatResidual, timeAgainst } from './integer-arms.ts';
import { check, measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';

const resnet = 'cnn-resnet-cifar10/derived_resnet20.onnx';
const protocol = (full: boolean) => ({
  'CIFAR-10 images whose integers are compared': 2000, 'of them with 4 and 8 bits': full ? 2000 : 200,
  'photographs whose integers are compared': full ? 384 : 128, 'CIFAR-10 images that arms are judged on': full ? 2000 : 1000,
  'calibration batches of 64': 8, 'images and vectors of the traces': full ? '512, 256' : '128, 64', 'random allocations': full ? 200 : 50,
});

interface Host { readonly folded: Graph; readonly calibration: Dataset }
type Ranges = IntegerNetworkOptions['ranges'];

async function run({ asset, seeds, threads, full, say }: ReproductionContext): Promise<Outcome> {
  const sizes = protocol(full);
  const models = [await openModern(asset(resnet)), await openModern(asset(personFiles.model))];
  const [cifar, person] = models.map(({ graph }) => foldBatchNorm(graph));
  const judged = await judgedImages(asset(cifarFiles.judged), normalised);
  const host: Host = { folded: cifar, calibration: await trainingImages(asset(cifarFiles.all), normalised) };
  const photographs: Host = { folded: person, calibration: await unlabelledImages(asset(personFiles.unlabelled), 0, 512) };
  const labelled = await labelledImages(asset(personFiles.labelled));
  const judge = await classJudge(cifar, some(judged, sizes['CIFAR-10 images that arms are judged on']), threads);

  const scores = new Map<string, Score[]>();
  const add = async (arm: string, graph: Graph, bits?: number): Promise<void> => {
    const found = await judge(graph);
    scores.set(arm, [...scores.get(arm) ?? [], { ...found, ...(bits === undefined ? {} : { bits }) }]);
  };
  await add('float', cifar, 32);
  const allocations: AllocationStudy[] = [];
  let exact: Record<string, IntegerAgreement> = {};
  for (const seed of seeds) {
    const ranges = await calibrated(host, seed, sizes['calibration batches of 64']);
    const study = await allocationStudy(cifar, await batchesOf(host, seed, full ? 8 : 4, full ? 64 : 32), some(judged, 500), { seed, probes: full ? 32 : 16, random: sizes['random allocations'], threads });
    allocations.push(study);
    say(`seed ${seed}: formats chosen; Ω ${study.omega.toPrecision(3)}, KL ${study.kl.toPrecision(3)}, better than ${(100 * study.beaten).toFixed(0)} % of random ones`);
    const integer = async (widthOf: (site: Linear) => number, options: Partial<IntegerNetworkOptions> = {}) => exportIntegerOnly(cifar, { weights: rounded(cifar, widthOf), ranges, ...options });
    for (const [arm, choice] of [['W8A8', () => 8], ...shares.map((share, i) => [`W4/8A8, ${100 * share} % of the size between`, study.widthOf[i]]), ['W4A8', () => 4]] as [string, (site: Linear) => number][]) {
      await add(`integers: ${arm}`, (await integer(choice)).graph, meanBits(cifar, choice));
    }
    for (const bits of [4, 8]) {
      const inputs = { activationBits: (site: Linear) => (isEnd(cifar, site) ? 8 : bits) };
      const made = await integer(() => 8, inputs);
      await add(`W8A${bits}, fake quantization, float residual`, floatResidual(cifar, made.network), 8);
      await add(`W8A${bits}, integers, residual of 16 bits`, made.graph, 8);
      await add(`W8A${bits}, integers, residual of ${bits} bits`, (await integer(() => 8, { ...inputs, residualBits: bits })).graph, 8);
    }
    say(`seed ${seed}: arms judged`);
    if (seed === seeds[0]) exact = await exactness(host, ranges, study.widthOf[1], photographs, judged, labelled, await unlabelledImages(asset(personFiles.unlabelled), 744, 1000), sizes, threads, say);
  }
  const speed = await timeAgainst(cifar, (await exportIntegerOnly(cifar, { weights: rounded(cifar, () => 8), ranges: await calibrated(host, seeds[0], 8) })).graph, some(judged, 50), threads);
  const photographArms = await personArms(photographs, labelled, threads);
  for (const model of models) await model.close();
  return {
    arms: [...[...scores].map(([name, found]) => armOf(name, found)), ...photographArms, ...allocationArms(allocations),
      { name: 'W8A8 in integers against float, ONNX Runtime on the CPU', metrics: { 'times as long': measured(speed) } }],
    checks: [...exactChecks(exact), ...accuracyChecks(scores, photographArms), ...residualChecks(scores), ...allocationChecks(allocations)],
    notApplicable: [
      { arm: 'INT4 against INT8 latency (1.45 times on a T4)', reason: 'neither ONNX Runtime on the CPU nor WebAssembly nor WebGPU multiplies 4-bit integers; here 4 bits save memory alone' },
      { arm: 'W4A4 after 90 epochs of training', reason: 'the paper trains 4-bit networks on all of ImageNet; everything here is rounded after training' },
    ],
    protocol: sizes, notes: notesOf(allocations, exact),
  };
}

interface Score { readonly top1: number; readonly kl: number; readonly bits?: number }

/** The first samples. */
const some = (data: Dataset, count: number): Dataset => {
  // Judged images lie in order of class: every k-th of them.
  const step = Math.max(1, Math.floor(data.count / count));
  return { ...data, count: Math.min(count, data.count), batch: (indices) => data.batch(indices.map((i) => i * step)) };
};

const isEnd = (graph: Graph, { id }: Linear): boolean => { const sites = linearSites(graph); return id === sites[0].id || id === sites.at(-1)!.id; };
const formatOf = (bits: number) => parseFormat(`int${bits}/channel`);
const rounded = (graph: Graph, widthOf: (site: Linear) => number): Map<string, QuantizedMatrix> => new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, formatOf(widthOf(site)))]));

function meanBits(graph: Graph, widthOf: (site: Linear) => number): number {
  const sites = linearSites(graph);
  return sites.reduce((sum, site) => sum + site.rows * site.cols * widthOf(site), 0) / sites.reduce((sum, site) => sum + site.rows * site.cols, 0);
}

async function batchesOf({ calibration }: Pick<Host, 'calibration'>, seed: number, count: number, size: number): Promise<Feeds[]> {
  const order = shuffled(calibration.count, seed);
  return Promise.all(Array.from({ length: count }, async (_, i) => (await calibration.batch(order.slice(i * size, (i + 1) * size))).feeds));
}

/** Extremes averaged over batches with momentum 0.99, as the paper's commands do. */
const calibrated = async (host: Host, seed: number, batches: number): Promise<Ranges> =>
  observeRanges(host.folded, ortNode, await batchesOf(host, seed, batches, 64), integerValues(host.folded), { method: 'ema', momentum: 0.99 });

async function exactness(
  host: Host, ranges: Ranges, mixed: (site: Linear) => number, photographs: Host, judged: Dataset, labelled: Dataset, unseen: Dataset, sizes: ReturnType<typeof protocol>, threads: number, say: (line: string) => void,
): Promise<Record<string, IntegerAgreement>> {
  const agreement = async (name: string, graph: Graph, options: IntegerNetworkOptions, data: Dataset): Promise<[string, IntegerAgreement]> => {
    const { network, graph: proved } = await exportIntegerOnly(graph, options);
    const { graph: integer } = await exportIntegerOnly(graph, { ...options, products: 'integer' });
    const found = await integerAgreement(network, { 'float products, proved': proved, 'integer operators': integer }, data, ortNode, threads, (images) => {
      if (images % 500 === 0) say(`${name}: ${images} images compared`);
    });
    return [name, found];
  };
  const people = { weights: rounded(photographs.folded, () => 8), ranges: await calibrated(photographs, 0, 8) };
  return Object.fromEntries([
    await agreement('ResNet-20, W8A8', host.folded, { weights: rounded(host.folded, () => 8), ranges }, judged),
    await agreement('ResNet-20, W4/8A8', host.folded, { weights: rounded(host.folded, mixed), ranges }, some(judged, sizes['of them with 4 and 8 bits'])),
    await agreement('MobileNetV1, W8A8, COCO', photographs.folded, people, labelled),
    ...sizes['photographs whose integers are compared'] > labelled.count ? [await agreement('MobileNetV1, W8A8, ImageNet', photographs.folded, people, unseen)] : [],
  ]);
}

async function personArms(photographs: Host, labelled: Dataset, threads: number): Promise<Arm[]> {
  const judge = await classJudge(photographs.folded, labelled, threads);
  const { graph } = await exportIntegerOnly(photographs.folded, { weights: rounded(photographs.folded, () => 8), ranges: await calibrated(photographs, 0, 8) });
  const arm = async (name: string, one: Graph): Promise<Arm> => armOf(`MobileNetV1, ${name}`, [await judge(one)]);
  return [await arm('float', photographs.folded), await arm('integers: W8A8', graph)];
}

const armOf = (name: string, found: readonly Score[]): Arm => ({
  name, metrics: {
    'top-1 %': measured(found.map(({ top1 }) => top1)), 'KL to float, nats': measured(found.map(({ kl }) => kl)),
    ...(found[0].bits === undefined ? {} : { 'bits per weight': measured(found.map(({ bits }) => bits!)) }),
  },
});

const exactChecks = (exact: Readonly<Record<string, IntegerAgreement>>): Check[] => Object.entries(exact).flatMap(([name, { images, integers, differing }]) =>
  Object.entries(differing).map(([form, count]) => check(`${name}, executor against ONNX Runtime, ${form}`, 'no integer differs', `${count} of ${integers} in ${images} images`, count === 0)));

function accuracyChecks(scores: ReadonlyMap<string, readonly Score[]>, people: readonly Arm[]): Check[] {
  const mean = (arm: string): number => measured(scores.get(arm)!.map(({ top1 }) => top1)).mean;
  const change = mean('integers: W8A8') - mean('float');
  const [float, integer] = people.map(({ metrics }) => metrics['top-1 %'].mean);
  return [
    { ...check('ResNet-20, W8A8 in integers', 'within 1 point of float', `${change.toFixed(2)} points`, Math.abs(change) <= 1), paper: 'ResNet-18 +0.09, ResNet-50 −0.14 points' },
    check('MobileNetV1, W8A8 in integers', 'within 2 of 128 images of float', `${((integer - float) * 1.28).toFixed(0)} images`, Math.abs(integer - float) <= 200 / 128 + 1e-9),
  ];
}

function residualChecks(scores: ReadonlyMap<string, readonly Score[]>): Check[] {
  const mean = (arm: string): number => measured(scores.get(arm)!.map(({ top1 }) => top1)).mean;
  const arms = (bits: number): number[] => [`W8A${bits}, fake quantization, float residual`, `W8A${bits}, integers, residual of 16 bits`, `W8A${bits}, integers, residual of ${bits} bits`].map(mean);
  const [fake, wide, narrow] = arms(4);
  const eight = arms(8);
  return [
    check('fake quantization at 4-bit activations against integers with a residual of 16 bits', 'within 1 point', `${fake.toFixed(2)} against ${wide.toFixed(2)} %`, Math.abs(fake - wide) <= 1),
    check('a residual of 4 bits, which fake quantization hides', 'more than 1 point lower', `${narrow.toFixed(2)} against ${fake.toFixed(2)} %`, fake - narrow > 1),
    check('the same at 8 bits', 'all within 1 point', eight.map((value) => value.toFixed(2)).join(', '), Math.max(...eight) - Math.min(...eight) <= 1),
  ];
}

const notesOf = (studies: readonly AllocationStudy[], exact: Readonly<Record<string, IntegerAgreement>>): string[] => [
  `every integer of every layer is compared: ${Object.values(exact).reduce((sum, { integers }) => sum + integers, 0)} in all, for each of the two forms`,
  'weights per channel, symmetric, to nearest; activations per tensor, symmetric or from 0, extremes averaged over batches with momentum 0.99; the first and the last layer keep 8 bits where others have 4, but for the arm W4A8, where all have 4',
  '8-bit codes after ReLU use 256 steps where the paper\'s use 128; means are sums whose division is part of the rescaling; halves are rounded upward, in the executor and in the file',
  allocationNote(studies),
  'seeds draw the calibration images and the vectors of the traces; random allocations are the same for every seed',
];

export const hawqv3: Reproduction = {
  recipe: 'hawqv3',
  paper: { title: 'HAWQV3: Dyadic Neural Network Quantization', arxiv: '2011.10680' },
  claim: 'ImageNet in integers alone: ResNet-18 float 71.47, W8A8 71.56, 4 and 8 bits by the integer program 70.22, W4A4 68.45; ResNet-50 77.72, 77.58, 75.39, 74.24; INT4 up to 1.45 times as fast as INT8 on a T4.',
  experiment: 'ResNet-20 (CIFAR-10) and MobileNetV1 (person detection) rounded after training: every integer of the executor against ONNX Runtime, widths of the residual, and 4- and 8-bit layers chosen by the Hessian against random choices.',
  data: [resnet, personFiles.model, personFiles.labelled, personFiles.unlabelled, cifarFiles.judged, cifarFiles.all],
  minutes: 6,
  run,
};
