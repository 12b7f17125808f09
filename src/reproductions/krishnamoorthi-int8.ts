/** The int8 whitepaper: what per-channel weights and batch normalization folded by long-term statistics are worth. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { activationGrid } from '../export/onnx-int8.ts';
import { activationValues, exportStaticInt8 } from '../export/onnx-static.ts';
import { planStatic } from '../export/onnx-static-plan.ts';
import { floatTensor } from '../tensor-ref.ts';
import { parseFormat } from '../formats/registry.ts';
import { bindToShapes } from '../graph/bind.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { readFloats } from '../graph/values.ts';
import { openModern } from '../jobs/source-node.ts';
import { randomInteger } from '../numeric/random.ts';
import { rne } from '../numeric/rounding.ts';
import { shuffled, type Dataset } from '../observe/data/index.ts';
import { observeRanges } from '../observe/ranges.ts';
import { openGraph } from '../observe/taps.ts';
import { quantizedLazily } from '../round/quantized-matrix.ts';
import { augmentImages } from '../train/augment.ts';
import { batchOrder } from '../train/fit.ts';
import { fitFolded } from '../train/fit-folded.ts';
import { classification } from '../train/objective.ts';
import { adamw } from '../train/optimizers.ts';
import { trainableWeights } from '../train/parameters.ts';
import { cosine } from '../train/schedules.ts';
import { simulateWeights } from '../train/simulate.ts';
import type { ParameterGroup } from '../train/trainer.ts';
import { checkEquivalent } from '../transform/check-equivalent.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { exclusiveReaders, scaleBetween } from '../transform/fold-scale.ts';
import { accuracyOf, labelledBy } from './data/accuracy.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from './data/cifar.ts';
import { labelledImages, personFiles, unlabelledImages } from './data/person.ts';
import { fitFloat } from './float-control.ts';
import { codeDistance } from './integer-distance.ts';
import { measured, type Arm, type Check, type Measured, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { weightMovement } from './weight-movement.ts';

const resnet = 'cnn-resnet-cifar10/derived_resnet20.onnx';
const batch = 64;
const momentum = 0.99;

/** A network, what it learns from and what judges it. */
interface Host {
  readonly name: string;
  readonly graph: Graph;
  readonly judged: Readonly<Record<string, Dataset>>;
  readonly training: Dataset;
  readonly epochs: number;
  readonly rate: number;
  /** Learns the answers of the float network instead of labels. */
  readonly distils: boolean;
  readonly border: readonly number[];
}

type Ranges = ReadonlyMap<string, { readonly low: number; readonly high: number }>;
interface Scores { readonly arm: string; readonly metric: string; readonly value: number }

async function run({ asset, seeds, threads, say }: ReproductionContext): Promise<Outcome> {
  const models = [await openModern(asset(personFiles.model)), await openModern(asset(resnet))];
  const hosts = [await personHost(models[0].graph, asset), await resnetHost(models[1].graph, asset)];
  const scores: Scores[] = [];
  const distances: Record<string, Distance> = {};
  const movement: Record<string, Movement> = {};
  for (const host of hosts) {
    const add = async (arm: string, graph: Graph): Promise<void> => {
      for (const [metric, data] of Object.entries(host.judged)) scores.push({ arm: `${host.name}: ${arm}`, metric, value: await accuracyOf(graph, ortNode, data) });
    };
    const folded = foldBatchNorm(host.graph);
    await afterTraining(host, folded, add);
    distances[`${host.name}, W8A8`] = await distance(folded, await calibrated(host, folded, 0), 8, host);
    say(`${host.name}: quantized after training`);
    for (const [how, learns] of [['weights held', false], ['learning', true]] as const) movement[`${host.name}, ${how}`] = await moved(host, learns, threads);
    for (const seed of seeds) {
      await add('float, trained alike', await trainFloat(host, seed, threads));
      for (const [arm, folding] of [['W4A8, folded by the batch', 'batch'], ['W4A8, corrected and frozen', 'corrected']] as const) {
        const trained = await trainFolded(host, folding, seed, threads);
        const integer = await written(foldBatchNorm(trained.graph), trained.ranges, 4);
        await add(arm, integer);
        if (folding === 'corrected' && seed === seeds[0]) distances[`${host.name}, W4A8 trained`] = await distance(foldBatchNorm(trained.graph), trained.ranges, 4, host);
      }
      say(`${host.name}: seed ${seed} trained`);
    }
  }
  for (const model of models) await model.close();
  return { arms: armsOf(scores), checks: checksOf(scores, distances, movement), notes: notesOf(hosts) };
}

