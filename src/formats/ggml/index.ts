/**
 * ggml block types, plain: what a GGUF file stores, byte for byte as the reference encoders of
 * github.com/ggml-org/ggml write it (definitions: the GGUF file format).
 */
import { defineErrors } from '../../errors.ts';
import { blockTypes, type BlockType } from '../../tensor-ref.ts';
import type { NumberFormat } from '../format.ts';
import { q2_k, q4_k, q5_k } from './affine-k.ts';
import type { BlockCodec } from './codec.ts';
import { mxfp4, nvfp4 } from './fp4.ts';
import { iq4_nl, iq4_xs } from './iq4.ts';
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from './legacy.ts';
import { q3_k, q6_k } from './signed-k.ts';
import { q1_0, q2_0, tq1_0, tq2_0 } from './ternary.ts';

const codecs = {
  q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, tq1_0, tq2_0, mxfp4, nvfp4, q1_0, q2_0,
} as const satisfies Partial<Record<BlockType, BlockCodec>>;

/** Block types that are encoded and decoded here. */
export type GgmlType = keyof typeof codecs;

export const ggmlTypes = Object.keys(codecs) as GgmlType[];

export const isGgmlType = (type: string): type is GgmlType => Object.hasOwn(codecs, type);

/** Bits of one code. */
const codeBits: Record<GgmlType, number> = {
  q4_0: 4, q4_1: 4, q5_0: 5, q5_1: 5, q8_0: 8, q2_k: 2, q3_k: 3, q4_k: 4, q5_k: 5, q6_k: 6,
  iq4_nl: 4, iq4_xs: 4, tq1_0: 1.6, tq2_0: 2, mxfp4: 4, nvfp4: 4, q1_0: 1, q2_0: 2,
};

/** Values that share a scale. */
const groups: Partial<Record<GgmlType, number>> = { q2_k: 16, q3_k: 16, q4_k: 32, q5_k: 32, q6_k: 16, iq4_xs: 32, nvfp4: 16 };

/** Where half-precision scales lie in a block. */
const halves: Record<GgmlType, readonly number[]> = {
  q4_0: [0], q4_1: [0, 2], q5_0: [0], q5_1: [0, 2], q8_0: [0], q2_k: [80, 82], q3_k: [108], q4_k: [0, 2], q5_k: [0, 2],
  q6_k: [208], iq4_nl: [0], iq4_xs: [0], tq1_0: [52], tq2_0: [64], mxfp4: [], nvfp4: [], q1_0: [0], q2_0: [0],
};

const errors = defineErrors('ggml', {
  notImplemented: (f: { type: string }) => [
    `block type ${f.type} is neither encoded nor decoded here`, `convert from a file in one of ${ggmlTypes.join(', ')}, or from f16`,
  ],
  partialBlock: (f: { type: string; cols: number; block: number }) => `type ${f.type} needs rows divisible by ${f.block}, got ${f.cols}`,
  wrongLength: (f: { what: string; expected: number; found: number }) => `${f.what}: expected ${f.expected} values, got ${f.found}`,
  wrongBytes: (f: { type: string; found: number; block: number }) =>
    `type ${f.type} comes in blocks of ${f.block} bytes, got ${f.found} bytes`,
  notFinite: (f: { name: string; index: number; value: number }) => `${f.name}: value ${f.value} at index ${f.index} cannot be encoded`,
  tooLarge: (f: { name: string; type: string; row: number }) =>
    [`${f.name}: row ${f.row} needs a scale above 65504, the largest of type ${f.type}`, 'use bf16 or f32 for this tensor'],
  badImportance: (f: { index: number; value: number }) => `importance ${f.value} of column ${f.index} is not a finite number ≥ 0`,
});

function codecOf(type: string): { codec: BlockCodec; block: number; bytes: number } {
  if (!isGgmlType(type)) throw errors.notImplemented({ type });
  return { codec: codecs[type], ...blockTypes[type] };
}

/** Why a row of this width cannot take a block type, or undefined. */
export function refusesWidth(type: BlockType, cols: number): string | undefined {
  const { block } = blockTypes[type];
  return cols % block === 0 ? undefined : errors.partialBlock({ type, cols, block }).message;
}

