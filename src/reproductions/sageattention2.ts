/** SageAttention2: what smoothing and finer groups are worth to 4-bit attention, on synthetic biased heads and on those of three hosts, in whole networks, and as kernels. */
import { attention, smoothedRows } from '../engine/kernels/attention.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { pairedDifference } from '../evaluate/metrics/summary.ts';
import { attentionSites } from '../graph/attention.ts';
import type { Graph } from '../graph/graph.ts';
import { openModern } from '../jobs/source-node.ts';
import { argMax, klDivergence, logSoftmax } from '../numeric/distribution.ts';
import { cosine, mean } from '../numeric/statistics.ts';
import { layerLikeness } from '../recipes/steps/low-bit-attention.ts';
import { smoothRows } from '../round/attention-codes.ts';
import { exactArithmetic, lowBitAttention, nothingSmoothed, type AttentionArithmetic, type AttentionHead } from '../round/low-bit-attention.ts';
import { lowBitAttentionGraph, type GraphAttention } from '../train/low-bit-attention.ts';
import { scoreArm, scoreOf, type AttentionScore, type Part } from './attention-scores.ts';
import { attentionTimes, speedNames, timesAsFast } from './attention-speed.ts';
import { captureAttention, type CapturedLayer } from './data/attention.ts';
import { judgedImages } from './data/cifar.ts';
import { ditFiles, openDit, rows } from './data/dit.ts';
import { distances, logitsOf, openLlama } from './data/llama.ts';
import { judgeNetworks, percent } from './dit-arms.ts';
import { check, measured, notInPage, type Arm, type Check, type Outcome, type Reproduction, type ReproductionContext } from './reproduction.ts';
import { accumulators, biasedHeads, groupChecks, smoothingChecks } from './synthetic-attention.ts';
import { valuesOf } from './written.ts';

const files = { vit: 'host-vit-cifar/model.onnx', images: '_research-terms/host-vit-cifar_heldout400.bin' } as const;
const reduced = { windows: 2, points: 16, images: 16, judgedWindows: 48, judgedImages: 200, samples: 10, steps: 20, rounds: 7, draws: 3 } as const;
const whole = { windows: 8, points: 64, images: 64, judgedWindows: 193, judgedImages: 400, samples: 40, steps: 50, rounds: 21, draws: 8 } as const;
/** Of one host, in the time that a page has. */
const short = { ...reduced, judgedWindows: 24, rounds: 3 } as const;
type Protocol = typeof reduced | typeof whole | typeof short;

const keysAlone = { queries: false, keys: true, values: false };
const both = { queries: true, keys: true, values: false };
const all = { queries: true, keys: true, values: true };
const int4 = (smooth: AttentionArithmetic['smooth'], grouping: 'tensor' | 'tile' | 'warp' | 'thread' | 'token' = 'thread'): AttentionArithmetic => ({ smooth, codes: { bits: 4, grouping } });
const int8 = (smooth: AttentionArithmetic['smooth']): AttentionArithmetic => ({ smooth, codes: { bits: 8, grouping: 'thread' } });

/** Arithmetic of queries and keys, and of probabilities and values by itself. */
export const arithmetics: Readonly<Record<string, AttentionArithmetic>> = {
  'INT4': int4(nothingSmoothed), 'INT4, K smoothed': int4(keysAlone), 'INT4, Q and K smoothed': int4(both),
  'INT8': int8(nothingSmoothed), 'INT8, K smoothed': int8(keysAlone),
  'INT4 per tensor, Q and K smoothed': int4(both, 'tensor'), 'INT4 per tile, Q and K smoothed': int4(both, 'tile'), 'INT4 per warp, Q and K smoothed': int4(both, 'warp'), 'INT4 per token, Q and K smoothed': int4(both, 'token'),
  'E4M3 P and V': { smooth: nothingSmoothed, fp8: 'float' }, 'E4M3 P and V, one register': { smooth: nothingSmoothed, fp8: 'single' }, 'E4M3 P and V, two levels': { smooth: nothingSmoothed, fp8: 'two-level' },
  'INT4 and E4M3 in two levels': { ...int4(both), fp8: 'two-level' },
};
const [none, , smoothed, , eight] = Object.keys(arithmetics);

/** What whole networks compute attention with. */
const networks: Readonly<Record<string, GraphAttention>> = {
  'INT4': { bits: 4, smooth: nothingSmoothed }, 'INT4, K smoothed': { bits: 4, smooth: keysAlone }, 'INT4, Q and K smoothed': { bits: 4, smooth: both }, 'INT8, K smoothed': { bits: 8, smooth: keysAlone },
};

