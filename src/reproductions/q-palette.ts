/** Q-Palette: do trellis codes come near the Gaussian bound, and does a mixed scheme of fractional widths beat a uniform one? */
import { chooseFormats, pointOf, uniformChoice, type LayerOptions } from '../allocate/allocation.ts';
import { chooseOptions } from '../allocate/choose.ts';
import { fusedCandidates, separateCandidates, type Latency } from '../allocate/fusion.ts';
import { gaussianError } from '../allocate/gaussian-error.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { spearman } from '../numeric/statistics.ts';
import { randomInteger } from '../numeric/random.ts';
import { observeMoments, type Moments } from '../observe/moments.ts';
import { codeLoss, noiseSensitivities, type NoiseSensitivity } from '../observe/noise-sensitivity.ts';
import { weightTrials, type WeightTrials } from '../observe/weight-trials.ts';
import { palette, qPalette } from '../recipes/q-palette.ts';
import { openLlama, type JudgedWindow, type LlamaHost } from './data/llama.ts';
import { adder, judgeOf, plantedTwin, threeBitArms, threeBitChecks, twinArm, twinChecks, widthArm, type Judge, type LanguageArm } from './palette-codes.ts';
import { check, measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { distortionArm, distortionChecks, distortionsOf, kernelTime, searchChecks, searchTime } from './trellis-distortion.ts';

const protocol = (full: boolean, page: boolean) => ({
  'tiles at 12 state bits': full ? 2000 : 400, 'tiles at 16 state bits': full ? 256 : 104, 'values of scalar and vector codes': 2 ** 18,
  'held-out windows': full ? 96 : page ? 8 : 24, 'calibration windows': page ? 4 : 8, 'random assignments': full ? 40 : page ? 0 : 16,
});
const budgets = [2.5, 3.25] as const;
/** Widths that random assignments draw from. */
const drawn = [2, 2.5, 3, 3.5, 4].map((bits) => `tcq${bits}+had`);
const integerOnly = [2, 3, 4, 5].map((bits) => `tcq${bits}+had`);

async function run({ seeds: [seed], threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const sizes = protocol(full, page);
  const distortions = distortionsOf({ short: sizes['tiles at 12 state bits'], long: sizes['tiles at 16 state bits'], values: sizes['values of scalar and vector codes'] }, seed, say);
  const search = searchTime(3, 12, 8, 5);
  const tiles = { short: full ? 65_536 : 2048, long: page ? 64 : 256 };
  const times = { short: kernelTime(3, 12, tiles.short), long: kernelTime(3, 16, tiles.long) };
  say(`search of a tile at 12 state bits: ${search.kernel.toFixed(2)} ms, plain twin ${search.twin.toFixed(1)} ms; at 16: ${times.long.mean.toFixed(1)} ms`);

  const host = await openLlama();
  try {
    const language = await (page ? threeBitsAlone : onLanguage)(host, sizes, seed, threads, say);
    return {
      arms: [...distortions.map(distortionArm), ...language.arms],
      checks: [...distortionChecks(distortions), ...searchChecks(search), ...language.checks],
      protocol: sizes,
      notes: [
        'normal values: Σ error² / Σ value² over tiles of 16 by 16 in rows of 1024, one scale per row; ± is the standard error over tiles',
        `a 4096 by 4096 matrix at 3 bits, one thread: ${((times.short.mean * 65_536) / 1000).toFixed(0)} s at 12 state bits${full ? '' : ' from 2048 tiles'}, ${((times.long.mean * 65_536) / 60_000).toFixed(1)} min at 16 from ${tiles.long} tiles; at the pace of the fastest 16 tiles, which other work disturbs least, ${((times.short.fastest * 65_536) / 1000).toFixed(0)} s and ${((times.long.fastest * 65_536) / 60_000).toFixed(1)} min`,
        `the kernel takes ${search.kernel.toFixed(2)} ms a tile, its twin ${search.twin.toFixed(1)} ms`,
        'host-llama-shakespeare, the matrices of its layers; tables and norms stay float; KL to the float model of the written ONNX file, nats per token, spread over windows; bits per weight with scales',
        ...language.notes,
      ],
      notApplicable: [
        { arm: 'tokens per second under a latency budget', reason: 'ONNX Runtime unpacks trellis codes to floats when it loads a file, so that all widths run at the speed of float; the engine of fewbit run multiplies from codes, more slowly than it does from four-bit integers' },
        ...(page ? [notInPage('mixed widths, losses predicted for random ones, and the twin with planted outliers', 'sensitivities of 42 layers and the searches of all widths take minutes')] : []),
      ],
    };
  } finally {
    await host.close();
  }
}

type Sizes = ReturnType<typeof protocol>;
interface Part { readonly arms: readonly Arm[]; readonly checks: readonly Check[]; readonly notes: readonly string[] }

async function onLanguage(host: LlamaHost, sizes: Sizes, seed: number, threads: number, say: (line: string) => void): Promise<Part> {
  const study = await studyOf(host.graph, host.calibration(sizes['calibration windows'], seed), host.judged(sizes['held-out windows']), seed, threads, say);
  try {
    const arms = [...await threeBitArms(study, study.moments, say), ...await mixedArms(study, say)];
    const predictions = await randomAssignments(study, sizes['random assignments'], seed);
    const twin = await plantedTwin(host.graph, host.judged(sizes['held-out windows']), seed, threads, say);
    const fusion = await latencyProgram(study);
    return {
      arms: [...arms.map(widthArm), ...twin.map(twinArm)],
      checks: [...threeBitChecks(arms), ...twinChecks(twin), ...mixedChecks(arms, predictions), ...fusion.checks],
      notes: [
        `sensitivities and second moments from ${sizes['calibration windows']} windows of training text, seed ${seed}; sensitivity of a layer: mean of KL / t² at noise of relative norm t = 0.05 and 0.1, and KL / t² of shrinking it by t = 0.1, which the paper has not`,
        fusion.note, fileNote(study),
      ],
    };
  } finally {
    await study.trials.dispose();
  }
}

/** What needs no sensitivities. */
async function threeBitsAlone(host: LlamaHost, sizes: Sizes, seed: number, threads: number, say: (line: string) => void): Promise<Part> {
  const judge = await judgeOf(host.graph, host.judged(sizes['held-out windows']), threads);
  const moments = await observeMoments(host.graph, ortNode, host.calibration(sizes['calibration windows'], seed), judge.sites);
  const arms = await threeBitArms(judge, moments, say);
  return { arms: arms.map(widthArm), checks: threeBitChecks(arms), notes: [`second moments from ${sizes['calibration windows']} windows of training text, seed ${seed}`] };
}

/** With what is known of its layers. */
interface Study extends Judge {
  readonly sensitivities: readonly NoiseSensitivity[];
  readonly trials: WeightTrials;
  readonly moments: ReadonlyMap<string, Moments>;
}

async function studyOf(graph: Graph, calibration: readonly Feeds[], judged: readonly JudgedWindow[], seed: number, threads: number, say: (line: string) => void): Promise<Study> {
  const judge = await judgeOf(graph, judged, threads);
  const { sites } = judge;
  const trials = await weightTrials(graph, ortNode, calibration, sites, 'kl', threads);
  const sensitivities = await noiseSensitivities(trials, sites, { seed });
  const slopes = sensitivities.map(({ slope }) => slope);
  say(`sensitivities of ${sites.length} layers: ${Math.min(...slopes).toFixed(5)} to ${Math.max(...slopes).toFixed(5)}`);
  return { ...judge, sensitivities, trials, moments: await observeMoments(graph, ortNode, calibration, sites) };
}

/** `paper`: sensitivity to noise times the error, without what shrinking costs. */
const layersOf = ({ sites, sensitivities }: Pick<Study, 'sites' | 'sensitivities'>, formats: readonly string[], paper = false): LayerOptions[] => sites.map((site, i) => ({
  id: site.id, weights: site.rows * site.cols,
  options: formats.map((name) => {
    const format = parseFormat(name);
    return { format: name, bits: format.bitsPerWeight(site.rows, site.cols) * site.rows * site.cols, loss: paper ? sensitivities[i].slope * gaussianError(format) : codeLoss(sensitivities[i], gaussianError(format)) };
  }),
}));

async function mixedArms(study: Study, say: (line: string) => void): Promise<LanguageArm[]> {
  const arms: LanguageArm[] = [];
  const add = adder(study, arms, say);
  for (const bits of budgets) {
    const layers = layersOf(study, palette);
    const uniform = `tcq${bits}+had`;
    const size = { weights: layers.reduce((sum, { weights }) => sum + weights, 0), rest: 0 };
    const budget = { ...size, bitsPerWeight: pointOf(layers, uniformChoice(layers, uniform)!, size).bitsPerWeight };
    const choice = await chooseFormats(layers, budget);
    await add(`${bits} bits uniform`, () => uniform);
    await add(`${bits} bits mixed`, (_, i) => layers[i].options[choice[i]].format);
    const linear = await chooseFormats(layersOf(study, palette, true), budget);
    await add(`${bits} bits mixed by noise alone`, (_, i) => layers[i].options[linear[i]].format);
    const coarse = layersOf(study, integerOnly);
    const whole = await chooseFormats(coarse, budget);
    await add(`${bits} bits mixed, whole widths only`, (_, i) => coarse[i].options[whole[i]].format);
  }
  return arms;
}

interface Prediction { readonly predicted: number; readonly linear: number; readonly found: number }

/** Random widths for each layer: what the sum of sensitivities times errors says, and what the network says. */
async function randomAssignments(study: Study, count: number, seed: number): Promise<Prediction[]> {
  const found: Prediction[] = [];
  const [layers, linear] = [layersOf(study, drawn), layersOf(study, drawn, true)];
  for (let n = 0; n < count; n++) {
    // Every assignment leans to few or many bits, so that losses spread over a range.
    const lean = randomInteger(seed, 1, n, drawn.length);
    const choice = layers.map((_, i) => (randomInteger(seed, 2 + n, i, 2) === 0 ? lean : randomInteger(seed, 1000 + n, i, drawn.length)));
    const replaced = new Map<string, Float32Array>();
    for (const [i, site] of study.sites.entries()) replaced.set(site.id, parseFormat(drawn[choice[i]]).decode(await study.codes(site, drawn[choice[i]])));
    const summed = (options: readonly LayerOptions[]): number => pointOf(options, choice, { weights: 1, rest: 0 }).loss;
    found.push({ predicted: summed(layers), linear: summed(linear), found: await study.trials.measure(replaced) });
  }
  return found;
}

/** The program over fused groups with the times of our own reader of packed codes, against the same program without fusion. */
async function latencyProgram(study: Study): Promise<{ readonly checks: Check[]; readonly note: string }> {
  const formats = drawn;
  const [probe] = study.sites;
  const perWeight = new Map<string, number>();
  for (const name of formats) {
    const codes = await study.codes(probe, name);
    const format = parseFormat(name);
    format.decode(codes);
    const begin = performance.now();
    for (let n = 0; n < 3; n++) format.decode(codes);
    perWeight.set(name, (performance.now() - begin) / 3000 / (probe.rows * probe.cols));
  }
  const layers = layersOf(study, formats);
  const byInput = new Map<string, number[]>();
  study.sites.forEach((site, i) => byInput.set(site.sharedInputGroup, [...byInput.get(site.sharedInputGroup) ?? [], i]));
  const fastest = Math.min(...perWeight.values());
  const weights = layers.reduce((sum, one) => sum + one.weights, 0);
  // A start costs what half a mean layer does.
  const latency: Latency = { perWeight, start: (fastest * weights) / layers.length / 2 };
  const members = [...byInput.values()].map((indices) => indices.map((i) => ({ weights: layers[i].weights, candidates: layers[i].options })));
  const [groups, alone] = [members.map((group) => fusedCandidates(group, latency)), members.map((group) => separateCandidates(group, latency))];
  const seconds = (weights * fastest + layers.length * latency.start) * 1.1;
  const [fused, single] = [await chooseOptions(groups, [Infinity, seconds]), await chooseOptions(alone, [Infinity, seconds])];
  const merged = fused.choice.reduce((count, option, group) => count + groups[group][option].parts.filter((part) => part.length > 1).length, 0);
  return {
    checks: [check('fused groups under a budget of time', 'a summed loss no larger than without fusion', `${fused.loss.toFixed(4)} against ${single.loss.toFixed(4)}, ${merged} fused parts`, fused.loss <= single.loss * (1 + 1e-9))],
    note: `seconds of the latency program are those of our plain reader of packed codes, ${[...perWeight].map(([name, time]) => `${name} ${(time * 1e9).toFixed(0)}`).join(', ')} ns a weight; a start is taken as half a mean layer`,
  };
}

function fileNote({ sites }: Study): string {
  const weights = sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  const codes = sites.reduce((sum, { rows, cols }) => sum + parseFormat('tcq3.25+had').bitsPerWeight(rows, cols) * rows * cols, 0);
  return `${weights} weights in tcq3.25+had take ${(codes / 8 / 1024).toFixed(0)} KiB in the ONNX file, and small tables once; the runtime unpacks them to ${(weights * 4 / 1024).toFixed(0)} KiB of float when it loads the file`;
}

function mixedChecks(arms: readonly LanguageArm[], predictions: readonly Prediction[]): Check[] {
  const of = (name: string): LanguageArm => arms.find((arm) => arm.name === name)!;
  const rank = (of: (one: Prediction) => number): number => spearman(predictions.map(of), predictions.map(({ found }) => found));
  const ratio = (of: (one: Prediction) => number): string => measured(predictions.map((one) => one.found / of(one))).mean.toFixed(2);
  return [
    ...budgets.map((bits) => {
      const [mixed, uniform] = [of(`${bits} bits mixed`), of(`${bits} bits uniform`)];
      return check(`${bits} bits: mixed never worse than uniform`, 'mean KL no larger, bits no more', `${measured(mixed.kl).mean.toFixed(5)} at ${mixed.bits.toFixed(3)} against ${measured(uniform.kl).mean.toFixed(5)} at ${uniform.bits.toFixed(3)}`, measured(mixed.kl).mean <= measured(uniform.kl).mean && mixed.bits <= uniform.bits * (1 + 1e-9));
    }),
    check('3.25 bits: fractional widths before whole ones', 'mean KL no larger', `${measured(of('3.25 bits mixed').kl).mean.toFixed(5)} against ${measured(of('3.25 bits mixed, whole widths only').kl).mean.toFixed(5)}`, measured(of('3.25 bits mixed').kl).mean <= measured(of('3.25 bits mixed, whole widths only').kl).mean),
    check('predicted and measured loss of random assignments, noise alone', 'rank correlation above 0.8', `${rank(({ linear }) => linear).toFixed(3)}, measured ${ratio(({ linear }) => linear)} times the predicted`, rank(({ linear }) => linear) > 0.8),
    check('predicted and measured loss of random assignments, noise and shrinking', 'rank correlation above 0.8', `${rank(({ predicted }) => predicted).toFixed(3)}, measured ${ratio(({ predicted }) => predicted)} times the predicted`, rank(({ predicted }) => predicted) > 0.8),
  ];
}

export const qPaletteReproduction: Reproduction = {
  recipe: qPalette.name,
  paper: qPalette.paper!,
  claim: 'Llama-3.1-8B at 3.25 bits per weight: perplexity 6.10 on WikiText2; trellis codes near the Gaussian bound at every quarter of a bit; quantizers and fusion of layers chosen together under a budget of memory or time.',
  experiment: 'Distortion of all codes on normal values; a small Llama at 3 bits by nearest, scalar, vector and trellis codes with and without rotation and error feedback; mixed against uniform widths at 2.5 and 3.25 bits; loss predicted from sensitivities against loss measured.',
  data: [],
  minutes: 6,
  run,
};
