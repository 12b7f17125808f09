/** QuantVGGT: rotation, balancing in the turned space and learned ranges on a transformer with register tokens; samples without outliers that differ. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { pairedDifference } from '../evaluate/metrics/summary.ts';
import { parseFormat } from '../formats/registry.ts';
import { GraphBuilder } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { openModern } from '../jobs/source-node.ts';
import { argMax, klDivergence, logSoftmax } from '../numeric/distribution.ts';
import { normal, permutation, uniform } from '../numeric/random.ts';
import { mean } from '../numeric/statistics.ts';
import { diverseSamples } from '../observe/diverse-samples.ts';
import { describeSamples } from '../recipes/steps/choose-samples.ts';
import type { Step } from '../recipes/recipe.ts';
import { floatTensor } from '../tensor-ref.ts';
import { blocksOf } from '../train/blocks.ts';
import { balanceInputs } from '../transform/balance.ts';
import { judgedImages } from './data/cifar.ts';
import { percent } from './dit-arms.ts';
import { check, measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { relativeError, valuesOf, written } from './written.ts';

const files = {
  model: 'host-vit-cifar/model.onnx', judged: '_research-terms/host-vit-cifar_heldout400.bin', samples: '_research-terms/data-cifar10-jpeg/cifar10_test_2000_decoded.bin',
} as const;

const reduced = { judged: 200, samples: 20, epochs: 15, draws: 20, drawn: 8, pool: 60, judgedPerDraw: 60 } as const;
const whole = { judged: 400, samples: 20, epochs: 15, draws: 50, drawn: 8, pool: 200, judgedPerDraw: 400 } as const;
type Protocol = typeof reduced | typeof whole;

const rotate: Step = { step: 'rotate', where: 'online' };
const nearest: Step = { step: 'round', rounder: 'nearest' };
const balance = (factors: boolean, ranges: boolean, epochs: number): Step => ({ step: 'learn-balance', factors, ranges, epochs });
const arms = ({ epochs }: { readonly epochs: number }): Readonly<Record<string, readonly Step[]>> => ({
  'nearest': [nearest],
  'balanced': [balance(false, false, 0)],
  'rotated': [rotate, nearest],
  'rotated, balanced': [rotate, balance(false, false, 0)],
  'rotated, factors learned': [rotate, balance(true, false, epochs)],
  'rotated, factors and ranges learned': [rotate, balance(true, true, epochs)],
});
const [plain, , rotated, start, , learned] = Object.keys(arms(reduced));
const seeded = [start, learned];

/** One channel in so many is made so many times as large before the layers that read a normalization. */
const planted = { gain: 16, oneIn: 16 } as const;

/** Images of CIFAR records as the network wants them, −1 to 1. */
async function imagesOf(path: string, indices: (count: number) => readonly number[]): Promise<{ readonly x: Tensor; readonly labels: readonly number[] }> {
  const data = await judgedImages(path, (value) => value / 127.5 - 1);
  const { feeds, labels } = await data.batch(indices(data.count));
  return { x: feeds.input, labels: (labels as { readonly values: readonly number[] }).values };
}
const spread = (wanted: number) => (count: number): number[] => Array.from({ length: wanted }, (_, i) => Math.floor((i * count) / wanted));
const first = (wanted: number, seed: number) => (count: number): number[] => Array.from(permutation(seed, 0, count)).slice(0, wanted);

interface Judge { readonly feeds: Feeds; readonly labels: readonly number[]; readonly threads: number }
interface Score { readonly kl: Float64Array; readonly agree: number; readonly right: number; readonly block: number }

/** Layers of the transformer blocks: the patch embedding and the head stay float, as published. */
const inBlocks = ({ kind, id }: Linear): boolean => kind === 'Gemm' && id.startsWith('blocks.');

async function armGraph(graph: Graph, steps: readonly Step[], points: Feeds, seed: number, threads: number): Promise<Graph> {
  const [weight, input] = [parseFormat('int4/channel'), parseFormat('int4/token')];
  const made = await written(graph, steps, { points, seed, threads, formatOf: (site) => (inBlocks(site) ? weight : undefined), activationOf: (site) => (inBlocks(site) ? input : undefined) });
  return made.graph;
}

/** Outputs of the network and of its last transformer block on judged images. */
async function outputsOf(graph: Graph, { feeds, threads }: Judge, block: string) {
  const found = await valuesOf(graph, ['logits', block], feeds, { threads });
  return { logits: Float32Array.from(found.get('logits')!.flatMap((part) => [...part])), block: found.get(block)! };
}

