/**
 * Tensors that are made from a quantized matrix while a file is written. Rows pass in tiles of fixed size, each quantized
 * once: codes go out as they come, scales and zero points of the matrix that was read last are kept for the tensors that
 * follow it.
 */
import type { NumberFormat, Quantized } from '../formats/format.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import { byteLengthOf, chunkBytes, type ElementType, type TensorOut, type TensorRef } from '../tensor-ref.ts';
import { rowsAreIndependent, type QuantizedMatrix } from '../round/quantized-matrix.ts';

/** Values quantized at a time: 4 MiB of float32. */
const tileValues = 1024 * 1024;

/** Scales and zero points of some rows. */
export type Fitted = Omit<Quantized, 'codes' | 'blocks'>;

export interface Tiles {
  readonly matrix: QuantizedMatrix;
  readonly tileRows: number;
  readonly count: number;
  /** Codes of a tile. */
  quantized(tile: number): Promise<Quantized>;
  /** Scales of a tile, without quantizing again what was just read. */
  fitted(tile: number): Promise<Fitted>;
}

/** The matrix that is held, by its scales and its last tile; shared by the matrices of one export. */
export interface TileCache { owner?: Tiles; kept: Map<number, Fitted>; last?: { readonly tile: number; readonly made: Promise<Quantized> } }

export const tileCache = (): TileCache => ({ kept: new Map() });

/** A matrix in tiles; every tensor made of it sees the same splits, so that its error is counted once. */
export function tilesOf(matrix: QuantizedMatrix, cache: TileCache): Tiles {
  const { rows, cols, format } = matrix;
  const whole = format.family !== 'ggml' && !rowsAreIndependent(format);
  const tileRows = whole ? Math.max(1, rows) : Math.max(1, Math.min(rows, Math.floor(tileValues / Math.max(1, cols))));
  const own = (): void => {
    if (cache.owner === tiles) return;
    cache.owner = tiles;
    cache.kept = new Map();
    cache.last = undefined;
  };
  const quantized = async (tile: number): Promise<Quantized> => {
    own();
    if (cache.last?.tile === tile) return cache.last.made;
    const made = matrix.read(tile * tileRows, Math.min(rows, (tile + 1) * tileRows));
    cache.last = { tile, made };
    const result = await made;
    if (cache.owner === tiles) {
      const { codes: _codes, blocks: _blocks, ...fitted } = result;
      cache.kept.set(tile, fitted);
    }
    return result;
  };
  const tiles: Tiles = {
    matrix, tileRows, count: Math.ceil(rows / tileRows), quantized,
    fitted: async (tile) => (cache.owner === tiles ? cache.kept.get(tile) : undefined) ?? quantized(tile),
  };
  return tiles;
}

/** A tensor of `shape` whose rows (of `rowBytes` bytes) follow the rows of the matrix; `pack` makes the bytes of one tile. */
export function tiledTensor(
  name: string, type: ElementType, shape: readonly number[], tiles: Tiles, rowBytes: number, pack: (tile: number, rows: number) => Promise<Uint8Array>,
): TensorRef & Pick<TensorOut, 'chunks'> {
  const byteLength = byteLengthOf(type, shape, name);
  const { matrix: { rows }, tileRows, count } = tiles;
  const tileBytes = tileRows * rowBytes;
  const rowsOf = (tile: number): number => Math.min(rows, (tile + 1) * tileRows) - tile * tileRows;
  return {
    name, type, shape, byteLength,
    async read(begin = 0, end = byteLength) {
      const out = new Uint8Array(end - begin);
      for (let tile = Math.floor(begin / tileBytes); tile < count && tile * tileBytes < end; tile++) {
        const bytes = await pack(tile, rowsOf(tile));
        const at = tile * tileBytes;
        const from = Math.max(begin, at), to = Math.min(end, at + bytes.length);
        if (to > from) out.set(bytes.subarray(from - at, to - at), from - begin);
      }
      return out;
    },
    async *chunks() {
      for (let tile = 0; tile < count; tile++) {
        const bytes = await pack(tile, rowsOf(tile));
        for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
      }
    },
  };
}

/** Values per row and group of a tile, [rows, groups], whatever the granularity of the format; `first` is the first column of a group. */
export function spread(
  values: ArrayLike<number>, { scaleShape: [scaleRows, scaleCols] }: Fitted, format: NumberFormat, rows: number, groups: number, first: (group: number) => number,
): Float32Array {
  const out = new Float32Array(rows * groups);
  const { granularity } = format as Partial<ScaledFormat>;
  const perScale = granularity?.kind === 'block' ? granularity.rows : scaleRows === 1 ? Infinity : 1;
  for (let r = 0; r < rows; r++) {
    const row = Math.floor(r / perScale);
    for (let g = 0; g < groups; g++) out[r * groups + g] = values[row * scaleCols + (scaleCols === 1 ? 0 : Math.floor(first(g) / format.group))];
  }
  return out;
}

/** float32 values as the bytes of a tensor. */
export const floatBytes = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
