/** MambaQuant: do eigenvectors before a Hadamard matrix give channels one variance, and does that help state-space models at low bits? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { momentKey, observeMoments } from '../observe/moments.ts';
import { mambaquant as recipe } from '../recipes/mambaquant.ts';
import type { Step } from '../recipes/recipe.ts';
import { checkEquivalent } from '../transform/check-equivalent.ts';
import { covariance, varianceRatio } from '../transform/klt.ts';
import { mambaBlocks } from '../transform/mamba-blocks.ts';
import { firstMamba, openMamba, type MambaHost } from './data/mamba.ts';
import { planted, plantScan } from './data/planted-scan.ts';
import { armsOf, lowerKl, runArms, type MambaArm, type MambaRun } from './mamba-arms.ts';
import { measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { valuesOf, written } from './written.ts';

const host = 'host-mamba2-shakespeare';
/** What was seen where an order does not hold (seed 0). */
const findings = {
  hadamard: 'weights of 4 bits make nearly all of the loss, and rotations of inputs leave it as it is',
  klt: 'eigenvectors make variances equal to a millionth, and the loss does not follow: at 8 and 6 bits the difference is noise, as it nearly is in the published logs',
  noise: 'inputs without outliers have nothing to spread: a Hadamard matrix leaves channels of the Mamba-1 as uneven as they were',
  whole: 'on the Mamba-1, early in its training, smoothing the readout costs more than turning it saves',
} as const;
/** Windows of text, which for the paper are 128, judged tokens, and seeds at most: each is 36 networks. */
const protocols = { reduced: { samples: (window: number) => 2048 / window, judged: 2048, seeds: 2 }, full: { samples: () => 128, judged: 24_576, seeds: Infinity } };
const settings: readonly (readonly [weights: number, activations: number])[] = [[8, 8], [4, 8], [6, 6]];
/** Where rotations show most. */
const shortSettings = settings.slice(-1);

/** Float rewrites of each arm. */
const rewrites: Readonly<Record<string, readonly Step[]>> = {
  'nearest': [],
  'SmoothQuant': [{ step: 'smooth', alpha: 0.5 }],
  'Hadamard': [{ step: 'rotate', where: 'residual' }, { step: 'rotate-readout' }],
  'KLT and Hadamard': [{ step: 'rotate-klt' }, { step: 'rotate-step' }, { step: 'rotate-readout' }],
  'with the scan turned': [{ step: 'rotate-klt' }, { step: 'rotate-step' }, { step: 'rotate-readout' }, { step: 'rotate-scan', smooth: false }],
  'MambaQuant': recipe.steps.filter(({ step }) => step !== 'round' && step !== 'ssm-scales'),
};

const armsAt = ([weights, activations]: readonly [number, number]): readonly MambaArm[] => Object.entries(rewrites).map(([name, steps]) => ({
  name: `W${weights}A${activations} ${name}`, weights: `int${weights}/channel`,
  steps: [...steps, { step: 'round', rounder: 'nearest' }, { step: 'ssm-scales', bits: activations, clip: 'percentile', channels: 'tensor', groups: 'tensor' }],
}));

