/** MixDQ: do measures of their own for content and quality, each with its share of the bits, beat one measure for all layers? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { pairedDifference } from '../evaluate/metrics/summary.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { permutation, randomInteger } from '../numeric/random.ts';
import { structureMeasure } from '../observe/output-measures.ts';
import { openGraph } from '../observe/taps.ts';
import { decoupledFormats, type DecoupledChoice, type Subject } from '../recipes/decoupled-formats.ts';
import { mixdq } from '../recipes/mixdq.ts';
import type { LayerGroup, Step } from '../recipes/recipe.ts';
import { outputsOf } from '../recipes/steps/balance.ts';
import { ditFiles, openDit, samplePsnr, type DitHost } from './data/dit.ts';
import { percent } from './dit-arms.ts';
import { measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { written } from './written.ts';

const reduced = { points: 32, generated: 8, images: 20, steps: 4, splits: 5, random: 10 } as const;
const whole = { points: 32, generated: 32, images: 100, steps: 4, splits: 10, random: 10 } as const;
type Protocol = typeof reduced | typeof whole;

const meanBits = 4;
const round: Step = { step: 'round', rounder: 'nearest' };
const allocate = mixdq.steps.find(({ step }) => step === 'allocate-decoupled') as Extract<Step, { step: 'allocate-decoupled' }>;
const onGrids = mixdq.steps.find(({ step }) => step === 'round-inputs') as Extract<Step, { step: 'round-inputs' }>;
const alone = (measure: LayerGroup['measure']): readonly LayerGroup[] => [{ name: 'all', layers: [''], measure, widths: [2, 4, 8] }];

/** Distances of an arm from the float network, by image or point. */
interface Judged { readonly similarity: Float64Array; readonly noise: Float64Array; readonly relative: number }

