/**
 * A recipe is a published method as a value: what it needs, the steps it takes, what it can be
 * written as. The runner interprets the steps; a recipe holds no code of its own.
 */
import type { LayerLimits } from '../allocate/allocation.ts';

/** What a recipe must be given besides the weights. */
export type Need = 'sample inputs' | 'labels' | 'batch normalization' | 'training';

/** How a weight matrix becomes codes. */
export type Rounder = 'nearest' | 'scale-search' | 'importance' | 'gptq' | 'ldlq' | 'awq' | 'hqq';

/** How the range of an activation is found. */
export type RangeMethod = 'minmax' | 'ema' | 'percentile' | 'entropy' | 'mse';

/** Layers that one measure judges, as words of their names (an empty word: all that are left). */
export interface LayerGroup {
  readonly name: string;
  readonly layers: readonly string[];
  readonly measure: 'noise' | 'sqnr' | 'ssim';
  /** Bits that its weights may take, ascending. */
  readonly widths: readonly number[];
}

export type Step =
  /** Batch normalization goes into the weights before it. */
  | { readonly step: 'fold-batchnorm' }
  /** Cross-layer equalization of neighbouring layers. */
  | { readonly step: 'equalize' }
  /** Moves activation outliers into the weights (SmoothQuant), `alpha` of them. */
  | { readonly step: 'smooth'; readonly alpha: number }
  /** Hadamard rotations of what layers read: in the residual stream, as the network runs, or the one where the other cannot be. */
  | { readonly step: 'rotate'; readonly where: 'residual' | 'online' | 'both' }
  /** Layers whose names hold one of the words stay float. */
  | { readonly step: 'protect'; readonly layers: readonly string[] }
  /** Channels of inputs are divided by a^α / w^(1−α) of their maxima, the weights multiplied; of the strengths, or none, that with the least error of the outputs. */
  | { readonly step: 'balance'; readonly alphas: readonly number[] }
  /** Inputs of layers on fixed 8-bit grids over their extremes; the share of inputs that loses most stays float. */
  | { readonly step: 'round-inputs'; readonly protect: number }
  /** Bits of weights by groups with measures of their own; the mean is that of the format asked for and so many more. */
  | { readonly step: 'allocate-decoupled'; readonly groups: readonly LayerGroup[]; readonly extraBits: number; readonly points: number }
  /** A format per layer, chosen among these by measurement so that the file has so many bits per weight, everything counted, and layers keep the other limits. */
  | { readonly step: 'allocate'; readonly bits: number; readonly formats: readonly string[]; readonly limits?: LayerLimits }
  /** A format per layer from a palette, by its sensitivity to noise and what formats lose on normal weights; the mean is that of the format asked for. */
  | { readonly step: 'allocate-palette'; readonly formats: readonly string[] }
  /** A format per layer, of these by rising width, by an integer program over the traces of the Hessian; the budget is so large a share of what lies between all narrow and all wide. */
  | { readonly step: 'allocate-by-trace'; readonly formats: readonly string[]; readonly budget: 'size' | 'bops'; readonly share: number }
  /** The file computes in integers alone, from the quantized input to the last layer. */
  | { readonly step: 'integer-only' }
  /** Channels of inputs by rising size, gathered before the layers that read them. */
  | { readonly step: 'sort-channels' }
  /** Residuals of the last channels of each input as more channels (ARCQuant): as many as its rule says, or a share of all. */
  | { readonly step: 'residual-channels'; readonly channels: 'rule' | number; readonly samples: number }
  /**
   * Inputs in blocks of two widths, fixed per block (COMET): 8 bits in those with channels above six times the median,
   * at most a share `most` but one where there are any, or in a share of all; 4 bits, or as asked, in the others.
   */
  | { readonly step: 'mix-blocks'; readonly wide: 'rule' | number; readonly most: number; readonly sort: boolean }
  /** Inputs that never lie below −11/64 are lifted above zero, and take codes without a sign (SVDQuant). */
  | { readonly step: 'shift' }
  /** Smoothing searched on the output error with a branch of `rank` in place: 2·grid − 1 candidates, on so many rows of each input. */
  | { readonly step: 'smooth-search'; readonly grid: number; readonly rank: number; readonly samples: number }
  /** Float branches of at most this rank beside the weights, found again while the output error on so many rows falls. */
  | { readonly step: 'low-rank'; readonly rank: number; readonly rounds: number; readonly samples: number }
  /** Weights as a low-bit part and a float product of low rank, found in turn; errors weighed by the Fisher diagonal over so many sequences (0: alike); formats chosen among these in the bits of the one asked for (none: that one). */
  | { readonly step: 'decompose'; readonly rank: number; readonly rounds: number; readonly sequences: number; readonly formats: readonly string[] }
  /** Ranges of activations, per tensor. */
  | { readonly step: 'observe-ranges'; readonly method: RangeMethod }
  /** Weights of layers that a GELU follows take another floating-point element, with the scales that were asked for. */
  | { readonly step: 'before-gelu'; readonly element: string }
  /** Of floating-point weights: bits of exponent and mantissa as they lose least, per tensor. */
  | { readonly step: 'search-splits' }
  /** Inputs of rounded layers on fixed floating-point grids of so many bits, split and scale searched per tensor. */
  | { readonly step: 'fix-float-inputs'; readonly bits: number }
  /** Weights become codes. */
  | { readonly step: 'round'; readonly rounder: Rounder }
  /** Sample inputs are made from the statistics of batch normalization, and take the place of real ones in what follows. */
  | { readonly step: 'distil'; readonly from: 'pixels' | 'generator'; readonly count: number; readonly iterations: number }
  /** Weights become codes whose rounding is learned, part by part, on sample inputs. */
  | {
    readonly step: 'reconstruct'; readonly unit: 'layer' | 'block'; readonly scales: 'fixed' | 'learned'; readonly drop: boolean;
    readonly iterations: number; readonly push: number;
    /** How the first weight scales are found; `p2.4` unless given. */
    readonly search?: 'amax' | 'mse' | 'p2.4';
    /** Samples per step; 32 unless given. */
    readonly batch?: number;
    /** Roundings move in units of the weight's own step. */
    readonly scaleAware?: boolean;
  }
  /** Channels balanced by factors that are learned with the ranges of weights and inputs, block by block; weights become codes. Needs int weights per channel and int inputs per token. */
  | { readonly step: 'learn-balance'; readonly factors: boolean; readonly ranges: boolean; readonly epochs: number }
  /** Of the sample inputs, those that are no outliers and differ among each other. */
  | { readonly step: 'choose-samples'; readonly clusters: number; readonly perCluster: number }
  /** Attention in low bits: smoothed queries and keys in so many, 8 where a layer's output on the sample inputs is less like the float one than `least`; E4M3 probabilities and values. */
  | { readonly step: 'low-bit-attention'; readonly bits: 4 | 8; readonly least: number }
  /** Output means are restored through the bias. */
  | { readonly step: 'correct-bias' }
  /** Channels of state-space blocks sorted by size, heads alike side by side, in so many clusters of heads and runs of channels. */
  | { readonly step: 'sort-and-cluster'; readonly heads: number; readonly channels: number }
  /** The residual stream turned by eigenvectors and a Hadamard matrix, so that channels have one variance. */
  | { readonly step: 'rotate-klt' }
  /** What the output projections of state-space blocks read, divided by factors that its weights take, `alpha` of the difficulty. */
  | { readonly step: 'smooth-readout'; readonly alpha: number }
  /** What the output projections of state-space blocks read, turned by a Hadamard matrix as the network runs. */
  | { readonly step: 'rotate-readout' }
  /** What step sizes of Mamba-1 are projected from, turned so that its channels have one variance. */
  | { readonly step: 'rotate-step' }
  /** x, B and C of state-space blocks turned around the scan, brought to one size before where asked. */
  | { readonly step: 'rotate-scan'; readonly smooth: boolean }
  /** Everything that state-space blocks compute with on grids of so many bits that data fixed beforehand. */
  | {
    readonly step: 'ssm-scales'; readonly bits: number; readonly clip: 'largest' | 'percentile';
    /** Scales of x and of the states, and of B and C. */
    readonly channels: 'tensor' | 'cluster'; readonly groups: 'tensor' | 'group';
  };

export interface Recipe {
  readonly name: string;
  /** One sentence: what it minimises, or what it is for. */
  readonly summary: string;
  /** Where it was published; absent for everyday baselines. */
  readonly paper?: { readonly title: string; readonly arxiv: string };
  readonly needs: readonly Need[];
  readonly steps: readonly Step[];
  /** What it was made for, formats of weights and after a colon how inputs are treated; the first is taken where none is asked for. Empty when any will do. */
  readonly formats: readonly string[];
  /** Targets whose files can carry the result. */
  readonly exports: readonly ('onnx' | 'gguf' | 'transformers.js' | 'safetensors')[];
}