async function run({ asset, seeds: asked, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? protocols.full : protocols.reduced;
  const seeds = asked.slice(0, protocol.seeds);
  const first = await openMamba('Mamba-1', firstMamba, 64);
  const second = page ? [] : [await openMamba('Mamba-2', asset(host), 256)];
  const twins = second.map((each): MambaHost => ({ ...each, name: 'Mamba-2, planted outliers', graph: plantScan(each.graph, 0) }));
  const arms: Arm[] = [];
  const checks: Check[] = [];
  for (const each of [first, ...second, ...twins]) {
    const setting: MambaRun = { host: each, calibration: (seed) => each.calibration(protocol.samples(each.window), seed), judged: each.judged(protocol.judged / each.window), threads, say };
    const own = twins.includes(each) ? seeds.slice(0, 1) : seeds;
    for (const pair of page ? shortSettings : settings) {
      const rungs = armsAt(pair);
      const lost = await runArms(setting, rungs, own);
      arms.push(...armsOf(each.name, lost));
      const [nearest, , hadamard, klt, , whole] = rungs.map(({ name }) => name);
      const order = [[hadamard, nearest, findings.hadamard], [klt, hadamard, findings.klt], [whole, klt, findings.whole]] as const;
      checks.push(...order.map(([better, worse, finding]) => lowerKl(`${each.name}`, lost, better, worse, finding)));
    }
    const mechanisms: Mechanism[] = [];
    for (const name of ['nearest', 'Hadamard', 'KLT and Hadamard']) mechanisms.push(await mechanism(setting, name, own[0]));
    arms.push(...mechanisms.map(({ name, metrics }): Arm => ({ name: `${each.name}: inputs, ${name}`, metrics })));
    checks.push(...mechanismChecks(each.name, mechanisms), ...await exactness(setting, own[0]));
  }
  return {
    arms, checks,
    protocol: { 'calibration windows of Mamba-1 and Mamba-2': [first, ...second].map(({ window }) => protocol.samples(window)).join(', '), 'judged tokens': protocol.judged, seeds: seeds.length },
    notApplicable: [
      ...(page ? [notInPage('the Mamba-2 and its twin with planted outliers', 'its weights do not come with it'), notInPage('W8A8 and W4A8', 'twelve more networks take minutes')] : []),
      { arm: 'rotation between x_proj and dt_proj (R5) on Mamba-2', reason: 'it projects its step sizes directly; the Mamba-1 arms have it' },
      { arm: 'SiLU with the factor inside (S-SiLU) on Mamba-2', reason: 'a norm stands between gate and output projection, and division before it would change its root mean square: factors are divided behind it; the Mamba-1 arms have it' },
      { arm: 'planted outliers in Mamba-1', reason: 'its B, C and step sizes are made of x, so a gain of x and its inverse at y change the function' },
      { arm: 'rotation of states along channels (R3) in Mamba-1', reason: 'channels decay at their own pace, so it would have to be done and undone for the state of every token' },
      { arm: 'Vim and Mamba-ND on images', reason: 'no trained vision model of this kind is among the hosts' },
    ],
    notes: [
      `Mamba-2: ${host}, windows of 256 tokens; Mamba-1: assets/mamba1-bytes, windows of 64 bytes; calibrated on training text, judged on held-out text; every arm is a written graph`,
      'weights of projections per channel to nearest; inputs, gate, convolution input, step sizes before their bias, x, B, C and states on grids per tensor, the outermost 0.001 % of calibration values clipped; convolutions, table and head float',
      `planted outliers: one channel of x in ${planted.oneIn} is ${planted.gain} times as large, y is divided again: the same float function`,
    ],
  };
}

interface Mechanism { readonly name: string; readonly metrics: Arm['metrics']; readonly last: { readonly calibration: number; readonly heldout: number }; readonly sqnr: number }

/** Variances of channels and noise of 8-bit rounding at what projections read. */
async function mechanism({ host: { graph }, calibration, judged, threads }: MambaRun, name: string, seed: number): Promise<Mechanism> {
  const points = calibration(seed);
  const turned = (await written(graph, rewrites[name], { formatOf: projection, points, seed, threads })).graph;
  const blocks = mambaBlocks(turned);
  const heldout = judged.map(({ feeds }) => feeds);
  const ratios = async (batches: readonly Feeds[], of: 'inProj' | 'outProj'): Promise<number[]> => {
    const sites = blocks.map((block) => block[of]);
    const moments = await observeMoments(turned, ortNode, batches, sites);
    return sites.map((site) => varianceRatio(covariance(moments.get(momentKey(site))!), site.cols));
  };
  const [seen, unseen, readout] = [await ratios([points], 'inProj'), await ratios(heldout, 'inProj'), await ratios([points], 'outProj')];
  const inputs = blocks.map(({ inProj }) => inProj.input);
  const [known, fresh] = [await valuesOf(turned, inputs, points, { threads }), await valuesOf(turned, inputs, heldout[0], { threads })];
  const noise = inputs.map((value) => {
    let amax = 0;
    for (const part of known.get(value)!) for (const x of part) amax = Math.max(amax, Math.abs(x));
    const scale = amax / 127;
    let [signal, error] = [0, 0];
    for (const part of fresh.get(value)!) for (const x of part) { signal += x * x; error += (Math.max(-127, Math.min(127, Math.round(x / scale))) * scale - x) ** 2; }
    return 10 * Math.log10(signal / error);
  });
  return {
    name, sqnr: measured(noise).mean, last: { calibration: seen.at(-1)!, heldout: unseen.at(-1)! },
    metrics: {
      'variances, last block': measured([seen.at(-1)!]), 'variances, last block, held out': measured([unseen.at(-1)!]), 'variances, all blocks': measured([measured(seen).mean]),
      'variances before output projections': measured([measured(readout).mean]), 'SQNR of inputs at 8 bits, dB': measured([measured(noise).mean]),
    },
  };
}

const projection = ({ id }: Linear) => (id.endsWith('_proj.weight') ? parseFormat('int8/channel') : undefined);

function mechanismChecks(host: string, [plain, hadamard, klt]: readonly Mechanism[]): Check[] {
  const off = Math.abs(klt.last.calibration - 1);
  const { heldout } = klt.last;
  const ordered = klt.sqnr >= hadamard.sqnr && hadamard.sqnr > plain.sqnr;
  return [
    { name: `${host}: variances of channels that the last block reads, calibration data`, expected: 'equal within 1e-4 after eigenvectors and a Hadamard matrix', measured: `off by ${off.toExponential(1)}; Hadamard alone ${hadamard.last.calibration.toFixed(2)} times, plain ${plain.last.calibration.toFixed(2)}`, holds: off < 1e-4 && hadamard.last.calibration > klt.last.calibration },
    { name: `${host}: the same, held-out data`, expected: 'largest over smallest from 1.05 to 1.5', measured: heldout.toFixed(3), holds: heldout >= 1.05 && heldout <= 1.5 },
    {
      name: `${host}: SQNR of inputs at 8 bits`, expected: 'eigenvectors and Hadamard at least as Hadamard, Hadamard above plain',
      measured: `${klt.sqnr.toFixed(2)}, ${hadamard.sqnr.toFixed(2)}, ${plain.sqnr.toFixed(2)} dB`, holds: ordered, ...(ordered ? {} : { finding: findings.noise }),
    },
    { name: `${host}: Hadamard alone`, expected: 'no more than 1 dB above eigenvectors and Hadamard', measured: `${(hadamard.sqnr - klt.sqnr).toFixed(2)} dB`, holds: hadamard.sqnr - klt.sqnr <= 1 },
  ];
}

/** Rewrites change no logit. */
async function exactness({ host: { graph, name }, calibration, judged, threads }: MambaRun, seed: number): Promise<Check[]> {
  const moved: string[] = [];
  let largest = 0;
  for (const [arm, steps] of Object.entries(rewrites)) {
    const after: Graph = (await written(graph, steps, { formatOf: projection, points: calibration(seed), seed, threads })).graph;
    const deviation = await checkEquivalent(graph, after, ortNode, judged[0].feeds, 1);
    largest = Math.max(largest, deviation);
    if (deviation >= 1e-4) moved.push(arm);
  }
  return [{ name: `${name}: rewrites in float`, expected: 'logits within 1e-4 of their size', measured: `${largest.toExponential(1)} at most${moved.length === 0 ? '' : `; too far: ${moved.join(', ')}`}`, holds: moved.length === 0 }];
}

export const mambaquant: Reproduction = {
  recipe: 'mambaquant',
  paper: recipe.paper!,
  claim: 'Vim-T on ImageNet (76.1 % in float): QuaRot 59.3 and 52.7 at W8A8 and W4A8, MambaQuant 75.6 and 72.1; language models lose less than a point at W8A8.',
  experiment: 'Small Mamba-2 and Mamba-1 language models, and the twin of the former with planted outliers, at W8A8, W4A8 and W6A6: smoothing, Hadamard rotations, KLT rotations, and those with the scan smoothed and turned; variances and noise of what projections read beside them.',
  data: [host],
  minutes: 4,
  run,
};