type Scores = ReadonlyMap<string, readonly AttentionScore[]>;

const cosines = (scores: Scores, arm: string): number[] => scores.get(arm)!.map((score) => score.cosine);

/** Share of a layer's energy that means carry: of queries 128 at a time, of keys all together. */
function meanShare(heads: readonly AttentionHead[], of: 'query' | 'keys'): number {
  let [all, rest] = [0, 0];
  for (const head of heads) {
    head[of].forEach((value) => { all += value * value; });
    smoothRows(head[of], head.width, of === 'query' ? smoothedRows : undefined).rest.forEach((value) => { rest += value * value; });
  }
  return 1 - rest / all;
}

/** All heads of a layer in one call: each call takes a memory of its own, of which a page has only some hundred. */
function byKernel(heads: readonly AttentionHead[], bits: 4 | 8): Float32Array {
  const [{ width, visible, scale }] = heads;
  const [query, keys, values] = (['query', 'keys', 'values'] as const).map((part) => {
    const joined = new Float32Array(heads.length * heads[0][part].length);
    heads.forEach((head, h) => joined.set(head[part], h * head[part].length));
    return joined;
  });
  return attention({ query, keys, values, heads: heads.length, kvHeads: heads.length, width }, { lowBit: { bits }, ...(visible === undefined ? {} : { visible }), ...(scale === undefined ? {} : { scale }) });
}

/** Every layer of a host with every arithmetic, and with the kernels. */
function onLayers(host: string, layers: readonly CapturedLayer[], say: (line: string) => void): Part & { readonly scores: Scores } {
  const exact = layers.map(({ heads }) => heads.map((head) => lowBitAttention(head, exactArithmetic)));
  const outputs = exact.map((heads) => heads.map(({ output }) => output));
  const scores = new Map<string, AttentionScore[]>();
  for (const [name, how] of Object.entries(arithmetics)) {
    scores.set(name, layers.map(({ heads }, l) => scoreOf(outputs[l], heads.map((head) => lowBitAttention(head, how).output))));
    say(`${host}, ${name}: cosine ${mean(cosines(scores, name)).toFixed(5)}`);
  }
  for (const bits of [4, 8] as const) scores.set(`kernel, ${bits} bits`, layers.map(({ heads }, l) => scoreOf(outputs[l], [byKernel(heads, bits)])));
  let [far, farSum, shifted] = [0, 0, 1];
  layers.forEach(({ heads }, l) => heads.forEach((head, h) => {
    const { output, logSumExp } = lowBitAttention(head, { smooth: all });
    output.forEach((value, i) => { far = Math.max(far, Math.abs(value - outputs[l][h][i])); });
    logSumExp.forEach((value, r) => { farSum = Math.max(farSum, Math.abs(value - exact[l][h].logSumExp[r])); });
  }));
  for (const { heads } of layers) shifted = Math.min(shifted, cosine(lowBitAttention(heads[0], int4(both)).output, lowBitAttention({ ...heads[0], keys: heads[0].keys.map((value, i) => value + (i % heads[0].width)) }, int4(both)).output));
  const [plain, best, wide] = [none, smoothed, eight].map((name) => cosines(scores, name));
  const worst = Math.min(...best.map((value, l) => value - plain[l]));
  const kernel = Math.max(...best.map((value, l) => Math.abs(value - cosines(scores, 'kernel, 4 bits')[l])));
  const l1 = (grouping: string): number => mean(scores.get(grouping === 'thread' ? smoothed : `INT4 per ${grouping}, Q and K smoothed`)!.map((score) => score.l1));
  const order = ['tensor', 'tile', 'warp', 'thread', 'token'].map(l1);
  return {
    scores, notes: [],
    arms: [{
      name: `${host}, energy of means`,
      metrics: { 'of queries, %': measured(layers.map(({ heads }) => percent(meanShare(heads, 'query')))), 'of keys, %': measured(layers.map(({ heads }) => percent(meanShare(heads, 'keys')))) },
    }, ...[...scores].map(([name, list]) => scoreArm(`${host}, ${name}`, list))],
    checks: [
      check(`${host}: INT4, Q and K smoothed against nothing smoothed`, 'mean cosine over layers not below', `${mean(best).toFixed(5)} against ${mean(plain).toFixed(5)}`, mean(best) >= mean(plain)),
      check(`${host}: every layer`, 'no cosine worse by more than 0.002', `least gain ${worst.toFixed(5)}`, worst >= -0.002),
      check(`${host}: INT4, Q and K smoothed against K alone`, 'more mean cosine', `${mean(best).toFixed(5)} against ${mean(cosines(scores, 'INT4, K smoothed')).toFixed(5)}`, mean(best) > mean(cosines(scores, 'INT4, K smoothed'))),
      check(`${host}: INT4, Q and K smoothed against INT8, K smoothed`, 'mean cosine within 0.02', `${mean(best).toFixed(5)} against ${mean(wide).toFixed(5)}`, mean(wide) - mean(best) < 0.02),
      check(`${host}: groups`, 'mean error per tensor ≥ tile ≥ warp > thread > token', order.map((value) => `${percent(value).toFixed(2)} %`).join(', '), order[0] >= order[1] && order[1] >= order[2] && order[2] > order[3] && order[3] > order[4]),
      check(`${host}: smoothing without codes`, 'outputs within 1e-6 of exact ones, logarithms of sums within 1e-5', `${far.toExponential(1)}, ${farSum.toExponential(1)}`, far <= 1e-6 && farSum <= 1e-5),
      check(`${host}: a constant added to all keys`, 'cosine of INT4 outputs beyond 0.9999', shifted.toFixed(6), shifted > 0.9999),
      check(`${host}: the kernel of 4 bits`, 'cosine of each layer within 0.002 of the page with everything smoothed but V in floats', `farthest ${kernel.toExponential(1)}`, kernel < 0.002),
    ],
  };
}

