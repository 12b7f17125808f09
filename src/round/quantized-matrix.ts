/**
 * A weight matrix as codes that are made when they are read: what every exporter takes. Data-free rounders work row by
 * row, so a matrix of any size passes in tiles; rounders that need the whole matrix hold their result.
 */
import type { EncodeOptions, NumberFormat, Quantized } from '../formats/format.ts';
import { isScaled } from '../formats/scaled.ts';
import { encodeMatrix } from './encode-matrix.ts';

export interface QuantizedMatrix {
  readonly format: NumberFormat;
  readonly rows: number;
  readonly cols: number;
  /** Codes and scales of rows [begin, end); the same whatever the split. */
  read(begin: number, end: number): Promise<Quantized>;
  /** Σ(decoded − value)² and Σ value² once every row was read; undefined before. */
  stats(): RoundingStats | undefined;
}

export interface RoundingStats { readonly squaredError: number; readonly sumOfSquares: number }

/** Σ value² in float64, in index order. */
export function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}

/** Whether rows [begin, end) can be quantized without looking at the others. */
export function rowsAreIndependent(format: NumberFormat): boolean {
  if (format.family === 'ggml' || format.family === 'float') return true;
  if (format.name.startsWith('nvfp4') || format.name.startsWith('kmeans') || format.name.includes('+dq')) return false;
  if (!isScaled(format)) return false;
  const { kind } = format.granularity;
  return kind === 'channel' || kind === 'token' || kind === 'group';
}

/** Quantizes rows as they are asked for; formats whose scales span rows are quantized once, whole. */
export function quantizedLazily(
  source: { readonly rows: number; readonly cols: number; readRows(begin: number, end: number): Promise<Float32Array> },
  format: NumberFormat, options: EncodeOptions = {},
): QuantizedMatrix {
  const { rows, cols } = source;
  if (rowsAreIndependent(format)) {
    const tiles = new Map<number, RoundingStats & { end: number }>();
    return {
      format, rows, cols,
      read: async (begin, end) => {
        const values = await source.readRows(begin, end);
        const quantized = encodeMatrix(format, values, end - begin, cols, options);
        tiles.set(begin, { end, squaredError: quantized.squaredError, sumOfSquares: sumOfSquares(values) });
        return quantized;
      },
      stats: () => addTiles(tiles, rows),
    };
  }
  let whole: Promise<QuantizedMatrix> | undefined;
  let known: RoundingStats | undefined;
  return {
    format, rows, cols,
    read: async (begin, end) => {
      whole ??= source.readRows(0, rows).then((values) => quantizedWhole(format, encodeMatrix(format, values, rows, cols, options), sumOfSquares(values)));
      const made = await whole;
      known = made.stats();
      return made.read(begin, end);
    },
    stats: () => known,
  };
}

/** Sums of tiles that lie side by side over all rows. */
function addTiles(tiles: ReadonlyMap<number, RoundingStats & { end: number }>, rows: number): RoundingStats | undefined {
  let at = 0, error = 0, squares = 0;
  while (at < rows) {
    const tile = tiles.get(at);
    if (tile === undefined) return undefined;
    error += tile.squaredError;
    squares += tile.sumOfSquares;
    at = tile.end;
  }
  return { squaredError: error, sumOfSquares: squares };
}

/** A matrix that was rounded already; parts of it are views of the whole where scales belong to rows. */
export function quantizedWhole(format: NumberFormat, whole: Quantized, squares = Number.NaN): QuantizedMatrix {
  const { rows, cols, codes, scales, scaleShape: [scaleRows, scaleCols], zeros, codebook, blocks } = whole;
  return {
    format, rows, cols,
    stats: () => ({ squaredError: whole.squaredError, sumOfSquares: squares }),
    read: async (begin, end) => {
      if (begin === 0 && end === rows) return whole;
      const count = end - begin;
      const perRow = codes.length / rows;
      const own = scaleRows === rows;
      const part = <T extends { subarray(from: number, to: number): T }>(values: T | undefined): T | undefined =>
        (values === undefined || !own ? values : values.subarray(begin * scaleCols, end * scaleCols));
      const levels = codebook === undefined ? 0 : codebook.length / Math.max(1, scales.length);
      return {
        ...whole,
        rows: count,
        codes: codes.subarray(begin * perRow, end * perRow),
        scales: part(scales) as Float32Array,
        scaleShape: own ? [count, scaleCols] : whole.scaleShape,
        ...(zeros === undefined ? {} : { zeros: part(zeros as Float32Array) }),
        ...(codebook === undefined || !own ? {} : { codebook: codebook.subarray(begin * scaleCols * levels, end * scaleCols * levels) }),
        ...(blocks === undefined ? {} : { blocks: blocks.subarray((begin * blocks.length) / rows, (end * blocks.length) / rows) }),
        squaredError: Number.NaN,
      };
    },
  };
}
