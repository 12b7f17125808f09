/** ViDiT-Q: what scales per token, balanced channels, windows of time steps and mixed bits give a diffusion transformer. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import type { Graph } from '../graph/graph.ts';
import { permutation } from '../numeric/random.ts';
import { maximaDrift, observeChannelMaxima, outlierRatio, windowOf, type Windows } from '../observe/channel-maxima.ts';
import type { LayerGroup, Step } from '../recipes/recipe.ts';
import { weightMaxima } from '../recipes/steps/balance.ts';
import { isCalled } from '../recipes/steps/protect.ts';
import { viditQ, viditQMp } from '../recipes/vidit-q.ts';
import { simulateQuantized } from '../train/quantize-inputs.ts';
import { quantizeInputsByWindow } from '../train/window-inputs.ts';
import { balanceFactors, balanceInputs } from '../transform/balance.ts';
import { ditFiles, openDit, picked, type DitHost, type Network } from './data/dit.ts';
import { judgeNetworks, percent } from './dit-arms.ts';
import { measured, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { standard, written, type Written } from './written.ts';

const reduced = { points: 64, images: 20, steps: 20, random: 3 } as const;
const whole = { points: 256, images: 100, steps: 50, random: 10 } as const;

const [protect, balance] = viditQ.steps;
const round: Step = { step: 'round', rounder: 'nearest' };
const allocate = viditQMp.steps.find(({ step }) => step === 'allocate-decoupled') as Extract<Step, { step: 'allocate-decoupled' }>;
const oneGroup: readonly LayerGroup[] = [{ name: 'all', layers: [''], measure: 'noise', widths: allocate.groups[0].widths }];
const halves: Windows = { input: 't', ranges: [[0, 500], [501, 999]] };
const quarters: Windows = { input: 't', ranges: [[0, 249], [250, 499], [500, 749], [750, 999]] };
const mixedBits = 5;
/** Channels of every layer's input that the twin plants, and by how much it raises them. */
const planted = { channels: 4, gain: 30 } as const;

