/** FP4DiT: floating-point weights of four bits whose rounding is learned in units of their own step, inputs measured per token. */
import { ortNode } from '../engine/ort-node.ts';
import { parseFormat } from '../formats/registry.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { normal } from '../numeric/random.ts';
import { observeRanges } from '../observe/ranges.ts';
import type { Step } from '../recipes/recipe.ts';
import { sumOfSquares } from '../round/quantized-matrix.ts';
import { fixFloatInputs } from '../train/float-activations.ts';
import { ditFiles, openDit, type DitHost } from './data/dit.ts';
import { judgeNetworks, lightTails, middleBlocks, percent } from './dit-arms.ts';
import { check, measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { relativeError, standard, valuesOf, written, type ArmOptions } from './written.ts';

const reduced = { points: 64, iterations: 300, few: 100, batch: 8, blocks: 2, images: 20, steps: 20 } as const;
const whole = { ...reduced, points: 256, iterations: 2500, few: 500, batch: 16, blocks: 6, images: 100, steps: 50 } as const;

const [float4, integer4] = ['e2m1/g128', 'int4/g128'];
const nearest: readonly Step[] = [{ step: 'round', rounder: 'nearest' }];

interface RoundingArm { readonly format: string; readonly steps: readonly Step[]; readonly seeds: 'all' | 'first' }
/** Ways to round the weights of the blocks in question; everything else stays float. */
function roundingArms({ iterations, few, batch }: typeof reduced | typeof whole): Readonly<Record<string, RoundingArm>> {
  const learn = (scaleAware: boolean, count: number): Step => ({ step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, push: 1, search: 'amax', iterations: count, batch, scaleAware });
  const opening: Step = { step: 'before-gelu', element: 'e3m0' };
  return {
    'INT4 nearest': { format: integer4, steps: nearest, seeds: 'first' },
    'E2M1 nearest': { format: float4, steps: nearest, seeds: 'first' },
    'E2M1 nearest, E3M0 before GELU': { format: float4, steps: [opening, ...nearest], seeds: 'first' },
    'INT4 AdaRound': { format: integer4, steps: [learn(false, iterations)], seeds: 'all' },
    'E2M1 AdaRound, plain': { format: float4, steps: [learn(false, iterations)], seeds: 'all' },
    'E2M1 AdaRound, scale-aware': { format: float4, steps: [learn(true, iterations)], seeds: 'all' },
    'E2M1 AdaRound, scale-aware, E3M0 before GELU': { format: float4, steps: [opening, learn(true, iterations)], seeds: 'first' },
    'E2M1 AdaRound, plain, a third of the steps': { format: float4, steps: [learn(false, few)], seeds: 'first' },
    'E2M1 AdaRound, scale-aware, a third of the steps': { format: float4, steps: [learn(true, few)], seeds: 'first' },
  };
}

/** Seen while looking for the reason. */
const equalSteps = 'both arms move as far on average here, 20 / iterations in units of the sigmoid; there the published step then gains nothing. The published code gives both one rate in units of the weight, where dividing by steps that are 0.02 on average here makes roundings move fifty times as far';

async function run({ asset, seeds, threads, full, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : reduced;
  const host = await openDit(asset, { threads });
  try {
    const rounding = await roundings(host, protocol, seeds, threads, say);
    const inputs = await inputArms(host, protocol, threads, say);
    const weights = await weightErrors(host.graph);
    const tails = tailErrors();
    return {
      arms: [...rounding.arms, ...inputs.arms, ...tails.map(({ name, integer, float, powers }): Arm => ({ name: `${name} weights`, metrics: { 'INT4, %': measured([percent(integer)]), 'E2M1, %': measured([percent(float)]), 'E3M0, %': measured([percent(powers)]) } }))], protocol: { ...protocol, judgedPoints: 256 },
      checks: [
        ...tails.map(({ name, integer, float }) => check(`${name} weights to nearest`, 'E2M1 loses less than INT4', `${float.toFixed(5)} against ${integer.toFixed(5)} of the energy`, float < integer)),
        check('weights of the host to nearest', 'E2M1 loses less than INT4, mean over layers', `${weights.float.toFixed(5)} against ${weights.integer.toFixed(5)} of the energy`, weights.float < weights.integer, lightTails),
        ...rounding.checks, ...inputs.checks,
      ],
      notApplicable: [{ arm: 'CLIP, ImageReward and HPSv2 scores', reason: 'the host draws digits and has no text' }],
      notes: [
        `diffusion transformer of 3.28 M parameters on MNIST; ${protocol.blocks} of 6 blocks are rounded in the arms of weights, 256 points of float trajectories judge`,
        `rounding learned ${protocol.iterations} steps of ${protocol.batch} points per block at ${(20 / protocol.iterations).toFixed(3)} per step instead of 2500 of 16 at 0.0001; scales from extremes, groups of 128 (the last 64 of rows of 192 by themselves)`,
        `inputs: all layers in E2M1 to nearest, ranges per tensor from ${protocol.points} points`,
      ],
    };
  } finally {
    await host.close();
  }
}

async function roundings(host: DitHost, protocol: typeof reduced | typeof whole, seeds: readonly number[], threads: number, say: (line: string) => void) {
  const { sites, output } = middleBlocks(host.graph, protocol.blocks);
  const names = ['block', 'noise'] as const;
  const errors = new Map<string, Record<typeof names[number], number[]>>();
  const float = (await valuesOf(host.graph, [output], host.judged, { threads })).get(output)!;
  for (const seed of seeds) {
    const points = await host.points(protocol.points, 100 + seed);
    for (const [name, { format: spelling, steps, seeds: asked }] of Object.entries(roundingArms(protocol))) {
      if (asked === 'first' && seed !== seeds[0]) continue;
      const format = parseFormat(spelling);
      const started = performance.now();
      const options: ArmOptions = { formatOf: ({ id }) => (sites.has(id) ? format : undefined), points, seed, threads };
      const { graph } = await written(host.graph, steps, options);
      const found = { block: relativeError(float, (await valuesOf(graph, [output], host.judged, { threads })).get(output)!), noise: (await host.noiseError(graph)).relative };
      const all = errors.get(name) ?? { block: [], noise: [] };
      errors.set(name, { block: [...all.block, found.block], noise: [...all.noise, found.noise] });
      say(`seed ${seed}, ${name}: block ${found.block.toExponential(3)}, noise ${found.noise.toExponential(3)}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
    }
  }
  const arms = [...errors].map(([name, { block, noise }]): Arm => ({ name, metrics: { 'block output error, %': measured(block.map(percent)), 'predicted noise error, %': measured(noise.map(percent)) } }));
  const below = (a: string, b: string, expected: string, finding?: string): Check => {
    const [x, y] = [measured(errors.get(a)!.block), measured(errors.get(b)!.block)];
    return check(`${a} against ${b}`, expected, `block output error ${percent(x.mean).toFixed(4)} against ${percent(y.mean).toFixed(4)} %`, x.mean < y.mean, finding);
  };
  return {
    arms,
    checks: [
      below('E2M1 AdaRound, scale-aware', 'E2M1 nearest', 'lower'),
      below('INT4 AdaRound', 'INT4 nearest', 'lower'),
      below('E2M1 AdaRound, scale-aware', 'INT4 AdaRound', 'lower', lightTails),
      below('E2M1 AdaRound, scale-aware', 'E2M1 AdaRound, plain', 'lower after as many steps', equalSteps),
      below('E2M1 AdaRound, scale-aware, a third of the steps', 'E2M1 AdaRound, plain, a third of the steps', 'lower after as many steps', equalSteps),
    ],
  };
}

/** Inputs of all layers, per tensor on ranges seen before and per token as they come; weights to nearest. */
async function inputArms(host: DitHost, { points: count, images, steps: time }: typeof reduced | typeof whole, threads: number, say: (line: string) => void) {
  const points = await host.points(count, 1);
  const layers = linearSites(host.graph).filter(({ kind }) => kind === 'Gemm');
  const isLayer = new Set(layers.map(({ id }) => id));
  const arm = async (weights: string, inputs?: string): Promise<Graph> => {
    const [format, input] = [parseFormat(weights), inputs === undefined ? undefined : parseFormat(inputs)];
    const of = ({ id }: Linear): boolean => isLayer.has(id);
    return (await written(host.graph, nearest, { formatOf: (site) => (of(site) ? format : undefined), activationOf: (site) => (of(site) ? input : undefined), points, seed: 0, threads })).graph;
  };
  const ranges = await observeRanges(host.graph, ortNode, [points], layers.map(({ input }) => input));
  const fixed = async (element: string): Promise<Graph> => {
    const type = (parseFormat(`${element}/tensor`) as ScaledFormat).symmetric!.grid.type!;
    const graph = fixFloatInputs(host.graph, new Map([...ranges].map(([value, { low, high }]) => [value, { type, scale: Math.max(-low, high) / type.max }])));
    const { applied } = await written(graph, nearest, { formatOf: ({ id }) => (isLayer.has(id) ? parseFormat(float4) : undefined), points, seed: 0, threads });
    return standard(applied);
  };
  const graphs: Readonly<Record<string, () => Promise<Graph>>> = {
    'W4 E2M1': () => arm(float4),
    'W4 INT4': () => arm(integer4),
    'W4A8 E2M1, E3M4 per token': () => arm(float4, 'e3m4/token'),
    'W4A8 E2M1, E3M4 per tensor, fixed': () => fixed('e3m4'),
    'W4A8 INT4, INT8 per token': () => arm(integer4, 'int8/token'),
    'W4A6 E2M1, E2M3 per token': () => arm(float4, 'e2m3/token'),
    'W4A6 E2M1, E2M3 per tensor, fixed': () => fixed('e2m3'),
    'W4A6 INT4, INT6 per token': () => arm(integer4, 'int6/token'),
  };
  const judged = await judgeNetworks(host, graphs, { images, steps: time, say });
  return {
    arms: judged.arms,
    checks: [
      judged.better('W4A6 E2M1, E2M3 per token', 'W4A6 E2M1, E2M3 per tensor, fixed'), judged.better('W4A8 E2M1, E3M4 per token', 'W4A8 E2M1, E3M4 per tensor, fixed'),
      judged.better('W4A6 E2M1, E2M3 per token', 'W4A6 INT4, INT6 per token', lightTails), judged.better('W4A8 E2M1, E3M4 per token', 'W4A8 INT4, INT8 per token', lightTails),
    ],
  };
}

/** Squared error over energy, mean over layers, of weights to nearest. */
async function weightErrors(graph: Graph): Promise<{ readonly float: number; readonly integer: number }> {
  const sums = { float: 0, integer: 0 };
  const layers = linearSites(graph).filter(({ kind }) => kind === 'Gemm');
  for (const site of layers) {
    const matrix = await site.weightMatrix();
    const energy = sumOfSquares(matrix);
    for (const [kind, spelling] of [['float', float4], ['integer', integer4]] as const) sums[kind] += parseFormat(spelling).encode(matrix, site.rows, site.cols).squaredError / energy / layers.length;
  }
  return sums;
}

/** Squared error over energy of drawn weights in groups of 128. */
function tailErrors(): { readonly name: string; readonly integer: number; readonly float: number; readonly powers: number }[] {
  const count = 1024 * 128;
  const square = (i: number, ...streams: readonly number[]): number => streams.reduce((sum, stream) => sum + normal(0, stream, i) ** 2, 0);
  const kinds: Readonly<Record<string, (i: number) => number>> = {
    'Gaussian': (i) => normal(0, 0, i),
    // Half the difference of two sums of two squares; a normal over the root of a third of three squares.
    'Laplace': (i) => (square(i, 1, 2) - square(i, 3, 4)) / 2,
    'Student-t with 3 degrees': (i) => normal(0, 5, i) / Math.sqrt(square(i, 6, 7, 8) / 3),
  };
  return Object.entries(kinds).map(([name, draw]) => {
    const values = Float32Array.from({ length: count }, (_, i) => draw(i));
    const of = (spelling: string): number => parseFormat(spelling).encode(values, count / 128, 128).squaredError / sumOfSquares(values);
    return { name, integer: of(integer4), float: of(float4), powers: of('e3m0/g128') };
  });
}

export const fp4dit: Reproduction = {
  recipe: 'fp4dit',
  paper: { title: 'FP4DiT: Towards Effective Floating Point Quantization for Diffusion Transformers', arxiv: '2503.15465' },
  claim: 'PixArt-alpha, PixArt-Sigma and Hunyuan at W4A6 and W4A8: higher CLIP, ImageReward and HPSv2 scores than integer post-training quantization, with an eighth of its rounding steps.',
  experiment: 'A diffusion transformer on MNIST: INT4 and E2M1 weights to nearest, learned plainly and in units of their own step; inputs per tensor and per token at 6 and 8 bits.',
  data: [ditFiles.model, ditFiles.noise, ditFiles.classifier],
  minutes: 5,
  run,
};
