/**
 * Weights whose rounding is learned (AdaRound, arXiv:2004.10568): ŵ = s · (clip(⌊w / s₀⌋ + h(v) + z) − z). The floor is taken
 * once, with the first scale s₀; a scale that is learned beside v only multiplies, so that both can move (Genie,
 * arXiv:2212.04780, section 3.3).
 */
import type { Quantized } from '../formats/format.ts';
import { isScaled, type Fit, type ScaledFormat } from '../formats/scaled.ts';
import type { NumberFormat } from '../formats/format.ts';
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
  /** Values of the graph: h [rows, cols], and ŵ in the shape in which the site reads it. */
  readonly h: string;
  readonly value: string;
  /** Codes with every h at 0 or 1, from the trained parameters. */
  harden(rounding: Float32Array, scale: Float32Array): Quantized;
}

/** Why the rounding of a layer cannot be learned in a format; undefined where it can. */
export function refusesSoftRounding({ kind, cols, rows }: Pick<Linear, 'kind' | 'cols' | 'rows'>, format: NumberFormat): string | undefined {
  if (!isScaled(format) || format.integer === undefined) return 'not an integer format';
  if (format.granularity.kind === 'block' || format.granularity.kind === 'flat') return 'its scales span rows';
  if (format.granularity.kind === 'group' && cols % format.granularity.size !== 0) return `rows of ${cols} do not end with a group`;
  return kind === 'Gather' || kind === 'ConvTranspose' || rows === 0 ? `${kind} is not reconstructed` : undefined;
}

/** Appends ŵ of a site. `format` must not refuse it. */
export async function appendSoftWeight(tape: Tape, site: Linear, format: NumberFormat): Promise<SoftWeight> {
  const { rows, cols, id } = site;
  const scaled = format as ScaledFormat;
  const { qmin, qmax } = scaled.integer!;
  const matrix = await site.weightMatrix();
  const fit = scaled.fit(matrix, rows, cols, { name: id, search: 'p2.4' });
  const [scaleRows, scaleCols] = fit.scaleShape;
  const zeros = spread(fit.zeros ?? new Float32Array(fit.scales.length), fit, rows, cols);
  const { base, start } = softStart(matrix, spread(fit.scales, fit, rows, cols), zeros);
  const constant = (name: string, shape: readonly number[], values: Float32Array): string => tape.weight(floatTensor(`${id}/${name}`, shape, values));
  const rounding = constant('rounding', [rows, cols], start);
  const grouped = scaleCols > 1;
  const scale = constant('scale', grouped ? [rows, scaleCols, 1] : [scaleRows, scaleCols], fit.scales.slice());
  const [h] = tape.node(rectifiedSigmoid.op, [rounding], { domain: compositeDomain });
  let code = tape.op('Clip', [tape.op('Add', [constant('floor', [rows, cols], base), h]), tape.constant(qmin), tape.constant(qmax)]);
  if (fit.zeros !== undefined) code = tape.op('Sub', [code, constant('zero', [rows, cols], zeros)]);
  if (grouped) code = tape.op('Reshape', [code, tape.ints([rows, scaleCols, cols / scaleCols])]);
  let value = tape.op('Mul', [code, scale]);
  if (site.transposed) value = tape.op('Transpose', [tape.op('Reshape', [value, tape.ints([rows, cols])])], { perm: ints([1, 0]) });
  value = tape.op('Reshape', [value, tape.ints(site.weight.shape)]);
  return {
    site, rounding, scale, h, value, unit: fit.scales.reduce((sum, one) => sum + one, 0) / fit.scales.length,
    harden(v, scales) {
      const codes = qmin < 0 ? new Int8Array(v.length) : new Uint8Array(v.length);
      for (let i = 0; i < v.length; i++) codes[i] = Math.min(qmax, Math.max(qmin, base[i] + (v[i] >= 0 ? 1 : 0)));
      const made: Quantized = {
        format: format.name, rows, cols, codes, scaleShape: fit.scaleShape, squaredError: 0,
        // A scale that fell through zero would turn its weights round.
        scales: scales.map((one, i) => scaled.scaleType.round(one > 0 ? one : fit.scales[i])),
        ...(fit.zeros === undefined ? {} : { zeros: fit.zeros }),
      };
      return { ...made, squaredError: squaredDistance(format.decode(made), matrix) };
    },
  };
}

/** ⌊w / s⌋ + z, and the v that gives back what the floor took. */
export function softStart(matrix: Float32Array, scales: Float32Array, zeros: Float32Array): { readonly base: Float32Array; readonly start: Float32Array } {
  const base = new Float32Array(matrix.length);
  const start = new Float32Array(matrix.length);
  for (let i = 0; i < matrix.length; i++) {
    const at = matrix[i] / scales[i];
    const floor = Math.floor(at);
    base[i] = floor + zeros[i];
    start[i] = softRoundInverse(at - floor);
  }
  return { base, start };
}

/** One number per scale repeated over the values that it belongs to, [rows, cols]. */
function spread(values: ArrayLike<number>, { scaleShape: [scaleRows, scaleCols] }: Fit, rows: number, cols: number): Float32Array {
  const size = cols / scaleCols;
  return Float32Array.from({ length: rows * cols }, (_, i) => values[(scaleRows === 1 ? 0 : Math.floor(i / cols)) * scaleCols + Math.floor((i % cols) / size)]);
}