async function personHost(graph: Graph, asset: (path: string) => string): Promise<Host> {
  const unseen = await unlabelledImages(asset(personFiles.unlabelled), 744, 1000);
  return {
    name: 'MobileNet', graph, epochs: 8, rate: 1e-4, distils: true, border: [],
    training: await unlabelledImages(asset(personFiles.unlabelled), 0, 744),
    judged: { 'top-1 %': await labelledImages(asset(personFiles.labelled)), 'agreement %': await labelledBy(graph, ortNode, unseen) },
  };
}

async function resnetHost(graph: Graph, asset: (path: string) => string): Promise<Host> {
  return {
    name: 'ResNet-20', graph, epochs: 1, rate: 1e-3, distils: false, border: [0, 1, 2].map((channel) => normalised(0, channel)),
    training: await trainingImages(asset(cifarFiles.all), normalised), judged: { 'top-1 %': await judgedImages(asset(cifarFiles.judged), normalised) },
  };
}

/** Arms that train nothing. */
async function afterTraining(host: Host, folded: Graph, add: (arm: string, graph: Graph) => Promise<void>): Promise<void> {
  await add('float', host.graph);
  const weights = (graph: Graph, format: string): Promise<Graph> => simulateWeights(graph, linearSites(graph), () => parseFormat(format));
  for (const [arm, format] of weightArms) await add(arm, await weights(folded, format));
  if (host.distils) {
    const scaled = await spreadChannels(folded, host);
    for (const [arm, format] of weightArms) await add(`channels spread, ${arm}`, await weights(scaled, format));
  }
  const ranges = await calibrated(host, folded, 0);
  await add('W8A8', await written(folded, ranges, 8));
  await add('W4A8', await written(folded, ranges, 4));
}

const weightArms = [['W8 per layer, asymmetric', 'uint8/tensor'], ['W8 per channel, symmetric', 'int8/channel'], ['W8 per channel, asymmetric', 'uint8/channel']] as const;

/**
 * Channels between a layer and the depthwise layer behind it, scaled by powers of two from 1/16 to 16: exact in float, and
 * harmless for weights with one scale per channel.
 */
async function spreadChannels(graph: Graph, host: Host): Promise<Graph> {
  let next = graph;
  for (const { input, groups, rows } of linearSites(graph)) {
    if (groups === 1 || groups !== rows || exclusiveReaders(next, input) === undefined) continue;
    const factors = Float32Array.from({ length: rows }, (_, i) => 2 ** (randomInteger(0x6b31, i, rows, 9) - 4));
    next = (await scaleBetween(next, input, factors)) ?? next;
  }
  await checkEquivalent(graph, next, ortNode, (await host.training.batch([0, 1, 2, 3])).feeds, 1e-6);
  return next;
}

/** Moving averages of the extremes over 8 batches. */
async function calibrated({ training }: Host, folded: Graph, seed: number): Promise<Ranges> {
  const order = shuffled(training.count, seed);
  const batches: Feeds[] = [];
  for (let i = 0; i < 8; i++) batches.push((await training.batch(order.slice(i * batch, (i + 1) * batch))).feeds);
  // What is only moved, by Flatten and its like, keeps the codes it has.
  const { made } = planStatic(folded);
  return observeRanges(folded, ortNode, batches, activationValues(folded).filter((value) => made.get(value)?.like === undefined), { method: 'ema' });
}

