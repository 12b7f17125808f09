/**
 * What a number format is: how many bits it costs and how values become codes and come back.
 * Pure and deterministic: same values, same bytes, on every machine (only + − × ÷ and square root,
 * rounded to float32 where the reference rounds).
 */
import type { BlockType } from '../tensor-ref.ts';

/** How one matrix was quantized. Codes are unpacked (one per byte) unless the format is a ggml block type. */
export interface Quantized {
  /** Canonical spelling of the format. */
  readonly format: string;
  readonly rows: number;
  readonly cols: number;
  /**
   * Integer formats: the signed or unsigned integer. Minifloats: the bit pattern. Codebooks: the index.
   * Row-major [rows, cols]; empty for ggml block types. Floats: their little-endian bytes, [rows, cols · bytes].
   */
  readonly codes: Int8Array | Uint8Array;
  /** One scale per group, row-major [scaleRows, scaleCols] (a tensor scale is [1, 1], a channel scale [rows, 1]). */
  readonly scales: Float32Array;
  readonly scaleShape: readonly [rows: number, cols: number];
  /** Zero points, same layout as `scales`; absent for symmetric formats. */
  readonly zeros?: Int8Array | Uint8Array | Float32Array;
  /** Second-level multiplier (NVFP4's tensor scale); absent means 1. */
  readonly tensorScale?: number;
  /** Levels that `codes` index, ascending, one set per scale, [scaleRows · scaleCols, levels]; absent when the format fixes them. */
  readonly codebook?: Float32Array;
  /** Scales that were quantized themselves (NF4's double quantization); `scales` then holds what they decode to. */
  readonly doubleQuantized?: {
    /** One per scale: index into `map`. */
    readonly codes: Uint8Array;
    readonly map: Float32Array;
    /** One per `block` scales. */
    readonly scales: Float32Array;
    readonly block: number;
    /** Added to every scale: their mean. */
    readonly offset: number;
  };
  /** Packed bytes of a ggml block type, row by row. */
  readonly blocks?: Uint8Array;
  /** Sum over all values of (decoded − value)², accumulated in float64 in index order. */
  readonly squaredError: number;
}

export interface EncodeOptions {
  /** Importance of each input column, length cols (mean of squared activations); steers searches. */
  readonly importance?: Float32Array;
  /**
   * How scales are found: from the extreme value (`amax`, the default), or searched to minimise the squared
   * error (`mse`), the error to the power 2.4 (`p2.4`), weighted by importance where given.
   */
  readonly search?: 'amax' | 'mse' | 'p2.4';
  /** Round codes to nearest-even (default) or half away from zero. */
  readonly rounding?: 'rne' | 'rhaz';
  /** Exponent rule of microscaling formats; `fourOverSix` is for NVFP4. */
  readonly scaleRule?: 'floor' | 'ceil' | 'even' | 'search' | 'fourOverSix';
  /** Tensor name, for error messages. */
  readonly name?: string;
}

export interface NumberFormat {
  /** Canonical spelling, such as `int4/g128`; parses back to an equal format. */
  readonly name: string;
  readonly family: 'float' | 'integer' | 'minifloat' | 'microscaling' | 'codebook' | 'binary' | 'ggml';
  /** Bits of one code. */
  readonly bits: number;
  /** Values that share a scale along the row; `Infinity` for channel and tensor scales. */
  readonly group: number;
  /** Set for ggml block types. */
  readonly blockType?: BlockType;
  /** Bits per weight for a [rows, cols] matrix, scales, zero points and codebooks counted. */
  bitsPerWeight(rows: number, cols: number): number;
  /** Why a matrix of this width cannot take the format, or undefined when it can. */
  refuses(rows: number, cols: number): string | undefined;
  /** Quantizes a row-major [rows, cols] matrix whose rows run along the reduction axis. Throws on NaN or infinity. */
  encode(values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Quantized;
  /** The values that an engine computes with, row-major [rows, cols]. */
  decode(quantized: Quantized): Float32Array;
}
