/** COMET: do 4-bit inputs come near 8-bit ones when sorting puts the largest channels into few 8-bit blocks, with a 4-bit cache, and is the mixed product faster? */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { median } from '../numeric/statistics.ts';
import { observeInputRows } from '../observe/input-rows.ts';
import { applyRecipe, type Applied } from '../recipes/apply.ts';
import type { Step } from '../recipes/recipe.ts';
import { checkEquivalent } from '../transform/check-equivalent.ts';
import { openProducts, type Products } from '../transform/layer-error.ts';
import { outlierRatio } from '../transform/outlier-blocks.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import { LlamaDecoder } from '../runtime/llama-decoder.ts';
import { distances, logitsOf, openLlama, window, type LlamaHost } from './data/llama.ts';
import { plantKeyOutliers, withLowBitCache } from './low-bit-cache.ts';
import { processorTime, ratios } from './in-turns.ts';
import { farthestFromKernel } from './mixed-agreement.ts';
import { alternate, openContenders, speedNames } from './mixed-speed.ts';
import { check, measured, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { apartSpan, balancedSpan, leastSpan } from './tile-schedule.ts';
import { bitsOfArm, hostNotes, isLlamaLayer, LanguageArms, layerEnergies, layerErrors, plantOutliers, planted, weightCounts } from './w4a4-arms.ts';
import { standard } from './written.ts';

const reduced = { windows: 32, calibration: 16, speedRuns: 11 } as const;
const whole = { windows: 193, calibration: 128, speedRuns: 41 } as const;
const short = { windows: 8, calibration: 16, speedRuns: 5 } as const;

const nearest: Step = { step: 'round', rounder: 'nearest' };
const mix = (wide: 'rule' | number, sort = true): Step => ({ step: 'mix-blocks', wide, most: 0.15, sort });

interface Case { readonly steps: readonly Step[]; readonly weights?: string; readonly inputs?: string; readonly cache?: 'channel' | 'token' }

/** Blocks of 32 channels, as the model is a sixteenth as wide as the paper's smallest; the paper's own size is beside them. */
const cases = {
  'W4A16': { steps: [nearest] },
  'W4A8 by token': { steps: [nearest], inputs: 'int8/token' },
  'W4A8': { steps: [nearest], inputs: 'int8/g32' },
  'W4A4 by token': { steps: [nearest], inputs: 'int4/token' },
  'W4A4': { steps: [nearest], inputs: 'int4/g32' },
  'own order, by rule': { steps: [mix('rule', false), nearest], inputs: 'int4/g32' },
  'own order, an eighth': { steps: [mix(1 / 8, false), nearest], inputs: 'int4/g32' },
  'COMET, by rule': { steps: [mix('rule'), nearest], inputs: 'int4/g32' },
  'COMET, an eighth': { steps: [mix(1 / 8), nearest], inputs: 'int4/g32' },
  'all blocks at 8 bits': { steps: [mix(1, false), nearest], inputs: 'int4/g32' },
  'no block at 8 bits': { steps: [mix(0, false), nearest], inputs: 'int4/g32' },
  'sorted, W4A8': { steps: [mix(1), nearest], inputs: 'int4/g32' },
  'sorted, W4A4': { steps: [mix(0), nearest], inputs: 'int4/g32' },
  'W4A8, blocks of 128': { steps: [nearest], weights: 'int4/g128', inputs: 'int8/g128' },
  'W4A4, blocks of 128': { steps: [nearest], weights: 'int4/g128', inputs: 'int4/g128' },
  'COMET, by rule, blocks of 128': { steps: [mix('rule'), nearest], weights: 'int4/g128', inputs: 'int4/g128' },
  'KV4 alone, keys by channel': { steps: [], cache: 'channel' },
  'KV4 alone, keys by token': { steps: [], cache: 'token' },
  'COMET, by rule, KV4': { steps: [mix('rule'), nearest], inputs: 'int4/g32', cache: 'channel' },
  'COMET, an eighth, KV4': { steps: [mix(1 / 8), nearest], inputs: 'int4/g32', cache: 'channel' },
} satisfies Readonly<Record<string, Case>>;
type CaseName = keyof typeof cases;

async function make({ steps, weights = 'int4/g32', inputs }: Case, graph: Graph, points: Feeds): Promise<Applied> {
  const [format, input] = [parseFormat(weights), inputs === undefined ? undefined : parseFormat(inputs)];
  return applyRecipe({ name: 'arm', summary: '', needs: [], steps, formats: [], exports: [] }, graph, {
    engine: ortNode, batches: () => [points], formatOf: ({ id }) => (isLlamaLayer(id) ? format : undefined), activationOf: ({ id }) => (isLlamaLayer(id) ? input : undefined),
  });
}

/** Share of products that see 4 bits. */
function narrowShare({ graph, activations }: Applied): number {
  let [narrow, all] = [0, 0];
  for (const site of linearSites(graph)) {
    const format = activations.get(site.output);
    if (format === undefined) continue;
    const scales = parseFormat('int4/g128').bitsPerWeight(1, 128) - 4;
    const bits = format.bitsPerWeight(1, site.cols) - (Number.isFinite(format.group) ? (scales * 128) / format.group : 32 / site.cols);
    all += site.rows * site.cols;
    narrow += site.rows * site.cols * ((8 - bits) / 4);
  }
  return all === 0 ? 0 : narrow / all;
}

interface Shape { readonly ratio: readonly number[]; readonly kurtosis: readonly number[] }

/** Of each input: the largest channel maximum over their median, and the kurtosis of its values. */
async function shapesOf(graph: Graph, points: Feeds): Promise<Shape> {
  const seen = await observeInputRows(graph, ortNode, [points], linearSites(graph).filter(({ id }) => isLlamaLayer(id)));
  const [ratio, kurtosis]: number[][] = [[], []];
  for (const { values, maxAbsolute } of seen.values()) {
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const moment = (power: number): number => values.reduce((sum, x) => sum + (x - mean) ** power, 0) / values.length;
    ratio.push(Math.max(...maxAbsolute) / median(maxAbsolute));
    kurtosis.push(moment(4) / moment(2) ** 2);
  }
  return { ratio, kurtosis };
}

const range = (values: readonly number[]): string => `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}, median ${median(values).toFixed(1)}`;

/** Mean KL of the simulated cache to the float one, and of the runtime's own cache to the simulated one, on a few windows. */
async function cacheAgreement(host: LlamaHost, threads: number): Promise<{ readonly effect: number; readonly apart: number }> {
  const judged = host.judged(4);
  const simulated = await logitsOf(withLowBitCache(host.graph, { bits: 4, keys: 'channel', length: window, queries: 4 }), judged, threads);
  const { config, tensors } = host.model;
  const decoder = await LlamaDecoder.open(config as LlamaConfig, tensors, { cache: 'int4', context: window });
  const own = judged.map(({ feeds }) => {
    decoder.rewind(0);
    return decoder.feed(Array.from(feeds.input_ids.data as BigInt64Array, Number), { all: true }).slice();
  });
  const mean = (from: readonly Float32Array[], to: readonly Float32Array[]): number => measured(distances(from, to, judged).kl).mean;
  return { effect: mean(await logitsOf(host.graph, judged, threads), simulated), apart: mean(simulated, own) };
}

interface Judged { readonly arms: LanguageArms; readonly shares: ReadonlyMap<string, number>; readonly notes: readonly string[]; readonly moved: number; readonly farthest: number }

async function judge(prefix: string, names: readonly CaseName[], graph: Graph, arms: LanguageArms, products: Products, points: Feeds, heldout: Feeds, say: (line: string) => void): Promise<Judged> {
  const energies = await layerEnergies(products, graph, heldout, isLlamaLayer);
  const counts = weightCounts(graph);
  const shares = new Map<string, number>();
  let [moved, farthest] = [0, 0];
  for (const name of names) {
    const { cache, ...own } = cases[name] as Case;
    const made = await make(own, graph, points);
    const file = await standard(made);
    const seen = cache === undefined ? file : withLowBitCache(file, { bits: 4, keys: cache, length: window, queries: 4 });
    const layers = cache !== undefined || made.weights.size === 0 ? undefined : await layerErrors(products, made.graph, made, energies, heldout);
    await arms.add(`${prefix}${name}`, seen, made.weights.size === 0 ? 32 : bitsOfArm(made, counts), layers);
    shares.set(name, narrowShare(made));
    if (name === 'COMET, an eighth') moved = await checkEquivalent(graph, made.graph, ortNode, heldout);
    if (name.endsWith('rule, blocks of 128')) farthest = await farthestFromKernel(made, heldout);
    say(`${prefix}${name}: KL ${measured(arms.kl.get(`${prefix}${name}`)!).mean.toFixed(5)}${layers === undefined ? '' : `, layers ${(100 * measured([...layers.values()]).mean).toFixed(2)} %`}, ${(100 * shares.get(name)!).toFixed(1)} % of the products at 4 bits`);
  }
  const { ratio, kurtosis } = await shapesOf(graph, heldout);
  return { arms, shares, moved, farthest, notes: [`${prefix}largest channel over the median ${range(ratio)}; kurtosis of inputs ${range(kurtosis)}; ${ratio.filter((r) => r > outlierRatio).length} of ${ratio.length} inputs have a channel above six times the median`] };
}

async function run({ threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : page ? short : reduced;
  const products = await openProducts(ortNode);
  const host = await openLlama();
  try {
    const points = host.calibration(protocol.calibration, 100, protocol.calibration)[0];
    const heldout = host.calibration(4, 200, 4)[0];
    const arms = await LanguageArms.open(host.graph, host.judged(protocol.windows), threads);
    const all = Object.keys(cases) as CaseName[];
    const own = await judge('language: ', all, host.graph, arms, products, points, heldout, say);
    const twinGraph = await plantKeyOutliers(await plantOutliers(host.graph, isLlamaLayer), 32, planted.gain);
    const twin = await judge('planted twin: ', all.filter((name) => !/^(all|no) block/.test(name)), twinGraph, arms, products, points, heldout, say);
    const cache = await cacheAgreement(host, threads);
    const speed = await speedOf(protocol.speedRuns, say);
    const shareOf = (name: string): number | undefined => (name.startsWith('planted twin: ') ? twin : own).shares.get(name.replace(/^[^:]*: /, ''));
    return {
      arms: [
        ...arms.arms.map(({ name, metrics }): Arm => {
          const share = shareOf(name)!;
          return { name, metrics: { ...metrics, ...(share > 0 ? { 'products at 4 bits, %': measured([100 * share]), 'bits an input value': measured([8 - 4 * share]) } : {}) } };
        }),
        ...speed.arms,
      ],
      protocol: { ...protocol, block: 32, 'cache block, tokens': 32 },
      checks: [
        ...accuracyChecks(arms, own, twin),
        check('the cache of the runtime at 4 bits against the simulated one', 'a tenth of the KL of either to float at the most', `${cache.apart.toExponential(1)} against ${cache.effect.toExponential(1)}`, cache.apart <= cache.effect / 10),
        ...speed.checks,
      ],
      notApplicable: [
        { arm: '2.88 times cuBLAS in half precision, 2.02 times the throughput of TensorRT-LLM', reason: 'kernels of a GPU; here the product is compared with our own float32 and 8-bit products on one thread' },
        { arm: 'tiles of two costs over processors', reason: 'threads here share rows, and every row reads all blocks: their work is equal as it is; the cost model itself is checked' },
      ],
      notes: [
        'language model of 3.6 M parameters, all 42 layers; every arm is the graph that its file holds, run by ONNX Runtime', hostNotes[1], `${hostNotes[2]}; besides, one pair of channels of every key head ${planted.gain} times as large, undone in the queries`,
        'blocks of 32 channels, for inputs have 256 or 512; in blocks of 128 one block of two or four is the least that can take 8 bits',
        'weights to nearest in groups as long as the blocks; input scales in float32, one for each token and block: 1 bit a value at 32, a quarter of a bit at 128',
        'orders of the inputs of down projections are folded into gate and up projections; a normalization of the residual stream, which all layers share, and what attention mixes across shared heads take a gather, which costs nothing where inputs are rounded anyway',
        'KV4: blocks of 32 tokens, keys by channel or by token and head, values by token and head, minimum to maximum, scales and minima as halves; at least 32 of the newest tokens stay float',
        ...own.notes, ...twin.notes, ...speed.notes,
      ],
    };
  } finally {
    await host.close();
    await products.dispose();
  }
}

/** Found where no input has outliers. */
const sortedWeights = 'sorting also changes which weights share a scale: with 8-bit inputs sorted layers err more than in their own order, 5.96 against 5.90 %, and without outliers in the inputs ten layers lose by it what their inputs gain';

function accuracyChecks(arms: LanguageArms, own: Judged, twin: Judged): Check[] {
  const mean = (name: string): number => measured([...arms.layers.get(name)!.values()]).mean;
  const percent = (value: number): string => (100 * value).toFixed(2);
  const equal = (name: string, one: string, other: string, what: string): Check => {
    const [a, b] = [arms.kl.get(one)!, arms.kl.get(other)!];
    return check(name, `${what}, to the bit`, `largest difference of KL ${Math.max(...a.map((kl, i) => Math.abs(kl - b[i]))).toExponential(1)}`, a.every((kl, i) => kl === b[i]));
  };
  const near = (host: string): Check => {
    const [a, b] = [mean(`${host}: W4A8`), mean(`${host}: W4A16`)];
    return check(`${host}: W4A8 against W4A16`, 'mean layer error at most a tenth more', `${percent(a)} against ${percent(b)} %`, a <= 1.1 * b);
  };
  /** The card's order, of layers by themselves and of the whole network; `kind` is how blocks are chosen. */
  const order = (host: string, kind: string): Check[] => {
    const chain = ['W4A8', `COMET, ${kind}`, `own order, ${kind}`, 'W4A4', 'W4A4 by token'].map((name) => `${host}: ${name}`);
    return chain.slice(1).flatMap((worse, i) => [arms.layersErrLess(chain[i], worse, /own order/.test(worse) ? sortedWeights : undefined), arms.nearer(chain[i], worse)]);
  };
  const close = (host: string, kind: string): Check => {
    const [low, mixed, high] = [mean(`${host}: W4A8`), mean(`${host}: COMET, ${kind}`), mean(`${host}: W4A4`)];
    return check(`${host}: COMET, ${kind}, between W4A8 and W4A4`, 'layer error nearer to W4A8', `${percent(low)}, ${percent(mixed)}, ${percent(high)} %`, mixed - low < high - mixed,
      'the network has no outliers to put together: seven blocks of eight lose to 4 bits what all lose, whatever their order');
  };
  const share = twin.shares.get('COMET, by rule')!;
  return [
    near('language'), near('planted twin'),
    ...order('language', 'an eighth'), ...order('planted twin', 'by rule'),
    close('language', 'an eighth'), close('planted twin', 'by rule'),
    check('products at 4 bits on the planted twin', 'at least 80 %', `${percent(share)} %`, share >= 0.8),
    equal('all blocks at 8 bits', 'language: all blocks at 8 bits', 'language: W4A8', 'what W4A8 in blocks gives'),
    equal('no block at 8 bits', 'language: no block at 8 bits', 'language: W4A4', 'what W4A4 in blocks gives'),
    check('float outputs of sorted channels', 'within 1e-5 of their size', `${own.moved.toExponential(1)}, twin ${twin.moved.toExponential(1)}`, Math.max(own.moved, twin.moved) < 1e-5),
    arms.nearer('language: KV4 alone, keys by channel', 'language: KV4 alone, keys by token'),
    arms.nearer('planted twin: KV4 alone, keys by channel', 'planted twin: KV4 alone, keys by token'),
    check('the mixed kernel on inputs of all layers', 'what the file computes, within 1e-5 of its size', `${own.farthest.toExponential(1)}, twin ${twin.farthest.toExponential(1)}`, Math.max(own.farthest, twin.farthest) < 1e-5),
  ];
}

async function speedOf(runs: number, say: (line: string) => void): Promise<{ readonly arms: Arm[]; readonly checks: Check[]; readonly notes: string[] }> {
  const size = 4096;
  const contenders = await openContenders(size, 16);
  const at = (name: string): number => contenders.findIndex((one) => one.name === name);
  const [alone, many, cached] = ([[1, size], [16, size], [16, 256]] as const).map(([tokens, rows]) => {
    const times = alternate(contenders, tokens, rows, runs, processorTime);
    say(`${tokens} tokens, ${rows} rows: ${contenders.map(({ name }, i) => `${name} ${median(times[i]).toFixed(2)} ms`).join(', ')}`);
    return times;
  });
  const against = (times: number[][], one: string, other: string): number => median(ratios(times[at(one)], times[at(other)]));
  const arms = contenders.map(({ name }): Arm => ({
    name: `product: ${name}`,
    metrics: Object.fromEntries([[1, alone], [16, many]].flatMap(([tokens, times]) => ([['float32', speedNames.float], ['W4A8', speedNames.wide]] as const).map(([word, other]) =>
      [`times ${word}, ${tokens as number} token${tokens === 1 ? '' : 's'}`, measured(ratios((times as number[][])[at(name)], (times as number[][])[at(other)]))]))),
  }));
  const tiles = { narrow: 14, wide: 3 };
  const rate = (times: number[][], name: string, tokens: number, rows: number): string => ((tokens * rows * size) / median(times[at(name)]) / 1e6).toFixed(1);
  const medianOf = (name: string): string => `${against(alone, name, speedNames.float).toFixed(2)} with one token, ${against(many, name, speedNames.float).toFixed(2)} with 16`;
  const narrowAgainst = [alone, many].map((times) => against(times, speedNames.narrow, speedNames.wide));
  const mixedAgainst = [alone, many].map((times) => against(times, speedNames.mixed, speedNames.float));
  return {
    arms,
    checks: [
      { ...check('product with an eighth of the blocks at 8 bits against float32', 'more than 2.88 times as fast, as the paper has against half precision', medianOf(speedNames.mixed), mixedAgainst.every((ratio) => ratio > 2.88),
        'with one token float32 waits for memory; with 16 weights come from the cache, where four float products take two instructions and 32 of paired codes nine'), paper: '2.88' },
      check('W4A4 against W4A8 products', 'faster: no such tile costs more than one of 8 bits', narrowAgainst.map((ratio) => ratio.toFixed(2)).join(' and '), narrowAgainst.every((ratio) => ratio > 1)),
      check('balance of the cost model, 14 tiles of 4 bits and 3 of 8 on 4 workers', '5 at the least, reached by one queue; 6 with workers for each width', `${leastSpan(tiles, 4)}, ${balancedSpan(tiles, 4)}, ${apartSpan(tiles, 3, 1)}`, leastSpan(tiles, 4) === 5 && balancedSpan(tiles, 4) === 5 && apartSpan(tiles, 3, 1) === 6),
    ],
    notes: [
      `times of products are processor times of runs that alternate, ${runs} of each, plain SIMD`,
      `roofline, ${size} × ${size}, one thread: float32 with one token reads ${((4 * size * size) / median(alone[at(speedNames.float)]) / 1e6).toFixed(1)} GB/s; G products a second, weights from memory and from the cache: float32 ${rate(alone, speedNames.float, 1, size)} and ${rate(cached, speedNames.float, 16, 256)}, W4A8 ${rate(alone, speedNames.wide, 1, size)} and ${rate(cached, speedNames.wide, 16, 256)}, W4A4 ${rate(alone, speedNames.narrow, 1, size)} and ${rate(cached, speedNames.narrow, 16, 256)}`,
      '32 columns of a row take 15 vector instructions with 8-bit inputs and 9 with 4-bit ones, where a 16-bit product holds two of them; with relaxed dot products of bytes both would take the same',
    ],
  };
}

export const comet: Reproduction = {
  recipe: 'comet',
  paper: { title: 'COMET: Towards Partical W4A4KV4 LLMs Serving', arxiv: '2410.12168' },
  claim: 'Most activations of LLaMA-family models in 4 bits with negligible loss; a mixed 4-bit kernel 2.88 times as fast as cuBLAS, 2.02 times the throughput of TensorRT-LLM on an A100.',
  experiment: 'A language model and its planted-outlier twin in W4 with inputs of 16, 8 and 4 bits and mixed by block, sorted and in their own order, with 4-bit caches; the mixed product in WASM beside 8-bit and float32 ones.',
  data: [],
  minutes: 5,
  run,
};
