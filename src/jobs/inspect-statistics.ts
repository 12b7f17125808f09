/** Figures of a stored tensor, read in tiles; of large tensors, of evenly spaced tiles. */
import { readFloats } from '../files/values.ts';
import { elementCount, elementTypes, isBlockType, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { isGgmlType } from '../formats/ggml/index.ts';

export interface TensorStatistics {
  readonly min: number;
  readonly max: number;
  /** Mean of |x|. */
  readonly meanMagnitude: number;
  /** Largest |x| over the root mean square: how far the extreme value stretches a scale; 0 where all is zero. */
  readonly outlierRatio: number;
  /** Share of zeros, 0..1. */
  readonly zeros: number;
  /** NaN and infinities, which the other figures leave out. */
  readonly notFinite: number;
  /** Values looked at; fewer than the tensor has where it is large. */
  readonly values: number;
}

/** Values held at a time: 4 MB as float32. */
const tileValues = 1 << 20;
/** Values looked at per tensor. */
const mostValues = 1 << 22;
/** Width of the rows that tensors without short rows are cut into. */
const flatWidth = 1 << 16;

/** Whether values of this type can be decoded; of the others, names and sizes are known. */
export const isDecodable = (type: TensorType): boolean => !isBlockType(type) || isGgmlType(type);

/** Undefined for types that are not decoded, and for empty tensors. */
export async function statisticsOf(tensor: TensorRef): Promise<TensorStatistics | undefined> {
  const count = elementCount(tensor.shape, tensor.name);
  if (!isDecodable(tensor.type) || count === 0) return undefined;
  const rows = inRows(tensor, count);
  const width = rows.shape.at(-1) ?? 1;
  const height = elementCount(rows.shape) / width;
  const tileRows = Math.max(1, Math.floor(tileValues / width));
  const tiles = Math.ceil(height / tileRows);
  const wanted = Math.min(tiles, Math.max(1, Math.floor(mostValues / (tileRows * width))));
  let min = Infinity, max = -Infinity, magnitudes = 0, squares = 0, zeros = 0, finite = 0, values = 0;
  for (let i = 0; i < wanted; i++) {
    const begin = Math.floor((i * tiles) / wanted) * tileRows;
    const tile = await readFloats(rows, begin, Math.min(height, begin + tileRows));
    values += tile.length;
    for (const x of tile) {
      // Only NaN and infinities differ from themselves by more than zero.
      if (!(x - x === 0)) continue;
      finite++;
      if (x < min) min = x;
      if (x > max) max = x;
      if (x === 0) zeros++;
      magnitudes += Math.abs(x);
      squares += x * x;
    }
  }
  const largest = Math.max(Math.abs(min), Math.abs(max));
  return {
    min: finite === 0 ? NaN : min, max: finite === 0 ? NaN : max, meanMagnitude: magnitudes / Math.max(1, finite),
    outlierRatio: squares > 0 ? largest / Math.sqrt(squares / finite) : 0, zeros: zeros / Math.max(1, finite), notFinite: values - finite, values,
  };
}

/** The tensor itself, or its values as other rows, where its own are too long for a tile or begin inside a byte. */
function inRows(tensor: TensorRef, count: number): TensorRef {
  const { type } = tensor;
  const width = tensor.shape.at(-1) ?? 1;
  if (isBlockType(type)) return tensor;
  const { bits } = elementTypes[type];
  if (width <= tileValues && (width * bits) % 8 === 0) return tensor;
  if (count <= flatWidth) return { ...tensor, shape: [1, count] };
  // What does not fill a row at the end is left out.
  const height = Math.floor(count / flatWidth);
  return { ...tensor, shape: [height, flatWidth], byteLength: (height * flatWidth * bits) / 8 };
}
