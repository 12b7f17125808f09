/** Low-bit floating point for diffusion: formats searched per tensor, integers given the same search, rounding learned on both. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { floatSplits } from '../formats/float-splits.ts';
import { parseFormat } from '../formats/registry.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { mean } from '../numeric/statistics.ts';
import { sampleValues } from '../observe/value-samples.ts';
import type { Step } from '../recipes/recipe.ts';
import { sumOfSquares } from '../round/quantized-matrix.ts';
import { fixFloatInputs, searchFixedFloat, type FixedFloat } from '../train/float-activations.ts';
import { ditFiles, openDit, type DitHost } from './data/dit.ts';
import { judgeNetworks, lightTails, middleBlocks, percent } from './dit-arms.ts';
import { check, measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { relativeError, standard, valuesOf, written } from './written.ts';

const reduced = { points: 64, iterations: 300, batch: 8, blocks: 2, images: 20, steps: 20 } as const;
/** The paper tells no number of steps; as many as FP4DiT takes. */
const whole = { ...reduced, points: 256, iterations: 2500, batch: 16, blocks: 6, images: 100, steps: 50 } as const;
type Protocol = typeof reduced | typeof whole;

/** Of a sign, one bit of exponent and six of mantissa, all numbers lie 1 apart: symmetric INT8. */
const int8 = [parseFormat('e1m6/tensor') as ScaledFormat];
const inputs: Readonly<Record<string, readonly ScaledFormat[]>> = { 'INT8': int8, 'E4M3': [parseFormat('e4m3/tensor') as ScaledFormat], 'FP8': floatSplits(8, 'tensor') };

const nearest: Step = { step: 'round', rounder: 'scale-search' };
const splits: Step = { step: 'search-splits' };
const learnedArms = ['INT4', 'FP4'] as const;
const learn = ({ iterations, batch }: Protocol): Step => ({ step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, push: 1, search: 'mse', iterations, batch });

/** Weights of an arm: a format, and whether its split is searched; scales always are. */
const weightArms: Readonly<Record<string, { readonly format: string; readonly steps: readonly Step[] }>> = {
  'INT8': { format: 'int8/channel', steps: [nearest] },
  'E4M3': { format: 'e4m3/channel', steps: [nearest] },
  'FP8': { format: 'e4m3/channel', steps: [splits, nearest] },
  'INT4': { format: 'int4/channel', steps: [nearest] },
  'E2M1': { format: 'e2m1/channel', steps: [nearest] },
  'FP4': { format: 'e2m1/channel', steps: [splits, nearest] },
  'INT4 per tensor': { format: 'int4/tensor', steps: [nearest] },
  'FP4 per tensor': { format: 'e2m1/tensor', steps: [splits, nearest] },
};
type Rounded = Awaited<ReturnType<typeof written>>['applied']['weights'];

