/**
 * Weights whose rounding is learned (AdaRound, arXiv:2004.10568): ŵ = s · (clip(u · (⌊w / (s₀ · u)⌋ + h(v)) + z) − z). The
 * distance u of neighbouring levels is 1 for integers and that of its own binade for a floating-point code (FP4DiT,
 * arXiv:2503.15465). The floor is taken once, with the first scale s₀; a scale that is learned beside v only multiplies, so
 * that both can move (Genie, arXiv:2212.04780, section 3.3).
 */
import { tilingOf } from '../formats/granularity.ts';
import { stepAround, type MiniFloat } from '../formats/minifloat-code.ts';
import type { EncodeOptions, NumberFormat, Quantized } from '../formats/format.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';
import { scaleIndexer } from '../formats/symmetric.ts';
import { floatTensor } from '../tensor-ref.ts';
import { compositeDomain } from '../graph/composite.ts';
import { ints } from '../graph/build.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Linear } from '../graph/linear.ts';
import { exp, log } from '../numeric/elementary.ts';
import { squaredDistance } from '../numeric/statistics.ts';
import { rectifiedSigmoid, stretch } from './composites/rectified-sigmoid.ts';

/** h(v). */
export const softRound = (v: number): number => Math.min(1, Math.max(0, stretch.width / (1 + exp(-v)) + stretch.from));

/** The v of which `softRound` is `fraction`, 0 to 1. */
export function softRoundInverse(fraction: number): number {
  const sigmoid = (fraction - stretch.from) / stretch.width;
  return log(sigmoid / (1 - sigmoid));
}

/** Exponent β of the regulariser: 20 for the first fifth of `steps`, in which it is off, then a straight line down to 2. */
export const roundingTemperature = (step: number, steps: number): number => 2 + 18 * Math.min(1, Math.max(0, 1 - (step / steps - 0.2) / 0.8));
/** Whether the regulariser is on at a step. */
export const roundingIsPushed = (step: number, steps: number): boolean => step >= 0.2 * steps;

export interface SoftWeight {
  readonly site: Linear;
  /** Names of the parameters: v [rows, cols], and the scales. */
  readonly rounding: string;
  readonly scale: string;
  /** Mean scale at the start: the unit in which scales move. */
  readonly unit: number;
  /** Distance of the two levels around each weight over the mean of these distances, [rows, cols]. */
  readonly steps: Float32Array;
  /** Values of the graph: h [rows, cols], and ŵ in the shape in which the site reads it. */
  readonly h: string;
  readonly value: string;
  /** Codes with every h at 0 or 1, from the trained parameters. */
  harden(rounding: Float32Array, scale: Float32Array): Quantized;
}

/** Why the rounding of a layer cannot be learned in a format; undefined where it can. */
export function refusesSoftRounding({ kind, rows }: Pick<Linear, 'kind' | 'rows'>, format: NumberFormat): string | undefined {
  if (!isScaled(format) || (format.integer === undefined && floatType(format) === undefined)) return 'neither an integer nor a floating-point format';
  if (format.granularity.kind === 'block' || format.granularity.kind === 'flat') return 'its scales span rows';
  return kind === 'Gather' || kind === 'ConvTranspose' || rows === 0 ? `${kind} is not reconstructed` : undefined;
}

const floatType = (format: ScaledFormat): MiniFloat | undefined => format.symmetric?.grid.type;

