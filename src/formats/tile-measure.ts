/** What scales do to one tile of a matrix: its extreme, its mean magnitude, the error of a scale, the least-squares scale. */
import type { EncodeOptions } from './format.ts';
import type { Tiling } from './granularity.ts';
import type { Codes, Grid } from './grid.ts';
import { power24 } from './scale-search.ts';

/** Largest magnitude per tile, row-major like the scales. */
export function extremesOf(values: Float32Array, tiling: Tiling): Float32Array {
  const { rows, cols, tileRows, tileCols, shape } = tiling;
  const extremes = new Float32Array(shape[0] * shape[1]);
  for (let row = 0; row < rows; row++) {
    let at = Math.floor(row / tileRows) * shape[1];
    for (let c = 0; c < cols; c += tileCols) {
      const end = row * cols + Math.min(c + tileCols, cols);
      let max = extremes[at];
      for (let i = row * cols + c; i < end; i++) {
        const a = Math.abs(values[i]);
        if (a > max) max = a;
      }
      extremes[at++] = max;
    }
  }
  return extremes;
}

/** A tile gathered into one run, with its importances. */
export interface LoadedTile {
  readonly values: Float32Array;
  readonly weights: Float32Array | undefined;
}

/** Makes a function that gathers tile number `at`; its result is valid until the next call. `cols` is the matrix's own width. */
export function tileLoader(values: Float32Array, tiling: Tiling, cols: number, importance?: Float32Array): (at: number) => LoadedTile {
  const { rows, cols: width, tileRows, tileCols, shape } = tiling;
  const size = Math.min(tileRows, rows) * Math.min(tileCols, width);
  let gathered: Float32Array | undefined;
  let weights: Float32Array | undefined;
  return (at) => {
    const firstRow = Math.floor(at / shape[1]) * tileRows;
    const col = (at % shape[1]) * tileCols;
    const length = Math.min(tileCols, width - col);
    const height = Math.min(tileRows, rows - firstRow);
    let tile: Float32Array;
    if (height === 1) tile = values.subarray(firstRow * width + col, firstRow * width + col + length);
    else {
      gathered ??= new Float32Array(size);
      tile = gathered.subarray(0, height * length);
      for (let r = 0; r < height; r++) {
        const from = (firstRow + r) * width + col;
        tile.set(values.subarray(from, from + length), r * length);
      }
    }
    if (importance) {
      weights ??= new Float32Array(size);
      for (let r = 0, k = 0; r < height; r++) {
        let c = ((firstRow + r) * width + col) % cols;
        for (let j = 0; j < length; j++) {
          weights[k++] = importance[c];
          if (++c === cols) c = 0;
        }
      }
    }
    return { values: tile, weights };
  };
}

export interface TileMeasure {
  load(at: number): void;
  absMean(): number;
  /** Σ w·|x̂ − x|^p of the loaded tile, in units that are the same for all its scales; stops once above `best`. */
  error(this: void, scale: number, best: number): number;
  /** The scale that minimises Σ w·(x̂ − x)² for the codes that `scale` gives. */
  refit(this: void, scale: number): number;
}

/** Values between two looks at the running error. */
const stride = 64;

export function tileMeasure(
  grid: Grid, values: Float32Array, tiling: Tiling, cols: number, tensorScale: number | undefined, options: EncodeOptions,
): TileMeasure {
  const { levels } = grid;
  const load = tileLoader(values, tiling, cols, options.importance);
  const rounding = options.rounding ?? 'rne';
  const squared = options.search !== 'p2.4';
  let tile = values;
  let weights: Float32Array | undefined;
  let codes: Codes = new Int8Array(0);
  /** One over the mean magnitude: keeps powers of distances within range. */
  let unit = 1;

  const effective = (scale: number) => (tensorScale === undefined ? scale : Math.fround(scale * tensorScale));
  const encode = (begin: number, end: number, scale: number) => {
    if (scale > 0) grid.encode(tile, begin, end, scale, rounding, codes, begin);
    else codes.fill(0, begin, end);
  };
  const absMean = () => {
    let sum = 0;
    for (let i = 0; i < tile.length; i++) sum += Math.abs(tile[i]);
    return sum / tile.length;
  };

  return {
    load(at) {
      ({ values: tile, weights } = load(at));
      if (codes.length < tile.length) codes = grid.signedCodes ? new Int8Array(tile.length) : new Uint8Array(tile.length);
      unit = squared ? 1 : 1 / absMean();
    },
    absMean,
    error(scale, best) {
      const s = effective(scale);
      let sum = 0;
      if (squared && s > 0 && rounding === 'rne' && grid.squaredError !== undefined) {
        for (let begin = 0; begin < tile.length && !(sum > best); begin += stride) {
          sum = grid.squaredError(tile, begin, Math.min(begin + stride, tile.length), s, weights, sum);
        }
        return sum;
      }
      for (let begin = 0; begin < tile.length; begin += stride) {
        const end = Math.min(begin + stride, tile.length);
        encode(begin, end, s);
        for (let i = begin; i < end; i++) {
          const d = (Math.fround(s * levels[codes[i] & 0xff]) - tile[i]) * unit;
          const e = squared ? d * d : power24(d);
          sum += weights === undefined ? e : e * weights[i];
        }
        if (sum > best) return sum;
      }
      return sum;
    },
    refit(scale) {
      encode(0, tile.length, effective(scale));
      let xq = 0;
      let qq = 0;
      for (let i = 0; i < tile.length; i++) {
        const level = levels[codes[i] & 0xff];
        const w = weights === undefined ? 1 : weights[i];
        xq += w * tile[i] * level;
        qq += w * level * level;
      }
      return qq > 0 && xq > 0 ? xq / qq / (tensorScale ?? 1) : scale;
    },
  };
}