function scoreOf(float: Awaited<ReturnType<typeof outputsOf>>, other: Awaited<ReturnType<typeof outputsOf>>, labels: readonly number[]): Score {
  const width = float.logits.length / labels.length;
  let [agree, right] = [0, 0];
  const kl = Float64Array.from(labels, (label, i) => {
    const best = argMax(other.logits, i * width, width);
    if (best === argMax(float.logits, i * width, width)) agree++;
    if (best === label) right++;
    return klDivergence(logSoftmax(float.logits, i * width, width), logSoftmax(other.logits, i * width, width));
  });
  return { kl, agree: agree / labels.length, right: right / labels.length, block: relativeError(float.block, other.block) };
}

async function run({ asset, seeds, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const toy = await specialTokens(seeds, threads, say);
  const layerArms = [...toy].map(([name, errors]): Arm => ({ name: `one layer with special tokens, ${name}`, metrics: { 'output error, %': measured(errors.map((error) => percent(Math.sqrt(error)))) } }));
  if (page) {
    return {
      arms: layerArms, checks: toyChecks(toy), notApplicable: [notInPage('the vision transformer and the choice of samples', 'weights and images do not come with it')],
      notes: ['W4A4: weights per output channel, inputs per token as they come; 128 tokens of 64 channels, three of them larger by 60 on two channels, one channel 12 times as large'],
    };
  }
  const protocol = full ? whole : reduced;
  const model = await openModern(asset(files.model));
  try {
    const { x, labels } = await imagesOf(asset(files.judged), spread(protocol.judged));
    const judge: Judge = { feeds: { x }, labels, threads };
    const twin = await plantedTwin(model.graph);
    const results = new Map<string, Score[]>();
    const hosts = { '': model.graph, ', planted outliers': twin } as const;
    const block = blocksOf(model.graph, 'block').filter(({ sites }) => sites.length === 2).at(-1)!.outputs[0];
    const float = await outputsOf(model.graph, judge, block);
    for (const [suffix, graph] of Object.entries(hosts)) {
      for (const seed of seeds) {
        const { x: samples } = await imagesOf(asset(files.samples), first(protocol.samples, seed));
        for (const [name, steps] of Object.entries(arms(protocol))) {
          if (seed !== seeds[0] && (!seeded.includes(name) || suffix !== '')) continue;
          const score = scoreOf(float, await outputsOf(await armGraph(graph, steps, { x: samples }, seed, threads), judge, block), labels);
          results.set(name + suffix, [...results.get(name + suffix) ?? [], score]);
          say(`seed ${seed}, ${name}${suffix}: KL ${mean(score.kl).toExponential(3)}, block ${score.block.toExponential(3)}`);
        }
      }
    }
    const few = await imagesOf(asset(files.judged), spread(protocol.judgedPerDraw));
    const chosen = await sampling(model.graph, protocol, asset, { feeds: { x: few.x }, labels: few.labels, threads }, block, say);
    const accuracy = labels.filter((label, i) => argMax(float.logits, i * 10, 10) === label).length / labels.length;
    return {
      arms: [
        { name: 'float', metrics: { 'top-1 %': measured([percent(accuracy)]) } },
        ...[...results].map(([name, scores]): Arm => ({ name, metrics: { 'KL': measured(scores.map(({ kl }) => mean(kl))), 'block output error, %': measured(scores.map((score) => percent(score.block))), 'agrees with float %': measured(scores.map((score) => percent(score.agree))), 'top-1 %': measured(scores.map((score) => percent(score.right))) } })),
        ...layerArms,
        ...chosen.arms,
      ],
      protocol,
      checks: [...orderings(results, ''), ...orderings(results, ', planted outliers'), ...toyChecks(toy), ...chosen.checks],
      notApplicable: [
        { arm: 'reconstruction accuracy of VGGT-1B', reason: 'a network of a billion weights and its scenes do not fit the hosts' },
        { arm: 'camera tokens, frame and global blocks', reason: 'the host is a transformer of single images; it has a class token and four register tokens' },
        { arm: 'similarity of frames to the first as the descriptor of a sample', reason: 'samples here have one frame: the mean token of the last block describes them' },
      ],
      notes: [
        `vision transformer with four register tokens, CIFAR-10 (${percent(accuracy).toFixed(1)} % top-1 in float); ${protocol.judged} held-out images judge, ${protocol.samples} training images calibrate`,
        'W4A4 of the transformer blocks: weights per output channel, inputs per token as they come; patch embedding and head float',
        `the twin with planted outliers computes the same function: one channel in ${planted.oneIn} of what normalizations give is ${planted.gain} times as large`,
        `samples: of ${protocol.pool} images every tenth is corrupted (${corruption}); ${protocol.drawn} are drawn, ${protocol.draws} times, and ${protocol.judgedPerDraw} images judge each draw`,
      ],
    };
  } finally {
    await model.close();
  }
}

/** What the card expects: learning loses less than its start and than rotation alone; the start itself is not expected to beat rotation. */
function orderings(results: ReadonlyMap<string, readonly Score[]>, suffix: string): Check[] {
  const of = (name: string): Score => results.get(name + suffix)![0];
  const below = (a: string, b: string): Check => {
    const [x, y] = [of(a).block, of(b).block];
    const { mean: difference, standardError } = pairedDifference(of(b).kl, of(a).kl);
    return check(`${a} against ${b}${suffix}`, 'less error of the last block\'s output', `${percent(x).toFixed(3)} against ${percent(y).toFixed(3)} %; KL ${difference.toExponential(2)} ± ${(2 * standardError).toExponential(1)}, paired`, x < y);
  };
  return [below(learned, start), below(learned, rotated), below(rotated, plain)];
}

/** The network with some channels of what its normalizations give made large, and the layers behind them made to match. */
async function plantedTwin(graph: Graph): Promise<Graph> {
  const norms = new Set(graph.nodes.filter(({ op }) => op === 'LayerNormalization').map(({ outputs }) => outputs[0]));
  const inputs = [...new Map(linearSites(graph).filter((site) => inBlocks(site) && norms.has(site.input)).map((site) => [site.input, site.cols]))];
  return balanceInputs(graph, new Map(inputs.map(([value, width], i) => [value, Float32Array.from({ length: width }, (_, channel) => (uniform(11, i, channel) < 1 / planted.oneIn ? 1 / planted.gain : 1))])), { into: 'gains' });
}

/** The card's toy: 128 tokens of 64 channels, three of them larger by 60 on two channels, one channel 12 times as large. */
async function specialTokens(seeds: readonly number[], threads: number, say: (line: string) => void): Promise<Map<string, number[]>> {
  const [tokens, width, outputs, count] = [128, 64, 64, 8];
  const errors = new Map<string, number[]>();
  for (const seed of seeds) {
    const samples = (stream: number): Tensor => ({
      type: 'f32', shape: [count, tokens, width],
      data: Float32Array.from({ length: count * tokens * width }, (_, i) => normal(seed, stream, i) * (i % width === 9 ? 12 : 1) + (Math.floor(i / width) % tokens < 3 && (i % width === 4 || i % width === 30) ? 60 : 0)),
    });
    const g = new GraphBuilder('special tokens');
    const x = g.input('x', 'f32', ['n', tokens, width]);
    g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [width, outputs], Float32Array.from({ length: width * outputs }, (_, i) => normal(seed, 9, i) / 8)))]), 'y', 'f32', ['n', tokens, outputs]);
    const judged: Feeds = { x: samples(1) };
    const float = (await valuesOf(g.graph(), ['y'], judged, { threads })).get('y')!;
    for (const [name, steps] of Object.entries(arms({ epochs: 40 }))) {
      const made = await written(g.graph(), steps, { points: { x: samples(0) }, seed, threads, formatOf: () => parseFormat('int4/channel'), activationOf: () => parseFormat('int4/token') });
      say(`seed ${seed}, one layer with special tokens, ${name}`);
      errors.set(name, [...errors.get(name) ?? [], relativeError(float, (await valuesOf(made.graph, ['y'], judged, { threads })).get('y')!)]);
    }
  }
  return errors;
}