const integerWeights = (graph: Graph, bits: number) =>
  new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat(`int${bits}/channel`))]));

/** The ranges, and those of values that are only moved. */
function withMoved(folded: Graph, ranges: Ranges): Ranges {
  const all = new Map(ranges);
  const { made } = planStatic(folded);
  for (const value of made.keys()) {
    let from = value;
    for (let like = made.get(from)?.like; like !== undefined; like = made.get(from)?.like) from = like;
    const range = ranges.get(from);
    if (range !== undefined) all.set(value, range);
  }
  return all;
}

/** The integer graph as it is written to a file. */
const written = async (folded: Graph, ranges: Ranges, bits: number): Promise<Graph> =>
  (await exportStaticInt8(folded, { weights: integerWeights(folded, bits), ranges: withMoved(folded, ranges) })).graph;

type Distance = Awaited<ReturnType<typeof codeDistance>>;

/** The float graph with fake quantization beside the integer graph, every value computed from the same codes. */
async function distance(folded: Graph, ranges: Ranges, bits: number, { judged }: Host): Promise<Distance> {
  const decoded = await simulateWeights(folded, linearSites(folded), () => parseFormat(`int${bits}/channel`));
  const [data] = Object.values(judged);
  const { feeds } = await data.batch(Array.from({ length: 64 }, (_, i) => i));
  return codeDistance(await roundedBiases(decoded, folded, ranges, bits), await written(folded, ranges, bits), ranges, ortNode, feeds);
}

/** Biases as integers have them: multiples of the product of both scales. */
async function roundedBiases(graph: Graph, folded: Graph, ranges: Ranges, bits: number): Promise<Graph> {
  const weights = new Map(graph.weights);
  const all = withMoved(folded, ranges);
  for (const site of linearSites(folded)) {
    if (site.bias === undefined) continue;
    const { scales } = parseFormat(`int${bits}/channel`).encode(await site.weightMatrix(), site.rows, site.cols);
    const { scale } = activationGrid(all.get(site.input)!, 'u8');
    const bias = await readFloats(graph.weights.get(site.bias.name)!);
    const step = scales.map((own) => scale * own);
    weights.set(site.bias.name, floatTensor(site.bias.name, [site.rows], bias.map((value, row) => rne(value / step[row]) * step[row])));
  }
  return { ...graph, weights };
}

/** What training is told: batches, loss, groups. */
async function lessonsOf(host: Host, seed: number, threads: number) {
  const { graph, training, rate } = host;
  const [{ name: input }] = graph.inputs;
  const [{ name: logits }] = graph.outputs;
  const bound = await bindToShapes(graph, new Map([[input, [batch, ...(await training.batch([0])).feeds[input].shape.slice(1)]]]));
  const teacher = host.distils ? await openGraph(graph, ortNode) : undefined;
  const steps = host.epochs * Math.floor(training.count / batch);
  const { matrices, others } = trainableWeights(bound);
  const schedule = cosine(steps);
  const groups: ParameterGroup[] = [
    { names: matrices, optimizer: adamw(), rate, schedule, decay: 1e-4 }, { names: others, optimizer: adamw(), rate, schedule },
  ];
  const objective = (next: Graph) => classification(next, { logits, distill: host.distils ? 1 : 0 });
  const { feed } = objective(bound);
  return {
    bound, steps, dispose: async () => teacher?.dispose(),
    options: {
      engine: ortNode, objective, groups, momentum, session: { threads },
      fit: {
        data: training, batch, steps, seed,
        async feed({ feeds, labels }: { feeds: Feeds; labels?: Awaited<ReturnType<Dataset['batch']>>['labels'] }, step: number): Promise<Feeds> {
          const images = augmentImages(feeds[input], step, seed, { flip: true, shift: host.distils ? 0 : 2, border: host.border });
          const answers: Tensor | undefined = (await teacher?.run({ [input]: images }))?.[logits];
          return { [input]: images, ...feed(labels, answers) };
        },
      },
    },
  };
}

