/**
 * NF of any width with nested scales (LQ-LoRA, arXiv:2311.12023, section 3.1): quantiles of a normal, blocks of the
 * flattened matrix with the extreme value as scale, and the scales less their smallest as unsigned codes of a few bits,
 * relative to the largest of a super-block. Values are coded with the scales as they are decoded. What is decoded is
 * float32(float32(float32(u · t) / (2^b − 1)) + offset), one rounding per operation, so that any engine computes the same.
 */
import { inverseNormal } from '../numeric/random.ts';
import type { NumberFormat, Quantized } from './format.ts';
import { spellGranularity, tilingOf } from './granularity.ts';
import { tableGrid } from './grid.ts';
import { nf4Table } from './normal-float.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import { checkInput, type Fit, type ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';
import { extremesOf } from './tile-measure.ts';

/** The last quantile of the tables of QLoRA. */
const extreme = 0.9677083;

/** The 2^bits levels, ascending from −1 to 1, one of them 0; at 4 bits the table of bitsandbytes. */
export function normalFloatTable(bits: number): readonly number[] {
  if (bits === 4) return nf4Table;
  const half = 2 ** (bits - 1);
  const most = inverseNormal(extreme);
  const level = (p: number): number => inverseNormal(p) / most;
  const below = Array.from({ length: half - 1 }, (_, i) => -level(extreme + ((0.5 - extreme) * i) / (half - 1)));
  const above = Array.from({ length: half }, (_, i) => level(0.5 + ((extreme - 0.5) * (i + 1)) / half));
  return [...below, 0, ...above];
}

export interface NestedScales {
  /** Bits of a scale's code. */
  readonly bits: number;
  /** Scales that share a largest one. */
  readonly block: number;
  /** What the largest ones are stored as. */
  readonly type: ScaleType;
}

export interface NestedFormat extends ScaledFormat { readonly nested: NestedScales }

export const isNested = (format: NumberFormat): format is NestedFormat => 'nested' in format;

/** `block` values of the flattened matrix share a scale. */
export function nestedNormalFloat(bits: number, block: number, nested: NestedScales): NestedFormat {
  const granularity = { kind: 'flat', size: block } as const;
  const name = `nf${bits}/${spellGranularity(granularity)}${nested.type === scaleTypes.f32 ? '' : `@${nested.type.name}`}+nested${nested.bits}x${nested.block}`;
  const plain = symmetricFormat({ name, family: 'codebook', grid: tableGrid(bits, normalFloatTable(bits)), granularity, scaleType: scaleTypes.f32 });
  const fit: ScaledFormat['fit'] = (values, rows, cols, options) => {
    checkInput(values, rows, cols, options);
    const tiling = tilingOf(granularity, rows, cols);
    return nestScales({ scales: Float32Array.from(extremesOf(values, tiling)), scaleShape: tiling.shape }, nested);
  };
  return {
    ...plain, nested, fit, symmetric: undefined,
    bitsPerWeight(rows, cols) {
      const n = Math.max(1, rows * cols);
      const scales = Math.ceil(n / block);
      return bits + (scales * nested.bits + Math.ceil(scales / nested.block) * nested.type.bits + 32) / n;
    },
    encode: (values, rows, cols, options): Quantized => plain.encodeWith(values, rows, cols, fit(values, rows, cols, options), options),
  };
}

/** What codes of scales decode to: one of `count` equal steps of the largest scale of the super-block, above the offset. */
export const nestedScale = (code: number, largest: number, steps: number, offset: number): number =>
  Math.fround(Math.fround(Math.fround(code * largest) / steps) + offset);

function nestScales(fit: Fit, { bits, block, type }: NestedScales): Fit {
  const { scales } = fit;
  const steps = 2 ** bits - 1;
  const offset = scales.reduce((least, s) => Math.min(least, s), Infinity);
  const codes = new Uint8Array(scales.length);
  const largest = new Float32Array(Math.ceil(scales.length / block));
  const decoded = new Float32Array(scales.length);
  for (let b = 0; b < largest.length; b++) {
    const end = Math.min(scales.length, (b + 1) * block);
    let most = 0;
    for (let i = b * block; i < end; i++) most = Math.max(most, Math.fround(scales[i] - offset));
    largest[b] = most === 0 ? 0 : type.round(most);
    for (let i = b * block; i < end; i++) {
      codes[i] = most === 0 ? 0 : Math.min(steps, nearestEven((Math.fround(scales[i] - offset) / largest[b]) * steps));
      decoded[i] = nestedScale(codes[i], largest[b], steps, offset);
    }
  }
  return { ...fit, scales: decoded, doubleQuantized: { codes, map: Float32Array.from({ length: steps + 1 }, (_, u) => u / steps), scales: largest, block, offset } };
}

/** Of a number from 0 to 2^51. */
const nearestEven = (x: number): number => x + 4503599627370496 - 4503599627370496;
