/**
 * The engine of formats without zero points: a grid of levels, tiles that share a scale, a type for scales,
 * and optionally one more multiplier for the whole tensor (NVFP4).
 */
import { exponentOf, powerOfTwo } from '../numeric/elementary.ts';
import { absMax, squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import { groupOf, tilingOf, type Granularity, type Tiling } from './granularity.ts';
import type { Grid } from './grid.ts';
import { defaultLadder, octaveLadder, searchScale } from './scale-search.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import { checkInput, errors, type Fit, type ScaledFormat } from './scaled.ts';
import { extremesOf, tileMeasure } from './tile-measure.ts';

export interface SymmetricSpec {
  readonly name: string;
  readonly family: NumberFormat['family'];
  readonly grid: Grid;
  readonly granularity: Granularity;
  readonly scaleType: ScaleType;
  /** A float32 multiplier amax / (grid.max · scaleType.max) over the whole tensor, so that block scales use their type's range. */
  readonly tensorScale?: boolean;
  /** The amax rule divides the extreme value by this; `grid.max` unless given. */
  readonly divisor?: number;
  /** Scale from the mean magnitude instead of the extreme value. */
  readonly absMean?: boolean;
  readonly scaleRule?: EncodeOptions['scaleRule'];
  /** Reported with the format when codes are plain integers. */
  readonly integer?: ScaledFormat['integer'];
}

type Rule = NonNullable<EncodeOptions['scaleRule']>;

export function symmetricFormat(spec: SymmetricSpec): ScaledFormat {
  const { grid, granularity, scaleType } = spec;
  const powers = scaleType === scaleTypes.e8m0;
  const rules: readonly Rule[] = powers ? ['floor', 'ceil', 'even', 'search'] : grid.max === 6 ? ['fourOverSix'] : [];

  function ruleOf(options: EncodeOptions): Rule | undefined {
    const rule = options.scaleRule ?? spec.scaleRule;
    if (rule !== undefined && !rules.includes(rule)) {
      throw errors.scaleRule({ rule, format: spec.name, fits: rules.length > 0 ? rules.join(', ') : 'none' });
    }
    return rule ?? (powers ? 'floor' : undefined);
  }

  function fit(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Fit {
    checkInput(values, rows, cols, options);
    const rule = ruleOf(options);
    const tiling = tilingOf(granularity, rows, cols);
    const scales = new Float32Array(tiling.shape[0] * tiling.shape[1]);
    const tensorScale = spec.tensorScale ? tensorScaleOf(absMax(values), grid.max, scaleType) : undefined;
    const searched = options.search === 'mse' || options.search === 'p2.4';
    const measures = searched || rule === 'search' || rule === 'fourOverSix';
    const tile = tileMeasure(grid, values, tiling, cols, tensorScale, options);
    const extremes = extremesOf(values, tiling);
    const divisor = spec.divisor ?? grid.max;
    const stored = (raw: number) => scaleType.round(tensorScale === undefined ? raw : Math.fround(raw / tensorScale));

    for (let at = 0; at < scales.length; at++) {
      const amax = extremes[at];
      if (amax === 0) {
        // A sign has no code for zero, so its scale must be.
        scales[at] = grid.bits === 1 ? 0 : 1;
        continue;
      }
      if (measures || spec.absMean) tile.load(at);
      let scale: number;
      if (powers) scale = powerScale(amax, grid, rule ?? 'floor');
      else scale = stored(Math.fround((spec.absMean ? Math.fround(tile.absMean()) : amax) / divisor));
      if (rule === 'search' || rule === 'fourOverSix') {
        const other = rule === 'search' ? scaleType.round(scale * 2) : stored(Math.fround(amax / 4));
        if (tile.error(other, Infinity) < tile.error(scale, Infinity)) scale = other;
      }
      if (searched) {
        scale = searchScale({
          start: scale, ladder: powers ? octaveLadder : defaultLadder, round: scaleType.round, error: tile.error,
          refit: options.search === 'mse' ? tile.refit : undefined,
        }).scale;
      }
      scales[at] = scale;
    }
    return { scales, scaleShape: tiling.shape, ...(tensorScale === undefined ? {} : { tensorScale }) };
  }

  function encodeWith(values: Float32Array, rows: number, cols: number, fitted: Fit, options: EncodeOptions = {}): Quantized {
    const codes = grid.signedCodes ? new Int8Array(values.length) : new Uint8Array(values.length);
    const tiling = tilingOf(granularity, rows, cols);
    const rounding = options.rounding ?? 'rne';
    forEachRun(tiling, (begin, end, scaleAt) => {
      const scale = effectiveScale(fitted, scaleAt);
      if (scale > 0 || grid.bits === 1) grid.encode(values, begin, end, scale, rounding, codes, begin);
    });
    const quantized = { format: spec.name, rows, cols, codes, ...fitted, squaredError: 0 };
    return { ...quantized, squaredError: squaredDistance(decode(quantized), values) };
  }

  function decode(quantized: Quantized): Float32Array {
    const { rows, cols, codes } = quantized;
    if (codes.length !== rows * cols) throw errors.codesMismatch({ format: spec.name, length: codes.length, rows, cols });
    const out = new Float32Array(rows * cols);
    const { levels } = grid;
    forEachRun(tilingOf(granularity, rows, cols), (begin, end, scaleAt) => {
      const scale = effectiveScale(quantized, scaleAt);
      for (let i = begin; i < end; i++) out[i] = scale * levels[codes[i] & 0xff];
    });
    return out;
  }

  return {
    name: spec.name, family: spec.family, bits: grid.bits, group: groupOf(granularity), granularity, scaleType, symmetric: spec,
    ...(spec.integer === undefined ? {} : { integer: spec.integer }),
    bitsPerWeight(rows, cols) {
      const [r, c] = tilingOf(granularity, rows, cols).shape;
      return grid.bits + (r * c * scaleType.bits + (spec.tensorScale ? 32 : 0)) / Math.max(1, rows * cols);
    },
    refuses: () => undefined,
    fit, encodeWith, decode,
    encode: (values, rows, cols, options) => encodeWith(values, rows, cols, fit(values, rows, cols, options), options),
    rounder(fitted, rows, cols) {
      const scaleIndex = scaleIndexer(tilingOf(granularity, rows, cols), rows, cols);
      const one = new Float32Array(1);
      const code = grid.signedCodes ? new Int8Array(1) : new Uint8Array(1);
      return {
        code(x, row, col) {
          const scale = effectiveScale(fitted, scaleIndex(row, col));
          if (!(scale > 0) && grid.bits !== 1) return 0;
          one[0] = x;
          grid.encode(one, 0, 1, scale, 'rne', code, 0);
          return code[0];
        },
        value: (q, row, col) => Math.fround(effectiveScale(fitted, scaleIndex(row, col)) * grid.levels[q & 0xff]),
      };
    },
  };
}

/** What codes of a tile are multiplied with. */
function effectiveScale({ scales, tensorScale }: Pick<Fit, 'scales' | 'tensorScale'>, at: number): number {
  return tensorScale === undefined ? scales[at] : Math.fround(scales[at] * tensorScale);
}

function tensorScaleOf(amax: number, max: number, scaleType: ScaleType): number {
  return amax === 0 ? 1 : Math.max(Math.fround(amax / (max * scaleType.max)), 2 ** -149);
}

/** The power-of-two scale of a block by the named rule; `search` starts from `floor`. OCP MX v1.0, section 6.3. */
export function powerScale(amax: number, grid: Pick<Grid, 'emax' | 'max' | 'mantissaBits'>, rule: Rule): number {
  let exponent = exponentOf(amax) - grid.emax;
  if (rule === 'even' && amax / powerOfTwo(exponentOf(amax)) + 2 ** -(grid.mantissaBits + 1) >= 2) exponent++;
  if (rule === 'ceil' && amax > grid.max * powerOfTwo(exponent)) exponent++;
  return powerOfTwo(Math.min(127, Math.max(-127, exponent)));
}

/** Calls with every contiguous run of values that share a scale, in index order within a tile row. */
export function forEachRun(tiling: Tiling, run: (begin: number, end: number, scaleAt: number) => void): void {
  const { rows, cols, tileRows, tileCols, shape } = tiling;
  for (let row = 0; row < rows; row++) {
    let scaleAt = Math.floor(row / tileRows) * shape[1];
    for (let c = 0; c < cols; c += tileCols) {
      run(row * cols + c, row * cols + Math.min(c + tileCols, cols), scaleAt++);
    }
  }
}

/** Index of the scale of a value; `rows` and `cols` of the matrix itself. */
export function scaleIndexer(tiling: Tiling, rows: number, cols: number): (row: number, col: number) => number {
  if (tiling.rows !== rows || tiling.cols !== cols) return (row, col) => Math.floor((row * cols + col) / tiling.tileCols);
  return (row, col) => Math.floor(row / tiling.tileRows) * tiling.shape[1] + Math.floor(col / tiling.tileCols);
}