async function trainFloat(host: Host, seed: number, threads: number): Promise<Graph> {
  const { bound, options, dispose } = await lessonsOf(host, seed, threads);
  const { weights } = await fitFloat(bound, options);
  await dispose();
  return { ...host.graph, weights };
}

async function trainFolded(host: Host, folding: 'batch' | 'corrected', seed: number, threads: number) {
  const { bound, steps, options, dispose } = await lessonsOf(host, seed, threads);
  const ranges = await calibrated(host, foldBatchNorm(host.graph), seed);
  const fitted = await fitFolded(bound, {
    ...options, folding, ranges, weightBits: () => 4, activationBits: 8, ...(folding === 'corrected' ? { freezeAt: Math.round(steps / 2) } : {}),
  });
  await dispose();
  return { ...fitted, graph: { ...host.graph, weights: fitted.graph.weights } };
}

type Movement = readonly [batch: number, corrected: number];

/** How far quantized weights move from step to step, folded either way: as they learn, or by the statistics alone. */
async function moved(host: Host, learns: boolean, threads: number): Promise<Movement> {
  const { bound, options, dispose } = await lessonsOf(host, 0, threads);
  const order = batchOrder(host.training.count, batch, 0);
  const feeds: Feeds[] = [];
  for (let step = 0; step < 12; step++) feeds.push(await options.fit.feed(await host.training.batch(order(step)), step));
  const ranges = await calibrated(host, foldBatchNorm(host.graph), 0);
  const found = [];
  for (const folding of ['batch', 'corrected'] as const) {
    const groups = options.groups.map((group) => ({ ...group, rate: learns ? group.rate : 0 }));
    found.push(await weightMovement(bound, { ...options, groups, folding, ranges, weightBits: () => 4, activationBits: 8, feeds }));
  }
  await dispose();
  return [found[0], found[1]];
}

const mean = (scores: readonly Scores[], arm: string, metric = 'top-1 %'): Measured => measured(scores.filter((one) => one.arm === arm && one.metric === metric).map(({ value }) => value));

function armsOf(scores: readonly Scores[]): Arm[] {
  return [...new Set(scores.map(({ arm }) => arm))].map((name) => ({
    name, metrics: Object.fromEntries([...new Set(scores.filter(({ arm }) => arm === name).map(({ metric }) => metric))].map((metric) => [metric, mean(scores, name, metric)])),
  }));
}