async function run({ asset, seeds, threads, full, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : reduced;
  const host = await openDit(asset, { threads });
  try {
    const points = await host.points(protocol.points, 100);
    const arm = (steps: readonly Step[], weights: string | ((site: Linear) => string), inputs = 'uint8/token', { graph = host.graph, on = points, seed = 0 } = {}): Promise<Written> =>
      written(graph, steps, {
        points: on, seed, threads, formatOf: (site) => parseFormat(typeof weights === 'string' ? weights : weights(site)),
        activationOf: () => (inputs === 'float' ? undefined : parseFormat(inputs)),
      });
    const graphOf = async (made: Promise<Written>): Promise<Graph> => (await made).graph;
    const mixed = (groups: readonly LayerGroup[]): Step[] => [protect, { ...allocate, groups, extraBits: 0 }, round];
    /** What all arms of a mean of five bits start from: balanced at the strength that is best at five. */
    const five = await arm(viditQ.steps, `uint${mixedBits}/channel`);
    const onFive = { graph: five.applied.graph };
    const four = await arm(viditQ.steps, 'uint4/channel');
    const stored = new Map<string, string>();
    const counted = async (name: string, made: Promise<Written>): Promise<Graph> => { stored.set(name, bitsOf([await made])); return (await made).graph; };
    const perWindow = async (name: string, windows: Windows, steps: readonly Step[], weights: string): Promise<Network> => {
      const parts: Written[] = [];
      for (const [w] of windows.ranges.entries()) parts.push(await arm(steps, weights, 'uint8/token', { on: within(points, windows, w) }));
      stored.set(name, bitsOf(parts));
      return (t) => parts[windowOf(t, windows)].graph;
    };
    const [fixed, tokens] = ['W8A8, inputs fixed per tensor', 'W8A8, inputs per token'];
    const [plain, half, swept, rotated] = ['W4A8', 'W4A8, alpha 0.5', 'W4A8, alpha swept', 'W4A8, alpha swept, then rotated'];
    const windowed = 'W4A8, alpha swept in two windows';
    const uniform = 'W5A8, alpha swept';
    const [decoupled, single, quartered] = ['measures by group', 'one measure', 'one measure, by four windows'].map((how) => `mean ${mixedBits} bits, ${how}`);
    const [early, late] = ['W8, inputs 8 bits up to t = 500, 6 above', 'W8, inputs 6 bits up to t = 500, 8 above'];
    const inWindows = async (formats: readonly string[]): Promise<Graph> => {
      const { applied: { graph, weights } } = await arm([protect, round], 'uint8/channel', 'float');
      const chosen = new Map(linearSites(graph).flatMap(({ id, output }) => (weights.has(id) ? [[output, formats.map((name) => parseFormat(name))] as const] : [])));
      return standard({ graph: quantizeInputsByWindow(graph, halves, chosen), weights, activations: new Map() });
    };
    const networks: Record<string, () => Promise<Network>> = {
      [fixed]: () => graphOf(arm([protect, round, { step: 'round-inputs', protect: 0 }], 'uint8/channel', 'float')),
      [tokens]: () => graphOf(arm([protect, round], 'uint8/channel')),
      [plain]: () => graphOf(arm([protect, round], 'uint4/channel')),
      [half]: async () => graphOf(arm([protect, round], 'uint4/channel', 'uint8/token', { graph: await balancedAt(host.graph, points, 0.5) })),
      [swept]: () => counted(swept, Promise.resolve(four)),
      [rotated]: () => graphOf(arm([protect, { step: 'rotate', where: 'online' }, round], 'uint4/channel', 'uint8/token', { graph: four.applied.graph })),
      [windowed]: () => perWindow(windowed, halves, viditQ.steps, 'uint4/channel'),
      [early]: () => inWindows(['uint8/token', 'uint6/token']),
      [late]: () => inWindows(['uint6/token', 'uint8/token']),
      'W6A6': () => graphOf(arm([protect, round], 'uint6/channel', 'uint6/token')),
      'W6A6, alpha swept': () => graphOf(arm(viditQ.steps, 'uint6/channel', 'uint6/token')),
      [uniform]: () => counted(uniform, Promise.resolve(five)),
      [decoupled]: () => counted(decoupled, arm(mixed(allocate.groups), `uint${mixedBits}/channel`, 'uint8/token', onFive)),
      [single]: () => counted(single, arm(mixed(oneGroup), `uint${mixedBits}/channel`, 'uint8/token', onFive)),
      [quartered]: () => perWindow(quartered, quarters, [protect, balance, ...mixed(oneGroup).slice(1)], `uint${mixedBits}/channel`),
    };
    const judged = await judgeNetworks(host, networks, { images: protocol.images, steps: protocol.steps, say });
    const relative = (name: string): number => judged.relative.get(name)!;

    const random: number[] = [];
    const candidates = linearSites(host.graph).filter((site) => !isCalled(site, (protect as Extract<Step, { step: 'protect' }>).layers));
    for (let seed = 0; seed < protocol.random; seed++) {
      const widths = randomWidths(candidates, mixedBits, seed);
      random.push((await host.noiseError((await arm([protect, round], (site) => `uint${widths.get(site.id) ?? 8}/channel`, 'uint8/token', onFive)).graph)).relative);
    }
    const spread = new Map<string, number[]>([[swept, [relative(swept)]], [decoupled, [relative(decoupled)]], [single, [relative(single)]]]);
    for (const seed of seeds.slice(1)) {
      const on = await host.points(protocol.points, 100 + seed);
      const again = async (name: string, steps: readonly Step[], weights: string, graph: Graph): Promise<void> => { spread.get(name)!.push((await host.noiseError((await arm(steps, weights, 'uint8/token', { graph, on, seed })).graph)).relative); };
      await again(swept, viditQ.steps, 'uint4/channel', host.graph);
      await again(decoupled, mixed(allocate.groups), `uint${mixedBits}/channel`, onFive.graph);
      await again(single, mixed(oneGroup), `uint${mixedBits}/channel`, onFive.graph);
      say(`seed ${seed}: calibrated again`);
    }
    const twin = await plantedTwin(host.graph, candidates);
    const onTwin = { float: (await host.noiseError(twin)).relative, plain: (await host.noiseError((await arm([protect, round], 'uint4/channel', 'uint8/token', { graph: twin })).graph)).relative, swept: (await host.noiseError((await arm(viditQ.steps, 'uint4/channel', 'uint8/token', { graph: twin })).graph)).relative };
    say('planted twin judged');
    const moved = (await host.noiseError(await balancedAt(host.graph, points, 0.5))).relative;
    const distance = await fileDistance(host, four);
    const channels = await channelFigures(host.graph, points, candidates);

    const check = (name: string, expected: string, value: string, holds: boolean, finding?: string): Check => ({ name, expected, measured: value, holds, ...(holds || finding === undefined ? {} : { finding }) });
    const small = (value: number): string => value.toExponential(2);
    return {
      arms: [
        ...judged.arms,
        { name: `mean ${mixedBits} bits, 4 and 8 at random`, metrics: { 'predicted noise error, %': measured(random.map(percent)) } },
        ...[...spread].map(([name, values]) => ({ name: `${name}, over calibration seeds`, metrics: { 'predicted noise error, %': measured(values.map(percent)) } })),
        { name: 'planted twin, W4A8', metrics: { 'predicted noise error, %': measured([percent(onTwin.plain)]) } },
        { name: 'planted twin, W4A8, alpha swept', metrics: { 'predicted noise error, %': measured([percent(onTwin.swept)]) } },
      ],
      protocol: { ...protocol, judgedPoints: 256, seeds: seeds.length },
      checks: [
        judged.better(tokens, fixed),
        check('float network with balanced channels', 'moves by at most 1e-5 of its output', small(Math.sqrt(moved)), Math.sqrt(moved) <= 1e-5),
        judged.better(swept, plain),
        check('the swept strength against 0.5', 'not worse', `${small(relative(swept))} against ${small(relative(half))}`, relative(swept) <= relative(half)),
        check('planted twin, swept against none', 'at most half of the error', `${small(onTwin.swept)} against ${small(onTwin.plain)}`, onTwin.swept <= onTwin.plain / 2),
        check('two windows against one', `within 10 % (maxima move by a factor of ${channels.drift.toFixed(2)} between the windows)`, `${small(relative(windowed))} against ${small(relative(swept))}`, Math.abs(relative(windowed) / relative(swept) - 1) <= 0.1),
        judged.better(decoupled, uniform),
        check('mixed bits against the same bits at random', 'less error than the mean of random choices', `${small(relative(decoupled))} against ${small(measured(random).mean)} ± ${small(measured(random).spread)}`, relative(decoupled) < measured(random).mean),
        check('the written file against its simulation', 'predicted noise within 1e-3 of the error they share', small(distance), distance <= 1e-3),
      ],
      notApplicable: [
        { arm: 'text alignment of cross-attention, flow and temporal consistency of temporal attention', reason: 'the host has neither: one image, one class; the modulation, which carries the class, is the group with a measure of its own' },
        { arm: 'speed of an integer product with scales per token', reason: 'the engine has no kernel for it: files compute the rounded values in float' },
        { arm: 'Fréchet distance', reason: `${protocol.images} samples do not give a covariance` },
      ],
      notes: [
        `diffusion transformer of 3.28 M parameters on MNIST; calibrated on ${protocol.points} points of float trajectories from made noises, judged on 256 from stored ones; every arm is the graph that its file holds, run by ONNX Runtime`,
        `largest channel over the median one: ${channels.ratio.toFixed(1)} at most, ${channels.middle.toFixed(1)} in the middle; drift between the windows ${channels.drift.toFixed(2)} on the mean, ${channels.most.toFixed(2)} at most`,
        `planted twin: ${planted.channels} channels of every input ${planted.gain} times as large, their weights as much smaller; the same float function (relative squared difference ${small(onTwin.float)})`,
        `two windows against one strength, predicted noise: ${judged.better(windowed, swept).measured} (reported, not asserted)`,
        `measures by group against one measure, predicted noise: ${judged.better(decoupled, single).measured} (reported, not asserted)`,
        ...[...stored].map(([name, bits]) => `${name}: ${bits}`),
        'the window of a network with windows is told by the time step; sensitivities of single layers are of one pass on points of the trajectory, not of whole generations',
      ],
    };
  } finally {
    await host.close();
  }
}

/** Points whose time step lies in a window. */
function within(points: Feeds, windows: Windows, window: number): Feeds {
  const times = Array.from(points[windows.input].data as BigInt64Array, Number);
  return picked(points, times.flatMap((t, i) => (windowOf(t, windows) === window ? [i] : [])));
}

/** All products balanced at one strength, whether it helps or not. */
async function balancedAt(graph: Graph, points: Feeds, alpha: number): Promise<Graph> {
  const sites = linearSites(graph).filter(({ kind }) => kind === 'Gemm');
  const [seen, weights] = [await observeChannelMaxima(graph, ortNode, [points], sites), await weightMaxima(sites)];
  return balanceInputs(graph, new Map([...seen].map(([value, [activation]]) => [value, balanceFactors(activation, weights.get(value)!, alpha)])));
}

/** A few channels of every input raised, their weights lowered: outliers where there were few. */
const plantedTwin = (graph: Graph, sites: readonly Linear[]): Promise<Graph> =>
  balanceInputs(graph, new Map(sites.map(({ input, cols }, i) => {
    const chosen = new Set(permutation(7, i, cols).slice(0, planted.channels));
    return [input, Float32Array.from({ length: cols }, (_, c) => (chosen.has(c) ? 1 / planted.gain : 1))];
  })));

/** Layers in random order at 8 bits as long as the mean allows it, 4 bits for the rest. */
function randomWidths(sites: readonly Linear[], mean: number, seed: number): Map<string, number> {
  const all = sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  let left = (mean - 4) * all;
  return new Map(Array.from(permutation(seed, 99, sites.length), (i) => {
    const { id, rows, cols } = sites[i];
    const cost = 4 * rows * cols;
    const raised = cost <= left;
    if (raised) left -= cost;
    return [id, raised ? 8 : 4];
  }));
}

/** Bits of the rounded weights: what one step computes with, and what all copies take in the file. */
function bitsOf(parts: readonly Written[]): string {
  const sizes = new Map<string, Map<string, number>>();
  let used = 0;
  let total = 0;
  for (const { applied: { weights } } of parts) for (const [id, { rows, cols, format }] of weights) {
    used += (rows * cols * format.bits) / parts.length;
    total += (rows * cols) / parts.length;
    // A copy is another one where the balance differs, which it does in every window.
    const copies = sizes.get(id) ?? new Map<string, number>();
    sizes.set(id, copies.set(`${copies.size}`, rows * cols * format.bitsPerWeight(rows, cols)));
  }
  const kept = [...sizes.values()].reduce((sum, copies) => sum + [...copies.values()].reduce((a, b) => a + b, 0), 0);
  return `${(used / total).toFixed(2)} bits per rounded weight at each step, ${(kept / total).toFixed(2)} stored with scales${parts.length === 1 ? '' : ` in ${parts.length} copies`}`;
}

/** Largest difference of the file's noise error from that of the simulation, relative. */
async function fileDistance(host: DitHost, { graph, applied }: Written): Promise<number> {
  const [file, simulated] = [await host.noiseError(graph), await host.noiseError(await simulateQuantized(applied.graph, applied.weights, applied.activations))];
  return Math.abs(file.relative / simulated.relative - 1);
}

async function channelFigures(graph: Graph, points: Feeds, sites: readonly Linear[]) {
  const all = await observeChannelMaxima(graph, ortNode, [points], sites);
  const parted = await observeChannelMaxima(graph, ortNode, [points], sites, { windows: halves });
  const ratios = [...all.values()].map(([row]) => outlierRatio(row)).sort((a, b) => a - b);
  const drifts = [...parted.values()].map(maximaDrift);
  return { ratio: ratios.at(-1)!, middle: ratios[ratios.length >> 1], drift: measured(drifts).mean, most: Math.max(...drifts) };
}

export const viditQReproduction: Reproduction = {
  recipe: 'vidit-q',
  paper: { title: 'ViDiT-Q: Efficient and Accurate Quantization of Diffusion Transformers for Image and Video Generation', arxiv: '2406.02540' },
  claim: 'W8A8 is lossless where plain rounding fails, and W4A8 with mixed precision has negligible visual loss where the baseline is unreadable, at 2.5 times less memory and 1.5 times less latency than FP16.',
  experiment: 'A class-conditional diffusion transformer on MNIST: scales per tensor and per token, balanced channels with swept strength and windows, mixed bits by group, at random and uniform; predicted noise, samples.',
  data: [ditFiles.model, ditFiles.classifier, ditFiles.noise],
  minutes: 5,
  run,
};