/** Throws unless these are [rows, cols] values and column weights that a block type can take; values are not looked at. */
export function checkShape(type: string, length: number, rows: number, cols: number, importance?: Float32Array): asserts type is GgmlType {
  const { block } = codecOf(type);
  if (cols % block !== 0) throw errors.partialBlock({ type, cols, block });
  if (length !== rows * cols) throw errors.wrongLength({ what: 'matrix', expected: rows * cols, found: length });
  if (!importance) return;
  if (importance.length !== cols) throw errors.wrongLength({ what: 'importance', expected: cols, found: importance.length });
  importance.forEach((value, index) => {
    if (!(value >= 0 && value < Infinity)) throw errors.badImportance({ index, value });
  });
}

/** Throws on the first NaN or infinity; `first` is the index of `values[0]` in its tensor. */
export function checkFinite(values: Float32Array, name = 'matrix', first = 0): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (!(value - value === 0)) throw errors.notFinite({ name, index: first + index, value });
  }
}

/** Throws when a stored half-precision scale overflowed; `firstRow` is the tensor's row that `bytes` begins with. */
export function checkScales(type: GgmlType, bytes: Uint8Array, cols: number, name = 'matrix', firstRow = 0): void {
  const { block, bytes: blockBytes } = blockTypes[type];
  for (const offset of halves[type]) {
    for (let p = offset + 1; p < bytes.length; p += blockBytes) {
      if ((bytes[p] & 0x7c) === 0x7c) throw errors.tooLarge({ name, type, row: firstRow + Math.floor((Math.floor(p / blockBytes) * block) / cols) });
    }
  }
}

/**
 * Packs a row-major [rows, cols] matrix into blocks, row by row. `importance` holds one weight per column
 * (mean of squared activations) and steers the scale searches of all types that have one.
 * Throws on NaN, on infinity, and on scales beyond half precision, in terms of the tensor whose row `firstRow` comes first.
 */
export function encodeBlocks(
  type: BlockType, values: Float32Array, rows: number, cols: number, importance?: Float32Array, name?: string, firstRow = 0,
): Uint8Array {
  checkShape(type, values.length, rows, cols, importance);
  checkFinite(values, name, firstRow * cols);
  const { codec, block, bytes } = codecOf(type);
  const rowBytes = (cols / block) * bytes;
  const out = new Uint8Array(rows * rowBytes);
  for (let r = 0; r < rows; r++) codec.encodeRow(values, r * cols, cols, importance, out, r * rowBytes);
  checkScales(type, out, cols, name, firstRow);
  return out;
}

/** The values of packed blocks; `out` must hold them all and is returned. */
export function decodeBlocks(type: BlockType, bytes: Uint8Array, out?: Float32Array): Float32Array {
  const { codec, block, bytes: blockBytes } = codecOf(type);
  if (bytes.length % blockBytes !== 0) throw errors.wrongBytes({ type, found: bytes.length, block: blockBytes });
  const blocks = bytes.length / blockBytes;
  const values = out ?? new Float32Array(blocks * block);
  if (values.length !== blocks * block) throw errors.wrongLength({ what: 'output', expected: blocks * block, found: values.length });
  codec.decode(bytes, blocks, values);
  return values;
}

/** Sum of (decoded − value)² in float64, in index order. */
export function squaredErrorOf(values: Float32Array, decoded: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const diff = decoded[i] - values[i];
    sum += diff * diff;
  }
  return sum;
}

function numberFormat(type: GgmlType): NumberFormat {
  const { block, bytes } = blockTypes[type];
  return {
    name: type,
    family: 'ggml',
    bits: codeBits[type],
    group: groups[type] ?? block,
    blockType: type,
    bitsPerWeight: () => (8 * bytes) / block,
    refuses: (_rows, cols) => refusesWidth(type, cols),
    encode(values, rows, cols, options = {}) {
      const blocks = encodeBlocks(type, values, rows, cols, options.importance, options.name);
      return {
        format: type, rows, cols, blocks,
        codes: new Uint8Array(0), scales: new Float32Array(0), scaleShape: [0, 0],
        squaredError: squaredErrorOf(values, decodeBlocks(type, blocks)),
      };
    },
    decode(quantized) {
      if (!quantized.blocks) throw errors.wrongBytes({ type, found: 0, block: bytes });
      return decodeBlocks(type, quantized.blocks);
    },
  };
}

/** The block types as number formats. */
export const ggmlFormats = Object.fromEntries(ggmlTypes.map((type) => [type, numberFormat(type)])) as Readonly<Record<GgmlType, NumberFormat>>;