const withAttention = (graph: Graph, how: GraphAttention, wide: ReadonlySet<string> = new Set()): Graph =>
  lowBitAttentionGraph(graph, new Map(attentionSites(graph).map((site) => [site.id, { site, how: wide.has(site.id) ? { ...how, bits: 8 as const } : how }])));

/** The third of the layers with the worst cosines on calibration inputs: they take eight bits. */
async function worstLayers(graph: Graph, batches: readonly Feeds[], threads: number): Promise<ReadonlySet<string>> {
  const found = [...await layerLikeness(graph, attentionSites(graph), networks[smoothed], ortNode, batches, threads)].sort((a, b) => a[1] - b[1]);
  return new Set(found.slice(0, Math.round(found.length / 3)).map(([id]) => id));
}
const adaptive = 'INT4, Q and K smoothed, INT8 in the worst third';

/** Whole networks with all layers replaced: the graphs of each arm. */
async function graphsOf(graph: Graph, calibration: readonly Feeds[], threads: number): Promise<Map<string, Graph>> {
  const wide = await worstLayers(graph, calibration, threads);
  return new Map([...Object.entries(networks).map(([name, how]) => [name, withAttention(graph, how)] as const), [adaptive, withAttention(graph, networks[smoothed], wide)]]);
}

/** Checks on KL by window or image. */
function nearer(host: string, kl: ReadonlyMap<string, readonly number[]>, one: string, other: string, finding?: string): Check {
  const { mean: difference, standardError } = pairedDifference(kl.get(other)!, kl.get(one)!);
  return check(`${host}: ${one} against ${other}`, 'less KL, paired, beyond two standard errors', `${difference.toExponential(2)} ± ${(2 * standardError).toExponential(1)}`, difference + 2 * standardError < 0, finding);
}

/** Seen on 16 points, 16 images and 200 judged ones. */
const littleToSmooth = 'on this host means carry 8 to 39 % of the energy of queries and keys: smoothing both lowers the mean error of layers from 3.43 to 3.25 %, and the predicted noise does not show it';
const fewImages = 'means carry up to 77 % of the energy here and the error of layers falls from 2.07 to 1.27 %, but KL is of the order of 4e-4 and a few of the 200 images carry most of it';

