/** A tensor on its way from one file to another, encoded by a pool a few tiles ahead of the writer. */
import { defineErrors } from '../errors.ts';
import { byteLengthOf, elementCount, isBlockType } from '../tensor-ref.ts';
import type { TensorOut, TensorRef, TensorType } from '../tensor-ref.ts';
import { readFloats } from '../files/values.ts';
import { isTileType, tileBytes } from './encode-tile.ts';
import type { EncodeJob, EncodeResult } from './encode-tile.ts';
import type { Pool } from './pool.ts';

export interface EncodeTensorOptions {
  /** Name of the written tensor; that of the source by default. Messages speak of the source's name. */
  readonly name?: string;
  readonly pool: Pool;
  /** One weight ≥ 0 per column. */
  readonly importance?: Float32Array;
  /** Called once, after the last byte; without it nothing is measured, which saves time. */
  onDone?(stats: { squaredError: number; sumOfSquares: number }): void;
}

const errors = defineErrors('encodeTensor', {
  importance: (f: { name: string; got: number; need: number }) => `tensor ${f.name}: importance of ${f.got} columns for rows of ${f.need}`,
});

/** Values per tile, unless one row has more. The sums of squares are made tile by tile, so this is part of their definition. */
const tileValues = 1 << 19;
/** Bytes of tiles in flight, read or encoded and not yet written. */
const flightBytes = 64 * 1024 * 1024;

/**
 * The tensor in another type, row by row (a row is the last dimension). Rows are read, encoded and given to the
 * writer in order; at most about 64 MB are in flight, one tile at least. Bytes and sums are the same for every pool.
 */
export function encodeTensor(tensor: TensorRef, type: TensorType, options: EncodeTensorOptions): TensorOut {
  const { name, shape } = tensor;
  const { pool, importance, onDone } = options;
  const byteLength = byteLengthOf(type, shape, name);
  const count = elementCount(shape, name);
  const cols = shape.at(-1) ?? 1;
  if (importance && importance.length !== cols) throw errors.importance({ name, got: importance.length, need: cols });
  const raw = isTileType(tensor.type);
  const source: TensorType = raw ? tensor.type : 'f32';
  const rowsPerTile = Math.max(1, Math.floor(tileValues / Math.max(1, cols)));
  const rows = cols === 0 ? 0 : count / cols;
  const tileSize = rowsPerTile * (tileBytes(source, cols) + tileBytes(type, cols));
  const ahead = Math.max(1, Math.min(2 * pool.threads + 1, Math.floor(flightBytes / tileSize)));

  async function encodeRows(begin: number, end: number): Promise<EncodeResult> {
    const bytes = raw
      ? await tensor.read(begin * tileBytes(source, cols), end * tileBytes(source, cols))
      : viewOf(await readFloats(tensor, begin, end));
    const job: EncodeJob = {
      source, bytes, rows: end - begin, cols, target: type, name: `tensor ${name}`, firstRow: begin, measure: onDone !== undefined,
      ...(importance && isBlockType(type) ? { importance } : {}),
    };
    return pool.encode(job);
  }

  return {
    name: options.name ?? name, type, shape, byteLength,
    async *chunks() {
      const stats = { squaredError: 0, sumOfSquares: 0 };
      const flight: Promise<EncodeResult>[] = [];
      let next = 0;
      try {
        while (next < rows || flight.length > 0) {
          while (next < rows && flight.length < ahead) {
            const end = Math.min(next + rowsPerTile, rows);
            const tile = encodeRows(next, end);
            // Seen when its turn comes; until then a failure is not unhandled.
            tile.catch(() => {});
            flight.push(tile);
            next = end;
          }
          const { bytes, squaredError, sumOfSquares } = await flight.shift()!;
          stats.squaredError += squaredError;
          stats.sumOfSquares += sumOfSquares;
          yield bytes;
        }
      } finally {
        // A writer that stops early leaves no tile behind that still reads.
        await Promise.allSettled(flight);
      }
      onDone?.(stats);
    },
  };
}

const viewOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
