/** What carries out each step of a recipe. Adding a step touches its own file, its type in `recipe.ts`, and one row here. */
import type { NumberFormat } from '../formats/format.ts';
import { isScaled } from '../formats/scaled.ts';
import { equalizeLayers } from '../transform/cross-layer-equalization.ts';
import type { Graph } from '../graph/graph.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { mamba2Blocks, mambaBlocks } from '../transform/mamba-blocks.ts';
import { matrixLayers } from '../transform/rotate.ts';
import type { Need, Step } from './recipe.ts';
import type { StepRunner } from './state.ts';
import { allocate } from './steps/allocate.ts';
import { allocateByTrace } from './steps/allocate-by-trace.ts';
import { allocateDecoupled } from './steps/allocate-decoupled.ts';
import { allocatePalette } from './steps/allocate-palette.ts';
import { balance } from './steps/balance.ts';
import { beforeGelu } from './steps/before-gelu.ts';
import { chooseSamples } from './steps/choose-samples.ts';
import { decomposeWeights } from './steps/decompose.ts';
import { distil } from './steps/distil.ts';
import { fixInputs, searchSplits } from './steps/float-formats.ts';
import { learnBalance } from './steps/learn-balance.ts';
import { correctBias, observeActivationRanges, smooth } from './steps/observe.ts';
import { mixBlocks } from './steps/mix-blocks.ts';
import { protect } from './steps/protect.ts';
import { lowBitAttention } from './steps/low-bit-attention.ts';
import { lowRank } from './steps/low-rank.ts';
import { reconstruct } from './steps/reconstruct.ts';
import { residual, sortChannels } from './steps/residual-channels.ts';
import { rotate } from './steps/rotate.ts';
import { round } from './steps/round.ts';
import { shift } from './steps/shift.ts';
import { smoothSearch } from './steps/smooth-search.ts';
import { roundInputs } from './steps/round-inputs.ts';
import { rotateKlt, rotateReadout, rotateScan, rotateSteps, smoothReadout, sortScan, ssmScales } from './steps/state-space.ts';

/** Where a step stands when recipes are joined: data are made, the float network is reshaped, formats are chosen, weights become codes, ranges are found, what codes lost is restored. */
export type Stage = 'data' | 'transform' | 'allocate' | 'round' | 'observe' | 'restore';

export interface StepRow<K extends Step['step'] = Step['step']> {
  readonly run: StepRunner<K>;
  readonly stage: Stage;
  /** What it must be given; default nothing. */
  readonly needs?: (step: Extract<Step, { step: K }>) => readonly Need[];
  /** Throws where the network has nothing that it is for. */
  readonly fits?: (graph: Graph) => void;
  /** Steps that cannot stand in the same recipe, each with the reason. */
  readonly excludes?: Partial<Record<Step['step'], string>>;
  /** Steps that it must come before where both are there, each with the reason. */
  readonly precedes?: Partial<Record<Step['step'], string>>;
  /** Why a layer cannot be given this format by itself beside the others. */
  readonly refusesOwn?: (step: Extract<Step, { step: K }>, format: NumberFormat) => string | undefined;
  /** Its settings where it is named by itself, as in `rotate+gptq`; absent where it cannot be. */
  readonly alone?: Extract<Step, { step: K }>;
}

export const bothChoose = 'both choose the formats of layers';
const oneFormat = 'it learns one format for all layers', integers = 'it chooses widths of integers', bothRound = 'both choose what inputs are rounded to';

const samples = (): readonly Need[] => ['sample inputs'];
const choosesAll = (): string => 'it chooses the formats of all layers itself';
const perRow = (format: NumberFormat): boolean => isScaled(format) && format.integer?.asymmetric === false && format.granularity.kind === 'channel';