async function onLanguage({ windows, judgedWindows }: Protocol, threads: number, say: (line: string) => void): Promise<Part> {
  const host = await openLlama();
  try {
    const layers = onLayers('language', await captureAttention(host.graph, host.calibration(windows, 100, 1), { isCausal: true, scale: 1, threads }), say);
    const judged = host.judged(judgedWindows);
    const float = await logitsOf(host.graph, judged, threads);
    const perplexity = (nll: readonly number[]): number => Math.exp(mean(nll));
    const base = perplexity(distances(float, float, judged).nll);
    const kl = new Map<string, number[]>();
    const arms: Arm[] = [{ name: 'language model, float', metrics: { perplexity: measured([base]) } }];
    const rise = new Map<string, number>();
    for (const [name, graph] of await graphsOf(host.graph, host.calibration(4, 300, 2), threads)) {
      const found = distances(float, await logitsOf(graph, judged, threads), judged);
      kl.set(name, found.kl);
      rise.set(name, perplexity(found.nll) / base - 1);
      arms.push({ name: `language model, ${name}`, metrics: { 'KL, nats': measured(found.kl), perplexity: measured([perplexity(found.nll)]) } });
      say(`language model, ${name}: KL ${mean(found.kl).toExponential(3)}`);
    }
    return {
      notes: [], arms: [...layers.arms, ...arms],
      checks: [
        ...layers.checks, nearer('language model', kl, smoothed, none), nearer('language model', kl, smoothed, 'INT4, K smoothed'), nearer('language model', kl, adaptive, smoothed), nearer('language model', kl, eight, adaptive),
        ...[smoothed, eight].map((name) => check(`language model: ${name}`, 'perplexity at most 1 % above float', `${percent(rise.get(name)!).toFixed(3)} %`, rise.get(name)! <= 0.01)),
      ],
    };
  } finally {
    await host.close();
  }
}

async function onDiffusion({ points, samples, steps }: Protocol, asset: (path: string) => string, threads: number, say: (line: string) => void): Promise<Part> {
  const host = await openDit(asset, { threads });
  try {
    const seen = await host.points(points + 16, 100);
    const layers = onLayers('diffusion', await captureAttention(host.graph, [rows(seen, 0, points)], { isCausal: false, scale: 1 / Math.sqrt(32), threads }), say);
    const graphs = await graphsOf(host.graph, [rows(seen, points, points + 16)], threads);
    const judged = await judgeNetworks(host, Object.fromEntries([...graphs].map(([name, graph]) => [`diffusion transformer, ${name}`, async () => graph])), { images: samples, steps, say });
    const named = (name: string): string => `diffusion transformer, ${name}`;
    const error = judged.relative.get(named(smoothed))!;
    return {
      notes: [], arms: [...layers.arms, ...judged.arms],
      checks: [
        ...layers.checks, judged.better(named(smoothed), named(none), littleToSmooth), judged.better(named(adaptive), named(smoothed)), judged.better(named(eight), named(adaptive)),
        check(`${named(smoothed)}`, 'error of the predicted noise at most 1 %', `${percent(error).toFixed(3)} %`, error <= 0.01),
      ],
    };
  } finally {
    await host.close();
  }
}

async function onVision({ images, judgedImages: count }: Protocol, asset: (path: string) => string, threads: number, say: (line: string) => void): Promise<Part> {
  const model = await openModern(asset(files.vit));
  try {
    const data = await judgedImages(asset(files.images), (value) => value / 127.5 - 1);
    const take = async (wanted: number, offset: number) => {
      const { feeds, labels } = await data.batch(Array.from({ length: wanted }, (_, i) => (Math.floor((i * data.count) / wanted) + offset) % data.count));
      return { points: { x: feeds.input }, labels: (labels as { readonly values: readonly number[] }).values };
    };
    const [seen, judged] = [(await take(images, 1)).points, await take(count, 0)];
    const layers = onLayers('vision', await captureAttention(model.graph, [seen], { isCausal: false, scale: 1, threads }), say);
    const logits = async (graph: Graph): Promise<number[]> => (await valuesOf(graph, ['logits'], judged.points, { threads })).get('logits')!.flatMap((part) => [...part]);
    const right = (found: readonly number[]): number => judged.labels.filter((label, i) => argMax(found, i * 10, 10) === label).length / count;
    const float = await logits(model.graph);
    const arms: Arm[] = [{ name: 'vision transformer, float', metrics: { 'top-1 %': measured([percent(right(float))]) } }];
    const kl = new Map<string, number[]>();
    let lost = 0;
    for (const [name, graph] of await graphsOf(model.graph, [seen], threads)) {
      const found = await logits(graph);
      kl.set(name, judged.labels.map((_, i) => klDivergence(logSoftmax(float, i * 10, 10), logSoftmax(found, i * 10, 10))));
      if (name === smoothed) lost = right(float) - right(found);
      arms.push({ name: `vision transformer, ${name}`, metrics: { 'KL, nats': measured(kl.get(name)!), 'top-1 %': measured([percent(right(found))]) } });
      say(`vision transformer, ${name}: KL ${mean(kl.get(name)!).toExponential(3)}`);
    }
    return {
      notes: [], arms: [...layers.arms, ...arms],
      checks: [...layers.checks, nearer('vision transformer', kl, smoothed, none, fewImages), nearer('vision transformer', kl, eight, smoothed), check(`vision transformer: ${smoothed}`, 'top-1 at most a point below float', `${percent(lost).toFixed(2)} points`, lost <= 0.01)],
    };
  } finally {
    await model.close();
  }
}