/** Appends ŵ of a site, its first scales found by `search`. `format` must not refuse it. */
export async function appendSoftWeight(tape: Tape, site: Linear, format: NumberFormat, search: EncodeOptions['search'] = 'p2.4'): Promise<SoftWeight> {
  const { rows, cols, id } = site;
  const scaled = format as ScaledFormat;
  const type = floatType(scaled);
  const [low, high] = type === undefined ? [scaled.integer!.qmin, scaled.integer!.qmax] : [-type.max, type.max];
  const matrix = await site.weightMatrix();
  const fit = scaled.fit(matrix, rows, cols, { name: id, search });
  const [scaleRows, scaleCols] = fit.scaleShape;
  /** What codes are multiplied with: a scale for the whole tensor stands beside those of blocks. */
  const first = fit.tensorScale === undefined ? fit.scales : fit.scales.map((one) => one * fit.tensorScale!);
  const scales = spread(first, scaled, rows, cols);
  const zeros = spread(fit.zeros ?? new Float32Array(fit.scales.length), scaled, rows, cols);
  const { base, start, units } = softStart(matrix, scales, zeros, type);
  const constant = (name: string, shape: readonly number[], values: Float32Array): string => tape.weight(floatTensor(`${id}/${name}`, shape, values));
  const rounding = constant('rounding', [rows, cols], start);
  const grouped = scaleCols > 1;
  const scale = constant('scale', grouped ? [rows, scaleCols, 1] : [scaleRows, scaleCols], first.slice());
  const [h] = tape.node(rectifiedSigmoid.op, [rounding], { domain: compositeDomain });
  let level = tape.op('Add', [constant('floor', [rows, cols], base), h]);
  if (type !== undefined) level = tape.op('Mul', [level, constant('units', [rows, cols], units)]);
  level = tape.op('Clip', [level, tape.constant(low), tape.constant(high)]);
  if (fit.zeros !== undefined) level = tape.op('Sub', [level, constant('zero', [rows, cols], zeros)]);
  const { tileCols } = tilingOf(scaled.granularity, rows, cols);
  const missing = grouped ? scaleCols * tileCols - cols : 0;
  if (missing > 0) level = tape.op('Pad', [level, tape.ints([0, 0, 0, missing])]);
  if (grouped) level = tape.op('Reshape', [level, tape.ints([rows, scaleCols, tileCols])]);
  let value = tape.op('Mul', [level, scale]);
  if (missing > 0) value = tape.op('Slice', [tape.op('Reshape', [value, tape.ints([rows, scaleCols * tileCols])]), tape.ints([0]), tape.ints([cols]), tape.ints([1])]);
  if (site.transposed) value = tape.op('Transpose', [tape.op('Reshape', [value, tape.ints([rows, cols])])], { perm: ints([1, 0]) });
  value = tape.op('Reshape', [value, tape.ints(site.weight.shape)]);
  const distances = units.map((unit, i) => unit * scales[i]);
  // A group of zeros has a scale that says nothing.
  const told = distances.filter((_, i) => matrix[i] !== 0);
  const mean = told.length === 0 ? 1 : told.reduce((sum, one) => sum + one, 0) / told.length;
  return {
    site, rounding, scale, h, value, unit: first.reduce((sum, one) => sum + one, 0) / first.length, steps: distances.map((one) => one / mean),
    harden(v, learned) {
      const levels = Float32Array.from(v, (one, i) => Math.min(high, Math.max(low, units[i] * (base[i] + (one >= 0 ? 1 : 0)))));
      const codes = low < 0 && type === undefined ? Int8Array.from(levels) : new Uint8Array(levels);
      if (type !== undefined) scaled.symmetric!.grid.encode(levels, 0, levels.length, 1, 'rne', codes, 0);
      const made: Quantized = {
        format: format.name, rows, cols, codes, ...fit, squaredError: 0,
        // A scale that fell through zero would turn its weights round.
        scales: learned.map((one, i) => scaled.scaleType.round(one > 0 ? one / (fit.tensorScale ?? 1) : fit.scales[i])),
      };
      return { ...made, squaredError: squaredDistance(format.decode(made), matrix) };
    },
  };
}

/**
 * ⌊w / (s · u)⌋ + z, the v that gives back what the floor took, and u: 1 for integers, else the distance of the type's
 * numbers around w / s, which is first held within their range.
 */
export function softStart(
  matrix: Float32Array, scales: Float32Array, zeros: Float32Array, type?: MiniFloat,
): { readonly base: Float32Array; readonly start: Float32Array; readonly units: Float32Array } {
  const base = new Float32Array(matrix.length);
  const start = new Float32Array(matrix.length);
  const units = new Float32Array(matrix.length).fill(1);
  for (let i = 0; i < matrix.length; i++) {
    let at = matrix[i] / scales[i];
    if (type !== undefined) {
      at = Math.min(type.max, Math.max(-type.max, at));
      units[i] = stepAround(at, type);
      at /= units[i];
    }
    const floor = Math.floor(at);
    base[i] = floor + zeros[i];
    start[i] = softRoundInverse(at - floor);
  }
  return { base, start, units };
}

/** One number per scale repeated over the values that it belongs to, [rows, cols]. */
function spread(values: ArrayLike<number>, { granularity }: ScaledFormat, rows: number, cols: number): Float32Array {
  const index = scaleIndexer(tilingOf(granularity, rows, cols), rows, cols);
  return Float32Array.from({ length: rows * cols }, (_, i) => values[index(Math.floor(i / cols), i % cols)]);
}