async function run({ asset, seeds, threads, full, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : reduced;
  const host = await openDit(asset, { threads });
  try {
    const points = await host.points(protocol.points, 1);
    const layers = linearSites(host.graph).filter(({ kind }) => kind === 'Gemm');
    const fixed = await searchedInputs(host.graph, layers, points);
    const plain = new Map<string, Rounded>();
    for (const [name, { format, steps }] of Object.entries(weightArms)) plain.set(name, await roundedBy(host, steps, format, () => true, points, 0, threads));
    const { learned, arms, checks } = await learnedBlocks(host, protocol, seeds, threads, plain, say);
    const network = (weights: Rounded, input: string) => (): Promise<Graph> => standard({ graph: fixFloatInputs(host.graph, fixed.get(input)!.types), weights, activations: new Map() });
    const judged = await judgeNetworks(host, {
      'INT8 / INT8': network(plain.get('INT8')!, 'INT8'),
      'E4M3 / E4M3': network(plain.get('E4M3')!, 'E4M3'),
      'FP8 / FP8': network(plain.get('FP8')!, 'FP8'),
      ...Object.fromEntries(['INT4', 'INT4 per tensor'].map((name) => [`${name} / INT8`, network(plain.get(name)!, 'INT8')])),
      ...Object.fromEntries(['E2M1', 'FP4', 'FP4 per tensor'].map((name) => [`${name} / FP8`, network(plain.get(name)!, 'FP8')])),
      'INT4 learned / INT8': network(new Map([...plain.get('INT4')!, ...learned.get('INT4')!]), 'INT8'),
      'FP4 learned / FP8': network(new Map([...plain.get('FP4')!, ...learned.get('FP4')!]), 'FP8'),
    }, { ...protocol, say });
    return {
      arms: [...judged.arms, ...arms], protocol: { ...protocol, judgedPoints: 256 },
      checks: [
        ...await searchChecks(layers, plain, fixed),
        ...['INT8 / INT8', 'FP8 / FP8'].map((name) => check(name, 'less than 1 % error of the predicted noise', `${percent(judged.relative.get(name)!).toFixed(4)} %`, judged.relative.get(name)! < 0.01)),
        ...checks,
        judged.better('FP4 learned / FP8', 'FP4 / FP8'), judged.better('INT4 learned / INT8', 'INT4 / INT8'), judged.better('FP4 learned / FP8', 'INT4 learned / INT8'),
      ],
      notApplicable: [{ arm: 'concatenated skip connections quantized in two parts', reason: 'the host is a transformer and has none' }],
      notes: [
        `diffusion transformer of 3.28 M parameters on MNIST; 256 points of float trajectories judge, ${protocol.points} others calibrate, spread evenly over the time steps`,
        'splits: 4 bits E1M2, E2M1, E3M0; 8 bits E2M5, E3M4, E4M3, E5M2 (the last two with the codes that OCP keeps for NaN and infinity); INT8 inputs are E1M6, which is the same grid; every scale is searched, of integers too',
        `weights per output channel, inputs per tensor and fixed; rounding learned ${protocol.iterations} steps of ${protocol.batch} points in ${protocol.blocks} of 6 blocks, the other layers to nearest`,
      ],
    };
  } finally {
    await host.close();
  }
}

async function roundedBy(host: DitHost, steps: readonly Step[], spelling: string, takes: (site: Linear) => boolean, points: Feeds, seed: number, threads: number): Promise<Rounded> {
  const format = parseFormat(spelling);
  const { applied } = await written(host.graph, steps, { formatOf: (site) => (site.kind === 'Gemm' && takes(site) ? format : undefined), points, seed, threads });
  return applied.weights;
}

interface SearchedInputs { readonly types: ReadonlyMap<string, FixedFloat>; readonly errors: ReadonlyMap<string, number> }

/** Fixed grids for the inputs of layers by kind of number, and their squared errors over the energy of the samples. */
async function searchedInputs(graph: Graph, layers: readonly Linear[], points: Feeds): Promise<Map<string, SearchedInputs>> {
  const samples = await sampleValues(graph, ortNode, [points], [...new Set(layers.map(({ input }) => input))]);
  return new Map(Object.entries(inputs).map(([name, candidates]) => {
    const found = [...samples].map(([value, numbers]) => [value, searchFixedFloat(numbers, candidates), sumOfSquares(numbers)] as const);
    return [name, { types: new Map(found.map(([value, type]) => [value, type])), errors: new Map(found.map(([value, { squaredError }, energy]) => [value, squaredError / energy])) }];
  }));
}

/** A searched split loses no more than a fixed one, tensor by tensor; and what the two kinds of number lose. */
async function searchChecks(layers: readonly Linear[], plain: ReadonlyMap<string, Rounded>, fixed: ReadonlyMap<string, SearchedInputs>): Promise<Check[]> {
  const weights = async (name: string): Promise<number[]> => Promise.all(layers.map(async ({ id }) => {
    const matrix = plain.get(name)!.get(id)!;
    await matrix.read(0, matrix.rows);
    const { squaredError, sumOfSquares: energy } = matrix.stats()!;
    return squaredError / energy;
  }));
  const never = (what: string, searched: readonly number[], one: readonly number[]): Check =>
    check(`${what}: splits searched against one for all`, 'no tensor loses more', `${percent(mean(searched)).toFixed(5)} against ${percent(mean(one)).toFixed(5)} % of the energy`, searched.every((error, i) => error <= one[i]));
  const [integer, float] = [await weights('INT4'), await weights('E2M1')];
  return [
    never('FP4 weights', await weights('FP4'), float), never('FP8 weights', await weights('FP8'), await weights('E4M3')),
    never('FP8 inputs', [...fixed.get('FP8')!.errors.values()], [...fixed.get('E4M3')!.errors.values()]),
    check('E2M1 weights against INT4', 'lose less, mean over layers, with scales searched for both', `${percent(mean(float)).toFixed(4)} against ${percent(mean(integer)).toFixed(4)} % of the energy`, mean(float) < mean(integer), lightTails),
  ];
}

/** Blocks whose rounding is learned with float inputs, everything else float: what the last of them gives on judged points. */
async function learnedBlocks(host: DitHost, protocol: Protocol, seeds: readonly number[], threads: number, plain: ReadonlyMap<string, Rounded>, say: (line: string) => void) {
  const { sites, output } = middleBlocks(host.graph, protocol.blocks);
  const float = (await valuesOf(host.graph, [output], host.judged, { threads })).get(output)!;
  const errorOf = async (weights: Rounded): Promise<number> => {
    const own = new Map([...weights].filter(([id]) => sites.has(id)));
    const graph = await standard({ graph: host.graph, weights: own, activations: new Map() });
    return relativeError(float, (await valuesOf(graph, [output], host.judged, { threads })).get(output)!);
  };
  const learned = new Map<string, Rounded>();
  const errors = new Map<string, number[]>();
  for (const name of learnedArms) {
    const { format, steps } = weightArms[name];
    errors.set(name, [await errorOf(plain.get(name)!)]);
    for (const seed of seeds) {
      const points = await host.points(protocol.points, 100 + seed);
      const made = await roundedBy(host, [...steps.filter((step) => step !== nearest), learn(protocol)], format, ({ id }) => sites.has(id), points, seed, threads);
      if (!learned.has(name)) learned.set(name, made);
      const error = await errorOf(made);
      errors.set(`${name} learned`, [...errors.get(`${name} learned`) ?? [], error]);
      say(`seed ${seed}, ${name} learned: block ${error.toExponential(3)}`);
    }
  }
  const of = (name: string): number => measured(errors.get(name)!).mean;
  const below = (a: string, b: string): Check => check(`${a} against ${b}, two blocks`, 'less error of their output', `${percent(of(a)).toFixed(4)} against ${percent(of(b)).toFixed(4)} %`, of(a) < of(b));
  return {
    learned,
    arms: [...errors].map(([name, found]): Arm => ({ name: `${name}, ${protocol.blocks} blocks alone`, metrics: { 'block output error, %': measured(found.map(percent)) } })),
    checks: [below('FP4 learned', 'FP4'), below('INT4 learned', 'INT4'), below('FP4 learned', 'INT4 learned')],
  };
}

export const lowbitFpDiffusion: Reproduction = {
  recipe: 'lowbit-fp-diffusion',
  paper: { title: 'Low-Bitwidth Floating Point Quantization for Efficient High-Quality Diffusion Models', arxiv: '2408.06995' },
  claim: 'Unconditional and text-to-image diffusion: FP8 weights and activations lose nothing that shows and less than INT8; FP4 weights with FP8 activations lose little where INT4 with INT8 fails.',
  experiment: 'A diffusion transformer on MNIST: integers and floating point at 8 and 4 bits with the same searches, rounding to nearest and learned.',
  data: [ditFiles.model, ditFiles.noise, ditFiles.classifier],
  minutes: 5,
  run,
};
