/** What the safetensors layouts share: one pass over a matrix in row tiles, its scales kept for the tensor that follows. */
import { defineErrors } from '../errors.ts';
import type { TensorOut, TensorType } from '../tensor-ref.ts';
import { byteLengthOf } from '../tensor-ref.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import type { Granularity } from '../formats/granularity.ts';
import { packing } from '../formats/index.ts';
import { isScaled } from '../formats/scaled.ts';
import { encodeF16 } from '../numeric/half.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';

const errors = defineErrors('layout', {
  scaleOverflow: (f: { name: string; scale: number }) => [`weight ${f.name}: scale ${f.scale} overflows f16`, 'leave the layer float with --keep, or write compressed-tensors'] as const,
  scaleUnderflow: (f: { name: string; scale: number }) => [`weight ${f.name}: scale ${f.scale} is zero in f16`, 'leave the layer float with --keep, or write compressed-tensors'] as const,
});

/** Values quantized at a time: a tile of codes stays small beside the process. */
const tileValues = 1024 * 1024;

export const granularityOf = (format: NumberFormat): Granularity | undefined => (isScaled(format) ? format.granularity : undefined);

/** Whether rows have scales of their own, so that a tile carries just its share. */
const scalesFollowRows = (format: NumberFormat): boolean => {
  const kind = granularityOf(format)?.kind;
  return kind === 'channel' || kind === 'token' || kind === 'group';
};

export interface Scales {
  readonly scales: Float32Array;
  /** Absent where the format has none. */
  readonly zeros: Uint8Array | undefined;
  readonly tensorScale: number;
}

export interface Pass {
  /** Codes of all rows, tile by tile. */
  tiles(): AsyncGenerator<Quantized>;
  /** Scales of all rows as the format has them; known from the pass over the codes, or from one of its own. */
  scales(): Promise<Scales>;
}

export function passOver(matrix: QuantizedMatrix): Pass {
  const { format, rows, cols } = matrix;
  const own = scalesFollowRows(format);
  const height = Math.max(1, Math.floor(tileValues / cols));
  let known: Scales | undefined;
  async function* tiles(): AsyncGenerator<Quantized> {
    const scales: Float32Array[] = [];
    const zeros: Uint8Array[] = [];
    let tensorScale = 1;
    for (let begin = 0; begin < rows; begin += height) {
      const quantized = await matrix.read(begin, Math.min(rows, begin + height));
      yield quantized;
      if (begin > 0 && !own) continue;
      scales.push(quantized.scales);
      if (quantized.zeros !== undefined) zeros.push(Uint8Array.from(quantized.zeros));
      tensorScale = quantized.tensorScale ?? 1;
    }
    known = { scales: joined(scales, (length) => new Float32Array(length)), zeros: zeros.length === 0 ? undefined : joined(zeros, (length) => new Uint8Array(length)), tensorScale };
  }
  return {
    tiles,
    scales: async () => {
      if (known === undefined) for await (const _tile of tiles());
      return known!;
    },
  };
}

function joined<T extends { readonly length: number; set(part: T, at: number): void }>(parts: readonly T[], make: (length: number) => T): T {
  const whole = make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

export interface ColumnPass {
  /** Unsigned codes [rows, cols], made when asked and not kept. */
  codes(): Promise<Uint8Array>;
  /** [rows, groups]; kept from the pass over the codes. */
  scales(): Promise<Float32Array>;
  zeros(): Promise<Uint8Array>;
}

/** A matrix as column-major layouts pack it: whole, with a scale and a zero point per row and group. */
export function columnPass(matrix: QuantizedMatrix, groups: number): ColumnPass {
  let known: Pick<packing.GroupedCodes, 'scales' | 'zeros'> | undefined;
  const read = async (): Promise<packing.GroupedCodes> => {
    const grouped = packing.groupedCodes(await matrix.read(0, matrix.rows), matrix.format.bits, groups);
    known = { scales: grouped.scales, zeros: grouped.zeros };
    return grouped;
  };
  return {
    codes: async () => (await read()).codes,
    scales: async () => (known ?? await read()).scales,
    zeros: async () => (known ?? await read()).zeros,
  };
}

export const bytesOf = (values: { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }): Uint8Array =>
  new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);

/** A tensor whose bytes are made at once when its turn comes. */
export function tensorOut(name: string, type: TensorType, shape: readonly number[], make: () => Promise<Uint8Array> | Uint8Array): TensorOut {
  return { name, type, shape, byteLength: byteLengthOf(type, shape, name), async *chunks() { yield await make(); } };
}

/** Scales as half floats; one that leaves their range would silence or blow up its group. */
export function halfScales(name: string, scales: Float32Array): Uint8Array {
  for (const scale of scales) {
    if (Math.abs(scale) >= 65520) throw errors.scaleOverflow({ name, scale });
    if (scale !== 0 && Math.abs(scale) <= 2 ** -25) throw errors.scaleUnderflow({ name, scale });
  }
  return bytesOf(encodeF16(scales));
}

/** [rows, groups] turned to [groups, rows]. */
export function turned(values: Float32Array, rows: number, groups: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let g = 0; g < groups; g++) out[g * rows + r] = values[r * groups + g];
  return out;
}
