/**
 * Integers of two widths along a row, `int4/g128+int8at3.7`: groups 3 and 7 of every row take 8 bits, the others 4
 * (COMET, arXiv:2410.12168). Made for inputs of layers, whose large channels are put together in few groups.
 */
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import { checkInput, type ScaledFormat } from './scaled.ts';

export interface MixedFormat extends NumberFormat {
  /** Formats with one granularity, and the groups of a row that take the wide one, ascending. */
  readonly mixed: { readonly narrow: ScaledFormat; readonly wide: ScaledFormat; readonly groups: readonly number[] };
}

export const isMixed = (format: NumberFormat): format is MixedFormat => 'mixed' in format;

/** Stretches of one width in a row of `cols` values: [begin, end). */
export function mixedRuns({ mixed: { narrow, wide, groups } }: MixedFormat, cols: number): { readonly begin: number; readonly end: number; readonly format: ScaledFormat }[] {
  const runs: { begin: number; end: number; format: ScaledFormat }[] = [];
  for (let begin = 0, group = 0; begin < cols; begin += narrow.group, group++) {
    const format = groups.includes(group) ? wide : narrow;
    const last = runs.at(-1);
    const end = Math.min(cols, begin + narrow.group);
    if (last?.format === format) last.end = end;
    else runs.push({ begin, end, format });
  }
  return runs;
}

/** `groups` in any order; one that a row does not have changes nothing. */
export function mixedFormat(narrow: ScaledFormat, wide: ScaledFormat, groups: readonly number[]): MixedFormat {
  const sorted = [...new Set(groups)].sort((a, b) => a - b);
  const format: MixedFormat = {
    name: `${narrow.name}+int${wide.bits}at${sorted.join('.')}`, family: 'integer', bits: wide.bits, group: narrow.group, mixed: { narrow, wide, groups: sorted },
    bitsPerWeight(rows, cols) {
      const bits = mixedRuns(format, cols).reduce((sum, run) => sum + run.format.bits * (run.end - run.begin), 0);
      return bits / Math.max(1, cols) + narrow.bitsPerWeight(rows, cols) - narrow.bits;
    },
    refuses: () => 'two widths in a row are for inputs of layers',
    encode(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Quantized {
      checkInput(values, rows, cols, options);
      const [low, high] = [narrow.encode(values, rows, cols, options), wide.encode(values, rows, cols, options)];
      const [codes, scales] = [low.codes.slice(), low.scales.slice()];
      const count = low.scaleShape[1];
      for (const group of sorted.filter((one) => one < count)) {
        for (let row = 0; row < rows; row++) {
          const [begin, end] = [row * cols + group * narrow.group, row * cols + Math.min(cols, (group + 1) * narrow.group)];
          codes.set(high.codes.subarray(begin, end), begin);
          scales[row * count + group] = high.scales[row * count + group];
        }
      }
      const quantized = { ...low, format: format.name, codes, scales, squaredError: 0 };
      return { ...quantized, squaredError: squaredDistance(format.decode(quantized), values) };
    },
    // Levels of both are the codes themselves.
    decode: (quantized) => wide.decode({ ...quantized, format: wide.name }),
  };
  return format;
}