async function run({ asset, seeds, threads, full, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : reduced;
  const host = await openDit(asset, { threads });
  try {
    const points = await host.points(protocol.points, 100);
    const sites = linearSites(host.graph);
    const arms: Arm[] = [];
    const judged = new Map<string, Judged>();
    const float = await host.sample(host.graph, protocol);
    /** The table of classes is looked up, not multiplied: it stays float in every arm. */
    const low = async (steps: readonly Step[], formatOf: (site: Linear) => NumberFormat | undefined): Promise<Graph> =>
      (await written(host.graph, steps, { points, seed: 0, threads, formatOf: (site) => (site.kind === 'Gather' ? undefined : formatOf(site)) })).graph;
    const judge = async (name: string, steps: readonly Step[], formatOf: (site: Linear) => NumberFormat | undefined): Promise<Judged> => {
      const graph = await low(steps, formatOf);
      const [{ squared, relative }, samples] = [await host.noiseError(graph), await host.sample(graph, protocol)];
      const similarity = similarities(float, samples, protocol.images);
      const found = { similarity, noise: squared, relative };
      judged.set(name, found);
      const noise = measured([percent(relative)]);
      arms.push({ name, metrics: { 'structural similarity of samples': measured([...similarity]), 'sample PSNR, dB': measured([...samplePsnr(float, samples)]), 'predicted noise error, %': noise, 'label match, %': measured([percent(await host.labelMatch(samples))]) } });
      say(`${name}: similarity ${measured([...similarity]).mean.toFixed(4)}, noise error ${noise.mean.toFixed(3)} %`);
      return found;
    };
    const fixed = (protect: number): Step[] => [round, { ...onGrids, protect }];
    const choose = (groups: readonly LayerGroup[], seed: number): Promise<DecoupledChoice> => decoupledFormats(host.graph, sites, {
      groups, format: parseFormat(`int${meanBits}/channel`), activations: new Map(), meanBits, points: protocol.splits, images: protocol.generated,
      open: (graph, purpose) => (purpose === 'sqnr' || purpose === 'noise' ? onPoints(graph, points, threads) : onGenerated(host, graph, protocol, 200 + seed)),
    });

    const [kept, all, uniform] = ['W8A8, the most sensitive input float', 'W8A8, every input on a grid', 'W4A8'];
    await judge(kept, fixed(onGrids.protect), () => parseFormat('int8/channel'));
    await judge(all, fixed(0), () => parseFormat('int8/channel'));
    await judge(uniform, fixed(onGrids.protect), () => parseFormat('int4/channel'));
    const [decoupled, noise, structure, power] = ['decoupled', 'SQNR alone', 'similarity alone', 'noise power alone (not in the paper)'].map((how) => `mean ${meanBits} bits, ${how}`);
    const choices = new Map<string, DecoupledChoice>();
    for (const [name, groups] of [[decoupled, allocate.groups], [noise, alone('sqnr')], [structure, alone('ssim')], [power, alone('noise')]] as const) {
      const choice = await choose(groups, 0);
      choices.set(name, choice);
      await judge(name, fixed(onGrids.protect), ({ id }) => choice.formats.get(id));
    }
    const outputs = `mean ${meanBits} bits, decoupled on outputs (the recipe on a data file)`;
    await judge(outputs, [{ ...allocate, points: protocol.splits }, round, onGrids], () => parseFormat(`int${meanBits}/channel`));
    const spread = new Map<string, number[]>([[decoupled, [judged.get(decoupled)!.relative]]]);
    for (const seed of seeds.slice(1)) {
      const choice = await choose(allocate.groups, seed);
      const graph = await low(fixed(onGrids.protect), ({ id }) => choice.formats.get(id));
      spread.get(decoupled)!.push((await host.noiseError(graph)).relative);
      say(`seed ${seed}: chosen again`);
    }
    const random: number[] = [];
    for (let seed = 0; seed < protocol.random; seed++) {
      const widths = randomWidths(sites, meanBits, seed);
      random.push(percent((await host.noiseError(await low(fixed(onGrids.protect), ({ id }) => parseFormat(`int${widths.get(id)!}/channel`)))).relative));
    }
    say(`at random: noise error ${measured(random).mean.toFixed(3)} ± ${measured(random).spread.toFixed(3)} %`);

    const better = (name: string, other: string, by: 'noise' | 'similarity', finding?: string): Check => {
      const { mean, standardError } = pairedDifference(judged.get(other)![by], judged.get(name)![by]);
      const gain = by === 'noise' ? -mean : mean;
      const holds = gain > 2 * standardError;
      return {
        name: `${name} against ${other}`, expected: by === 'noise' ? 'less error of the predicted noise, paired over points, beyond two standard errors' : 'more similar samples, paired over images, beyond two standard errors',
        measured: `${mean.toExponential(2)} ± ${(2 * standardError).toExponential(1)}`, holds, ...(holds || finding === undefined ? {} : { finding }),
      };
    };
    const means = [...choices.values()].map((choice) => choice.meanBits);
    return {
      arms: [...arms, { name: `mean ${meanBits} bits, at random`, metrics: { 'predicted noise error, %': measured(random) } },
        { name: `${decoupled}, over seeds`, metrics: { 'predicted noise error, %': measured(spread.get(decoupled)!.map(percent)) } }],
      protocol: { ...protocol, judgedPoints: 256, seeds: seeds.length },
      checks: [
        better(kept, uniform, 'noise'),
        better(kept, all, 'noise'),
        better(decoupled, uniform, 'noise', uniformFinding),
        { name: 'one width against random widths at the same mean', expected: 'less error of the predicted noise than the mean of random choices', measured: `${percent(judged.get(uniform)!.relative).toFixed(3)} against ${measured(random).mean.toFixed(3)} %`, holds: percent(judged.get(uniform)!.relative) < measured(random).mean },
        { name: 'mean bits of the choices', expected: `at most ${meanBits}; budgets go 0.3 below it, the band of the paper 0.02 more`, measured: means.map((mean) => mean.toFixed(3)).join(', '), holds: means.every((mean) => mean <= meanBits + 1e-9 && mean >= meanBits - 0.32) },
      ],
      notApplicable: [
        { arm: 'the first text token in float', reason: 'the host has no cross-attention and no text; test/transform/first-token.test.ts shows the mechanism on a planted outlier' },
        { arm: 'memory and latency of integer kernels', reason: 'files compute rounded values in float; there is no integer kernel for these products on this engine' },
        { arm: 'Fréchet distance', reason: `${protocol.images} samples do not give a covariance` },
      ],
      notes: [
        `diffusion transformer of 3.28 M parameters on MNIST, sampled in ${protocol.steps} steps with guidance 2; content: feed-forward layers, quality: all others; every arm is the graph that its file holds, run by ONNX Runtime`,
        `single layers: similarity of ${protocol.generated} images from made noises, or SQNR of ${protocol.points} predicted noises; plans by the squared difference of the generated images`,
        ...[...choices].map(([name, { described, plans }]) => `${name}: ${described}; best of ${plans} plans`),
        `decoupled against SQNR alone, predicted noise: ${versus(judged, decoupled, noise)}; against similarity alone: ${versus(judged, decoupled, structure)} (reported, not asserted)`,
        `SQNR in decibels rises by about 6 with every bit of any layer, so that a sum of decibels hardly tells 2 and 8 bits from 4 and 4: alone it gives ${percent(judged.get(noise)!.relative).toFixed(2)} % of noise error, noise power in its place ${percent(judged.get(power)!.relative).toFixed(2)} %`,
        'the even split of the bits is among the plans: the grid of ratios that the code has leaves it out, and with it one width for all',
      ],
    };
  } finally {
    await host.close();
  }
}

const uniformFinding = 'at a mean of 4 bits quality layers, which may not go below 4, leave little to spend on 8; one program over all layers does better by either measure that adds up, because an insensitive quality layer at 2 bits pays for the two most sensitive ones at 8';

const versus = (judged: ReadonlyMap<string, Judged>, one: string, other: string): string => {
  const { mean, standardError } = pairedDifference(judged.get(other)!.noise, judged.get(one)!.noise);
  return `${mean.toExponential(2)} ± ${(2 * standardError).toExponential(1)}`;
};

/** Structural similarity of each sample to its float one, pixels from −1 to 1. */
function similarities(float: Float32Array, samples: Float32Array, images: number): Float64Array {
  const size = float.length / images;
  return Float64Array.from({ length: images }, (_, i) => structureMeasure(float.subarray(i * size, (i + 1) * size), samples.subarray(i * size, (i + 1) * size), 1, 2));
}

/** Predicted noise on points. */
async function onPoints(graph: Graph, points: Feeds, threads: number): Promise<Subject> {
  const session = await openGraph(graph, ortNode, { threads });
  return { results: (weights) => outputsOf(session, [points], weights), dispose: () => session.dispose() };
}

/** Images generated with fed weights, from noises that judge nothing. */
async function onGenerated(host: DitHost, graph: Graph, { generated, steps }: Protocol, seed: number): Promise<Subject> {
  const network = await host.predictor(graph);
  return { results: (weights) => host.sample(network.feeding(weights), { images: generated, steps, seed }), dispose: () => network.dispose() };
}

/** Widths of 2, 4 and 8 bits drawn layer by layer in random order, none beyond what leaves 2 bits for the rest. */
function randomWidths(sites: readonly Linear[], mean: number, seed: number): Map<string, number> {
  const size = ({ rows, cols }: Linear): number => rows * cols;
  const all = sites.reduce((sum, site) => sum + size(site), 0);
  let left = (mean - 2) * all;
  const widths = new Map<string, number>();
  const order = Array.from(permutation(seed, 99, sites.length), (i) => sites[i]);
  for (const site of order) {
    const affordable = [2, 4, 8].filter((bits) => (bits - 2) * size(site) <= left);
    const bits = affordable[randomInteger(seed, 98, widths.size, affordable.length)];
    left -= (bits - 2) * size(site);
    widths.set(site.id, bits);
  }
  // What is left raises layers from 2 to 4 bits.
  for (const site of order) if (widths.get(site.id) === 2 && 2 * size(site) <= left) { widths.set(site.id, 4); left -= 2 * size(site); }
  return widths;
}

export const mixdqReproduction: Reproduction = {
  recipe: 'mixdq',
  paper: { title: 'MixDQ: Memory-Efficient Few-Step Text-to-Image Diffusion Models with Metric-Decoupled Mixed Precision Quantization', arxiv: '2405.17873' },
  claim: 'One-step text-to-image models at W8A8 without loss and at W4A8 with negligible loss, where existing methods fall short; 3 to 4 times smaller and 1.45 times faster than FP16.',
  experiment: 'A class-conditional diffusion transformer on MNIST in 4 steps: fixed 8-bit inputs, and weights of 4 bits on the mean by two measures apart, by either alone, at random and uniform.',
  data: [ditFiles.model, ditFiles.classifier, ditFiles.noise],
  minutes: 5,
  run,
};