export const steps: { readonly [K in Step['step']]: StepRow<K> } = {
  'fold-batchnorm': { run: async (state) => ({ ...state, graph: foldBatchNorm(state.graph) }), stage: 'transform', alone: { step: 'fold-batchnorm' } },
  equalize: { run: async (state) => ({ ...state, graph: (await equalizeLayers(state.graph)).graph }), stage: 'transform', alone: { step: 'equalize' } },
  smooth: { run: smooth, stage: 'transform', needs: samples, alone: { step: 'smooth', alpha: 0.5 } },
  shift: { run: shift, stage: 'transform', precedes: { smooth: 'it lifts what is not yet scaled', 'smooth-search': 'it lifts what is not yet scaled' }, alone: { step: 'shift' } },
  'sort-channels': { run: sortChannels, stage: 'transform', needs: samples, alone: { step: 'sort-channels' } },
  'residual-channels': {
    run: residual, stage: 'restore', fits: matrixLayers, needs: samples, alone: { step: 'residual-channels', channels: 'rule', samples: 256 },
    excludes: { 'correct-bias': 'residual channels are no part of the float network' },
  },
  'mix-blocks': {
    run: mixBlocks, stage: 'allocate', fits: matrixLayers, needs: samples, alone: { step: 'mix-blocks', wide: 'rule', most: 0.15, sort: true },
    excludes: { 'residual-channels': 'residuals are of the channels that 8 bits already hold', 'round-inputs': bothRound, 'fix-float-inputs': bothRound, 'learn-balance': 'it needs one scale for each token' },
  },
  'smooth-search': { run: smoothSearch, stage: 'transform', fits: matrixLayers, needs: samples, excludes: { smooth: 'both divide the same inputs' }, alone: { step: 'smooth-search', grid: 20, rank: 0, samples: 256 } },
  'low-rank': {
    run: lowRank, stage: 'transform', fits: matrixLayers, needs: samples, alone: { step: 'low-rank', rank: 32, rounds: 100, samples: 256 },
    excludes: { reconstruct: 'its blocks do not see the branches' },
  },
  rotate: {
    run: rotate, stage: 'transform', alone: { step: 'rotate', where: 'both' },
    precedes: { shift: 'lifted inputs would lose their floor when they are turned' },
  },
  protect: { run: protect, stage: 'transform' },
  balance: { run: balance, stage: 'transform', fits: matrixLayers, needs: samples, alone: { step: 'balance', alphas: [0.1, 0.2, 0.3, 0.5, 0.7] } },
  'round-inputs': { run: roundInputs, stage: 'observe', needs: samples },
  'allocate-decoupled': {
    run: allocateDecoupled, stage: 'allocate', needs: samples, refusesOwn: choosesAll,
    excludes: { 'allocate-palette': bothChoose, 'allocate-by-trace': bothChoose, decompose: bothChoose, 'search-splits': integers, 'before-gelu': integers, 'learn-balance': oneFormat },
  },
  allocate: {
    run: allocate, stage: 'allocate',
    excludes: {
      'allocate-decoupled': bothChoose, 'allocate-palette': bothChoose, 'allocate-by-trace': bothChoose,
      decompose: 'it chooses the formats of layers itself', 'search-splits': 'it searches floating-point formats, not bits', 'learn-balance': oneFormat,
    },
  },
  'allocate-palette': {
    run: allocatePalette, stage: 'allocate', needs: samples, refusesOwn: choosesAll,
    excludes: {
      'allocate-by-trace': bothChoose, decompose: bothChoose, 'search-splits': 'its floating-point formats are not of the palette', 'before-gelu': 'its floating-point formats are not of the palette',
      reconstruct: 'rounding is learned weight by weight, and trellises code many at once', 'learn-balance': oneFormat,
    },
  },
  'allocate-by-trace': {
    run: allocateByTrace, stage: 'allocate', needs: samples, refusesOwn: choosesAll,
    excludes: { decompose: bothChoose, 'search-splits': integers, 'before-gelu': integers, 'learn-balance': oneFormat },
  },
  decompose: {
    run: decomposeWeights, stage: 'allocate', fits: matrixLayers, needs: ({ sequences }) => (sequences > 0 ? ['sample inputs'] : []),
    excludes: { 'low-rank': 'both put a branch beside every layer', reconstruct: 'its blocks do not see the branches', 'search-splits': bothChoose, 'learn-balance': oneFormat },
    refusesOwn: ({ formats }) => (formats.length > 0 ? choosesAll() : undefined),
    alone: { step: 'decompose', rank: 8, rounds: 100, sequences: 0, formats: [] },
  },
  'observe-ranges': { run: observeActivationRanges, stage: 'observe', needs: samples, alone: { step: 'observe-ranges', method: 'minmax' } },
  'integer-only': {
    run: async (state) => ({ ...state, integerOnly: true }), stage: 'observe', needs: samples, alone: { step: 'integer-only' },
    excludes: {
      rotate: 'rotations between layers have no integer form', 'round-inputs': 'inputs have grids of their own', 'fix-float-inputs': 'inputs are integers', 'mix-blocks': 'inputs have one width',
      'residual-channels': 'residuals of inputs are no integers', 'low-rank': 'branches are float products', decompose: 'branches are float products', 'allocate-palette': 'trellis codes have no integer form',
      'search-splits': 'floating-point weights are no integers', 'before-gelu': 'floating-point weights are no integers', 'learn-balance': 'inputs have one scale for each token', 'ssm-scales': 'scans have no integer form',
    },
    refusesOwn: (_, format) => (perRow(format) ? undefined : 'its layers multiply integers with one scale per row, such as int4/channel'),
  },
  distil: { run: distil, stage: 'data', needs: () => ['batch normalization'] },
  'choose-samples': { run: chooseSamples, stage: 'data', needs: samples, alone: { step: 'choose-samples', clusters: 5, perCluster: 4 } },
  'before-gelu': { run: beforeGelu, stage: 'allocate', alone: { step: 'before-gelu', element: 'e3m0' } },
  'search-splits': { run: searchSplits, stage: 'allocate', refusesOwn: () => 'it searches the floating-point formats of all layers itself', alone: { step: 'search-splits' } },
  'fix-float-inputs': { run: fixInputs, stage: 'observe', needs: samples, excludes: { 'round-inputs': bothRound }, alone: { step: 'fix-float-inputs', bits: 8 } },
  round: { run: round, stage: 'round', needs: ({ rounder }) => (rounder === 'gptq' || rounder === 'ldlq' || rounder === 'awq' || rounder === 'importance' ? ['sample inputs'] : []) },
  reconstruct: { run: reconstruct, stage: 'round', needs: samples },
  'sort-and-cluster': {
    run: sortScan, stage: 'transform', needs: samples, fits: (graph) => { mamba2Blocks(graph, 'sort-and-cluster'); }, alone: { step: 'sort-and-cluster', heads: 4, channels: 4 },
    precedes: { rotate: 'turned channels have no order', 'rotate-readout': 'turned channels have no order', 'smooth-readout': 'factors belong to channels', 'rotate-scan': 'turned channels have no order' },
  },
  'rotate-klt': { run: rotateKlt, stage: 'transform', needs: samples, fits: mambaBlocks, alone: { step: 'rotate-klt' } },
  'smooth-readout': { run: smoothReadout, stage: 'transform', needs: samples, fits: mambaBlocks, alone: { step: 'smooth-readout', alpha: 0.5 }, precedes: { rotate: 'smoothing is by channel', 'rotate-readout': 'smoothing is by channel' } },
  'rotate-readout': { run: rotateReadout, stage: 'transform', needs: samples, fits: mambaBlocks, excludes: { rotate: 'both turn what output projections read' }, alone: { step: 'rotate-readout' } },
  'rotate-step': { run: rotateSteps, stage: 'transform', needs: samples, fits: mambaBlocks, alone: { step: 'rotate-step' } },
  'rotate-scan': { run: rotateScan, stage: 'transform', needs: samples, fits: mambaBlocks, alone: { step: 'rotate-scan', smooth: true } },
  'ssm-scales': { run: ssmScales, stage: 'observe', needs: samples, fits: mambaBlocks, alone: { step: 'ssm-scales', bits: 8, clip: 'largest', channels: 'cluster', groups: 'group' } },
  'learn-balance': {
    run: learnBalance, stage: 'round', fits: matrixLayers, needs: samples,
    refusesOwn: (_, format) => (perRow(format) ? undefined : 'it learns the ranges of integers with one scale per row, such as int4/channel'),
  },
  'low-bit-attention': {
    run: lowBitAttention, stage: 'restore', needs: samples, alone: { step: 'low-bit-attention', bits: 4, least: 0.99 },
    excludes: { 'integer-only': 'attention has no integer form', 'correct-bias': 'it compares with the float network' },
  },
  'correct-bias': { run: correctBias, stage: 'restore', needs: samples, alone: { step: 'correct-bias' } },
};