function toyChecks(errors: ReadonlyMap<string, readonly number[]>): Check[] {
  const of = (name: string): number => Math.sqrt(mean(errors.get(name)!));
  const below = (a: string, b: string): Check => check(`one layer with special tokens: ${a} against ${b}`, 'less error of its output', `${percent(of(a)).toFixed(2)} against ${percent(of(b)).toFixed(2)} %`, of(a) < of(b));
  return [below(rotated, plain), below(learned, start), below(learned, rotated)];
}

/** Seen with seed 0 over 20 draws, 12 of 160 samples corrupted at random. */
const samplesDecideLittle = 'samples decide little here: inputs are measured as they come, only channel factors are theirs, and normalizations bring corrupted images to the scale of the others; no way of drawing differs from another by more than two standard errors';
const corruption = 'noise of thirty times the range of pixels';
const ways = { 'at random': { filter: false, cluster: false }, 'filtered': { filter: true, cluster: false }, 'clustered': { filter: false, cluster: true }, 'filtered and clustered': { filter: true, cluster: true } } as const;
const [random, , , both] = Object.keys(ways);

/** Channel factors from few samples, a tenth of which may be corrupted, drawn in four ways: KL of the balanced network by draw. */
async function sampling(graph: Graph, { pool, drawn, draws }: Protocol, asset: (path: string) => string, judge: Judge, block: string, say: (line: string) => void) {
  const { x } = await imagesOf(asset(files.samples), first(pool, 77));
  const size = x.data.length / pool;
  const data = (x.data as Float32Array).map((value, i) => (Math.floor(i / size) % 10 === 0 ? 30 * normal(5, 0, i) : value));
  const rows = Array.from({ length: pool }, (_, i): Feeds => ({ x: { type: 'f32', shape: [1, ...x.shape.slice(1)], data: data.subarray(i * size, (i + 1) * size) } }));
  const described = await describeSamples(graph, ortNode, rows);
  const float = await outputsOf(graph, judge, block);
  const { applied: { graph: turned } } = await written(graph, [rotate], { points: rows[0], seed: 0, threads: judge.threads, formatOf: (site) => (inBlocks(site) ? parseFormat('int4/channel') : undefined) });
  const scores = new Map<string, number[]>();
  const corrupted = new Map<string, number>();
  for (let draw = 0; draw < draws; draw++) {
    for (const [name, way] of Object.entries(ways)) {
      const { chosen } = diverseSamples(described, { clusters: drawn / 2, perCluster: 2, ...way, seed: draw });
      const points: Tensor = { type: 'f32', shape: [chosen.length, ...x.shape.slice(1)], data: Float32Array.from(chosen.flatMap((i) => [...data.subarray(i * size, (i + 1) * size)])) };
      const made = await armGraph(turned, [balance(false, false, 0)], { x: points }, 0, judge.threads);
      scores.set(name, [...scores.get(name) ?? [], mean(scoreOf(float, await outputsOf(made, judge, block), judge.labels).kl)]);
      corrupted.set(name, (corrupted.get(name) ?? 0) + chosen.filter((i) => i % 10 === 0).length);
    }
  }
  for (const name of Object.keys(ways)) say(`samples ${name}: KL ${measured(scores.get(name)!).mean.toExponential(3)}, ${corrupted.get(name)} corrupted`);
  const [a, b] = [measured(scores.get(both)!), measured(scores.get(random)!)];
  const { mean: difference, standardError } = pairedDifference(scores.get(random)!, scores.get(both)!);
  return {
    arms: [...scores].map(([name, kl]): Arm => ({ name: `samples ${name}`, metrics: { 'KL': measured(kl), 'corrupted, of all drawn, %': measured([(100 * corrupted.get(name)!) / (draws * drawn)]) } })),
    checks: [
      check('samples filtered', 'none of the corrupted is drawn', `${corrupted.get(both)} of ${draws * drawn}, ${corrupted.get(random)} at random`, corrupted.get(both) === 0),
      check('samples filtered and clustered against at random', 'a lower mean of KL over draws, paired', `${a.mean.toExponential(3)} against ${b.mean.toExponential(3)}, difference ${difference.toExponential(2)} ± ${(2 * standardError).toExponential(1)}`, difference < 0, samplesDecideLittle),
      check('samples filtered and clustered against at random', 'a lower spread of KL over draws', `${a.spread.toExponential(2)} against ${b.spread.toExponential(2)}`, a.spread < b.spread, samplesDecideLittle),
    ],
  };
}

export const quantvggt: Reproduction = {
  recipe: 'quantvggt',
  paper: { title: 'Quantized Visual Geometry Grounded Transformer', arxiv: '2509.21302' },
  claim: 'VGGT at W4A4 keeps over 98 % of its reconstruction accuracy, with 3.7 times less memory and 2.5 times the speed on GPUs; calibration on filtered, diverse scenes varies less.',
  experiment: 'A vision transformer with register tokens on CIFAR-10 and its twin with planted outliers at W4A4: rotation, balancing, learned factors and ranges; samples drawn in four ways.',
  data: Object.values(files),
  minutes: 5,
  run,
};