function checksOf(scores: readonly Scores[], distances: Readonly<Record<string, Distance>>, movement: Readonly<Record<string, Movement>>): Check[] {
  const at = (arm: string, metric?: string): number => mean(scores, arm, metric).mean;
  const check = (name: string, expected: string, value: string, holds: boolean): Check => ({ name, expected, measured: value, holds });
  const points = (value: number): string => `${value.toFixed(2)} points`;
  const spread = (arm: string): number => at(`MobileNet: channels spread, ${arm}`);
  const [perLayer, symmetric, asymmetric] = weightArms.map(([arm]) => arm);
  const eight = [...weightArms.map(([arm]) => arm), 'W8A8'].map((arm) => at(`ResNet-20: ${arm}`));
  const lost = Math.max(...eight.map((value) => Math.abs(value - at('ResNet-20: float'))));
  const checks = [
    check('depthwise, one scale per layer', 'more than 10 points below one per channel, where channels are spread', points(spread(symmetric) - spread(perLayer)), spread(symmetric) - spread(perLayer) > 10),
    check('depthwise, asymmetric against symmetric', 'not worse by more than one image', points(spread(asymmetric) - spread(symmetric)), spread(asymmetric) - spread(symmetric) >= -100 / 128),
    check('ResNet-20 at 8 bits', 'every arm within 1 point of float', `${points(lost)} at most`, lost <= 1),
    check('MobileNet at W8A8', 'at least 97 % agreement with float', `${at('MobileNet: W8A8', 'agreement %').toFixed(1)} %`, at('MobileNet: W8A8', 'agreement %') >= 97),
  ];
  for (const [host, metric] of [['MobileNet', 'agreement %'], ['ResNet-20', 'top-1 %']] as const) {
    const [before, after, control, naive] = ['W4A8', 'W4A8, corrected and frozen', 'float, trained alike', 'W4A8, folded by the batch'].map((arm) => at(`${host}: ${arm}`, metric));
    checks.push(
      check(`${host} at W4A8, training`, 'recovers more than half of what rounding alone lost against the float control', `${before.toFixed(2)} to ${after.toFixed(2)} %, float ${control.toFixed(2)} %`, after - before > (control - before) / 2),
      check(`${host}, correction against folding by the batch`, 'not worse', `${after.toFixed(2)} against ${naive.toFixed(2)} %`, after >= naive),
    );
  }
  for (const [host, [batched, corrected]] of Object.entries(movement)) {
    // While weights learn, both move by what they learn: there it is only asked that folding by the batch moves them more.
    const least = host.endsWith('held') ? 3 : 1;
    checks.push(check(`quantized weights between steps: ${host}`, least === 1 ? 'move more when folded by the batch' : `move more than ${least} times as much when folded by the batch`, `${(batched / corrected).toFixed(1)} times (relative variance ${batched.toExponential(1)} against ${corrected.toExponential(1)})`, batched > least * corrected));
  }
  for (const [name, { largest, share, codes }] of Object.entries(distances)) {
    checks.push(check(`${name}, fake quantization against integers`, 'at most 1 code apart', `${largest}, ${(100 * share).toFixed(3)} % of ${codes} codes`, largest <= 1));
  }
  return checks;
}

const notesOf = (hosts: readonly Host[]): string[] => [
  ...hosts.map(({ name, judged, training, epochs, rate }) => `${name}: judged on ${Object.entries(judged).map(([metric, { name: data, count }]) => `${count} of ${data} (${metric})`).join(' and ')}; ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} at rate ${rate} on ${training.count} of ${training.name}`),
  'MobileNet learns the float network\'s answers to photographs that nobody labelled; ResNet-20 learns labels',
  'MobileNet as it is survives one scale per layer; where "channels spread" stands, channels before depthwise layers were scaled by powers of two from 1/16 to 16, which leaves the float network as it is',
  `training: AdamW, cosine, batches of ${batch}, statistics and ranges keep ${momentum} per step, frozen after half of the steps; symmetric weights per channel, affine activations per tensor`,
  'W8A8 and W4A8 arms are the integer graph in ONNX Runtime; codes of 4 bits are stored in 8; fake quantization is compared with it layer by layer, biases rounded to the product of both scales',
];

export const krishnamoorthiInt8: Reproduction = {
  recipe: 'krishnamoorthi-int8',
  paper: { title: 'Quantizing deep convolutional networks for efficient inference: A whitepaper', arxiv: '1806.08342' },
  claim: 'MobileNet-v1 on ImageNet, float 70.9 %: weights of 8 bits with one scale per layer 0.1, per channel symmetric 59.1, asymmetric 70.3; trained at 4 bits 65, not trained 0.1.',
  experiment: 'MobileNet-v1 0.25 (person detection) and ResNet-20 (CIFAR-10): weights per layer and per channel, W8A8, W4A8 with and without training.',
  data: [resnet, personFiles.model, personFiles.labelled, personFiles.unlabelled, cifarFiles.judged, cifarFiles.all],
  minutes: 11,
  run,
};
