/**
 * The numbers that codes stand for at scale 1: evenly spaced (integers), floating point, or a table.
 * A grid rounds whole runs of values, so that the loops stay tight.
 */
import type { Rounding } from '../numeric/rounding.ts';
import { exponentOf } from '../numeric/elementary.ts';
import { encodeMiniFloats, type MiniFloat } from './minifloat-code.ts';

export interface Grid {
  readonly bits: number;
  /** Codes are two's complement (Int8Array) rather than bit patterns or indices (Uint8Array). */
  readonly signedCodes: boolean;
  /** Value by `code & 0xff`, 256 entries. */
  readonly levels: Float32Array;
  /** Largest magnitude that both signs reach without clipping. */
  readonly max: number;
  /** floor(log2 max), the element exponent of the microscaling rule. */
  readonly emax: number;
  /** Mantissa bits, for the `even` rule of microscaling. */
  readonly mantissaBits: number;
  /** Of evenly spaced levels: least and largest code, and what a code counts. */
  readonly uniform?: { readonly qmin: number; readonly qmax: number; readonly step: number };
  /** Of floating-point levels. */
  readonly type?: MiniFloat;
  /** Codes of float32(values[i] / scale), i in [begin, end), written to `codes` from `at` on. */
  encode(values: Float32Array, begin: number, end: number, scale: number, rounding: Rounding, codes: Codes, at: number): void;
  /** Σ weight·(decoded − value)² of the nearest codes, ties to even, from `sum` on: what scale searches ask most, without codes. */
  squaredError?(values: Float32Array, begin: number, end: number, scale: number, weights: Float32Array | undefined, sum: number): number;
}
export type Codes = Int8Array | Uint8Array;

/** 1.5·2^52: adding and subtracting it rounds |x| < 2^51 to nearest even. */
const magic = 6755399441055744;

/** Integers qmin..qmax times `step`. */
export function uniformGrid(bits: number, qmin: number, qmax: number, step = 1): Grid {
  const levels = new Float32Array(256);
  for (let q = qmin; q <= qmax; q++) levels[q & 0xff] = q * step;
  const inverse = 1 / step;
  const max = qmax * step;
  return {
    bits, signedCodes: true, levels, max, emax: exponentOf(max), mantissaBits: bits - 2, uniform: { qmin, qmax, step },
    encode(values, begin, end, scale, rounding, codes, at) {
      if (rounding === 'rne') {
        for (let i = begin; i < end; i++) {
          let v = Math.fround(values[i] / scale) * inverse;
          if (v < qmin) v = qmin;
          else if (v > qmax) v = qmax;
          codes[at++] = v + magic - magic;
        }
        return;
      }
      for (let i = begin; i < end; i++) {
        const v = Math.fround(values[i] / scale) * inverse;
        const q = Math.floor(Math.abs(v) + 0.5);
        codes[at++] = v < 0 ? (-q < qmin ? qmin : -q) : q > qmax ? qmax : q;
      }
    },
    squaredError(values, begin, end, scale, weights, sum) {
      for (let i = begin; i < end; i++) {
        const x = values[i];
        let v = Math.fround(x / scale) * inverse;
        if (v < qmin) v = qmin;
        else if (v > qmax) v = qmax;
        const d = Math.fround(scale * ((v + magic - magic) * step)) - x;
        sum += weights === undefined ? d * d : d * d * weights[i];
      }
      return sum;
    },
  };
}

/** All finite values of a floating-point type. */
export function floatGrid(type: MiniFloat): Grid {
  return {
    bits: type.bits, signedCodes: false, levels: type.values, max: type.max, emax: exponentOf(type.max), mantissaBits: type.mantissaBits, type,
    encode(values, begin, end, scale, rounding, codes, at) {
      encodeMiniFloats(values, begin, end, scale, type, rounding, codes, at);
    },
  };
}

/** A table of ascending values; nearest entry, ties to the lower index. `rounding` has no meaning here. */
export function tableGrid(bits: number, table: readonly number[] | Float32Array): Grid {
  const levels = new Float32Array(256);
  levels.set(table);
  const bounds = boundariesOf(levels, 0, table.length);
  const max = Math.max(Math.abs(table[0]), Math.abs(table[table.length - 1]));
  return {
    bits, signedCodes: false, levels, max, emax: exponentOf(max), mantissaBits: bits - 2,
    encode(values, begin, end, scale, _rounding, codes, at) {
      for (let i = begin; i < end; i++) codes[at++] = indexBelow(bounds, Math.fround(values[i] / scale));
    },
  };
}

/** The sign: codes −1 and +1, zero counts as positive. */
export const signGrid: Grid = {
  bits: 1, signedCodes: true, levels: signLevels(), max: 1, emax: 0, mantissaBits: 0,
  encode(values, begin, end, _scale, _rounding, codes, at) {
    for (let i = begin; i < end; i++) codes[at++] = values[i] < 0 ? -1 : 1;
  },
};

function signLevels(): Float32Array {
  const levels = new Float32Array(256);
  levels[1] = 1;
  levels[255] = -1;
  return levels;
}

/** Midpoints between the `count` ascending levels from `at` on, in float64. */
export function boundariesOf(levels: Float32Array, at: number, count: number): Float64Array {
  const bounds = new Float64Array(count - 1);
  for (let i = 0; i + 1 < count; i++) bounds[i] = (levels[at + i] + levels[at + i + 1]) / 2;
  return bounds;
}

/** Number of boundaries below x: the index of the nearest level, a tie going to the lower one. */
export function indexBelow(bounds: Float64Array, x: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x > bounds[middle]) low = middle + 1;
    else high = middle;
  }
  return low;
}