/** Kernels at the lengths of the paper's figures. */
function speed(rounds: number, say: (line: string) => void): Part {
  const arms: Arm[] = [];
  const checks: Check[] = [];
  for (const count of [1024, 2048, 4096]) {
    for (const isCausal of [false, true]) {
      const times = attentionTimes(count, 64, isCausal, rounds);
      const ratio = (one: string, other: string = speedNames.float): number => timesAsFast(times, one, other);
      const label = `${count} queries and keys of 64 channels${isCausal ? ', causal' : ''}`;
      for (const [name, { times: list }] of times) arms.push({ name: `kernels, ${label}: ${name}`, metrics: { 'ms': measured(list), 'times as fast as float32': measured([ratio(name)]) } });
      say(`${label}: 4 bits ${ratio(speedNames.four).toFixed(2)}, 8 bits ${ratio(speedNames.eight).toFixed(2)} times as fast as float32`);
      checks.push(
        check(`kernels, ${label}: 4 and 8 bits against our float32`, 'faster', `${ratio(speedNames.four).toFixed(2)} and ${ratio(speedNames.eight).toFixed(2)} times as fast`, ratio(speedNames.four) > 1 && ratio(speedNames.eight) > 1),
        check(`kernels, ${label}: 4 bits against 8`, 'faster', `${ratio(speedNames.four, speedNames.eight).toFixed(2)} times as fast`, ratio(speedNames.four, speedNames.eight) > 1),
      );
    }
  }
  return { arms, checks, notes: [] };
}

async function run({ asset, threads, full, page, say }: ReproductionContext): Promise<Outcome> {
  const protocol = full ? whole : page ? short : reduced;
  const heads = biasedHeads(protocol.draws);
  const parts = [
    smoothingChecks(heads), groupChecks(heads), accumulators(protocol.draws),
    await onLanguage(protocol, threads, say), ...(page ? [] : [await onDiffusion(protocol, asset, threads, say), await onVision(protocol, asset, threads, say)]),
    speed(protocol.rounds, say),
  ];
  return {
    arms: parts.flatMap(({ arms }) => arms), checks: parts.flatMap(({ checks }) => checks), protocol,
    notApplicable: [
      ...(page ? [notInPage('the diffusion transformer and the vision transformer', 'their weights do not come with it')] : []),
      { arm: 'three times FlashAttention2 on an RTX 4090, FlashAttention3 on Hopper', reason: 'the kernels here are WASM SIMD on a CPU; the ratio to our best float32 attention stands in their place' },
      { arm: 'FP8 probabilities and values as a kernel', reason: 'neither WASM nor WebGPU multiplies FP8: its rounding and its registers are simulated, the kernels take integers of 13 bits' },
      { arm: 'video models', reason: 'none among the hosts; a language model, a diffusion transformer and a vision transformer stand in' },
      { arm: 'INT8 at chosen time steps', reason: 'layers are chosen, one choice for all steps of the sampler' },
    ],
    notes: [
      'layers: outputs of attention on queries, keys and values that the float network gives, against float64; spread over layers; groups as GPU threads hold them unless named',
      'whole networks: every attention layer in low bits, probabilities and values in E4M3, in standard operators; a third of the layers takes INT8 by their cosines on calibration inputs',
      'registers of FP8 products: cut to 13 bits of mantissa after each 32 products, towards zero; a fresh one per 64 keys is what the paper calls two-level',
      `kernels: one thread, ${protocol.rounds} alternating runs, packing of keys and values included; in 4-bit codes two products share a 16-bit lane`,
    ],
  };
}

export const sageattention2Reproduction: Reproduction = {
  recipe: 'sageattention2',
  paper: { title: 'SageAttention2 Technical Report: Accurate 4 Bit Attention for Plug-and-play Inference Acceleration', arxiv: '2411.10958' },
  claim: 'INT4 queries and keys and FP8 probabilities and values, after smoothing, lose no measurable quality in language, image and video models, and run about 3 times as fast as FlashAttention2 on an RTX 4090.',
  experiment: 'Heads with channel bias, and those of a language model, a diffusion transformer and a vision transformer, with each part of the arithmetic alone; the three networks with all attention replaced; WASM kernels beside our float32 attention.',
  data: [files.vit, files.images, ditFiles.model, ditFiles.classifier, ditFiles.noise],
  minutes: 4,
  run,
};
