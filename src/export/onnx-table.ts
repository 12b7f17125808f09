/**
 * Codes of any width as a table lookup in standard operators: eight codes lie in as many bytes as a code has bits, low
 * bits first; bytes become codes by division, codes become levels by Gather, levels become weights by their scale. Vectors,
 * trellis codes and what is rotated begin with the operators of their own files.
 */
import { float32Tensor, int } from '../graph/build.ts';
import { onnxTypes } from '../graph/data-types.ts';
import type { Linear } from '../graph/linear.ts';
import { encodeNumbers, lazyTensor } from '../graph/values.ts';
import { elementTypes, type ElementType } from '../tensor-ref.ts';
import { packing } from '../formats/index.ts';
import { isBlockFormat } from '../formats/column-blocks.ts';
import type { NumberFormat } from '../formats/format.ts';
import { isNested } from '../formats/nested-normal-float.ts';
import { isRotated } from '../formats/rotated.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';
import { defineErrors } from '../errors.ts';
import { storedShape } from './onnx-dequantize.ts';
import { nestedScales } from './onnx-nested.ts';
import { turnedBack } from './onnx-rotated.ts';
import { floatBytes, tiledTensor, type Tiles } from './onnx-tiles.ts';
import { blockCodes } from './onnx-trellis.ts';
import { reshaped, sliced, unpackedCodes } from './onnx-unpack.ts';
import type { Emit } from './onnx-weight-only.ts';

const errors = defineErrors('onnxTable', {
  format: (f: { id: string; format: string }) => [`${f.id}: ${f.format} cannot be written as ONNX`, 'choose integers, small floats, microscaling or a table with scales per tensor, row or group'] as const,
});

/** Codes unpacked together: as many as fit whole bytes whatever their width. */
const run = 8;

/** The weight as the site's operator wants it. */
export const tableLookup = (site: Linear, tiles: Tiles, emit: Emit): string => storedShape(site, matrixOf(site, tiles, tiles.matrix.format, emit), emit);

/** The float matrix [rows, cols] of a quantized one. */
function matrixOf(site: Linear, tiles: Tiles, format: NumberFormat, emit: Emit): string {
  const { rows, cols, id } = site;
  if (isRotated(format)) return turnedBack(matrixOf(site, tiles, format.inner, emit), rows, cols, emit);
  if (isBlockFormat(format)) return blockCodes(id, tiles, format, emit);
  if (!isScaled(format)) throw errors.format({ id, format: format.name });
  const bits = Math.ceil(format.bits);
  /** One bit holds a sign: 0 for +1, 1 for −1. */
  const signs = bits === 1;
  const width = groupWidth(site, format);
  const groups = Math.ceil(cols / width);
  // The last group may be short: what it lacks is not in the file.
  const padded = Math.ceil(cols / run) * run;
  const rowBytes = (padded / run) * bits;

  const packedCodes = emit.weight(tiledTensor(emit.fresh(`${id}_codes`), 'u8', [rows, padded / run, bits], tiles, rowBytes, async (tile, count) => {
    const { codes } = await tiles.quantized(tile);
    const line = new Uint8Array(padded);
    const out = new Uint8Array(count * rowBytes);
    for (let r = 0; r < count; r++) {
      for (let c = 0; c < cols; c++) line[c] = signs ? Number(codes[r * cols + c] < 0) : codes[r * cols + c] & ((1 << bits) - 1);
      out.set(packing.packLowFirst(line, bits), r * rowBytes);
    }
    return out;
  }));
  const codes = unpack(packedCodes, bits, [rows, padded], emit);
  const values = emit.node('Gather', [levelsOf(site, tiles, format, bits, emit), codes], { axis: int(0) });
  const block = format.granularity.kind === 'flat' ? format.granularity.size : width;
  const scales = isNested(format) ? reshaped(eachPart(nestedScales(id, tiles, format, Math.ceil((rows * cols) / block), emit), block / width, rows * groups, emit), [rows, groups, 1], emit) : storedScales(id, tiles, format, [rows, groups, cols], emit);
  const cut = padded > groups * width ? sliced(values, 1, 0, groups * width, emit) : filled(values, groups * width - padded, emit);
  let grouped = reshaped(cut, [rows, groups, width], emit);
  if (format.integer?.asymmetric) {
    const zeros = emit.node('Cast', [emit.weight(tiledTensor(emit.fresh(`${id}_zero`), 'u8', [rows, groups, 1], tiles, groups, async (tile, count) => {
      const { zeros, scaleShape } = await tiles.fitted(tile);
      return Uint8Array.from(byGroup(zeros!, scaleShape, format, tile * tiles.tileRows, count, groups, cols));
    }))], { to: int(onnxTypes.f32) });
    grouped = emit.node('Sub', [grouped, zeros]);
  }
  const scaled = reshaped(emit.node('Mul', [grouped, scales]), [rows, groups * width], emit);
  return groups * width === cols ? scaled : sliced(scaled, 1, 0, cols, emit);
}

/** Scales [rows, groups, 1] as float32, kept in the type that the format gives them: bytes are looked up and lifted by the scale of the tensor. */
function storedScales(id: string, tiles: Tiles, format: ScaledFormat, [rows, groups, cols]: readonly [number, number, number], emit: Emit): string {
  const { name: type, byte } = format.scaleType;
  const tensor = (element: ElementType, encode: (values: Float32Array, lift: number) => Uint8Array): string =>
    emit.weight(tiledTensor(emit.fresh(`${id}_scale`), element, [rows, groups, 1], tiles, (elementTypes[element].bits / 8) * groups, async (tile, count) => {
      const { scales, scaleShape, tensorScale = 1 } = await tiles.fitted(tile);
      return encode(byGroup(scales, scaleShape, format, tile * tiles.tileRows, count, groups, cols), tensorScale);
    }));
  if (byte !== undefined) {
    const codes = emit.node('Cast', [tensor('u8', (values) => Uint8Array.from(values, byte.encode))], { to: int(onnxTypes.i64) });
    // One table serves all weights.
    const table = emit.weight(float32Tensor(`fewbit_scales_${type}`, Array.from({ length: 256 }, (_, code) => byte.decode(code))));
    const lift = emit.weight(lazyTensor(emit.fresh(`${id}_tensor_scale`), 'f32', [1], async () => floatBytes(Float32Array.of((await tiles.fitted(0)).tensorScale ?? 1))));
    return emit.node('Mul', [emit.node('Gather', [table, codes], { axis: int(0) }), lift]);
  }
  if (type === 'f32') return tensor('f32', (values, lift) => encodeNumbers('f32', values.map((s) => s * lift)));
  return emit.node('Cast', [tensor(type as 'f16' | 'bf16', (values) => encodeNumbers(type as 'f16' | 'bf16', values))], { to: int(onnxTypes.f32) });
}

/** As many columns of zeros more. */
const filled = (value: string, count: number, emit: Emit): string => (count === 0 ? value : emit.node('Pad', [value, emit.constant('i64', [0, 0, 0, count])]));

/** The scale of every part of a block, in order, from that of every block: blocks that cross rows have parts in each. */
function eachPart(scales: string, parts: number, count: number, emit: Emit): string {
  if (parts === 1) return scales;
  const blocks = Math.ceil(count / parts);
  const spread = reshaped(emit.node('Expand', [reshaped(scales, [blocks, 1], emit), emit.constant('i64', [blocks, parts])]), [blocks * parts], emit);
  return blocks * parts === count ? spread : sliced(spread, 0, 0, count, emit);
}

/** Columns that share a scale in every row; of blocks that cross rows the longest parts of equal length. */
function groupWidth({ cols }: Linear, format: ScaledFormat): number {
  const { granularity } = format;
  switch (granularity.kind) {
    case 'tensor': case 'channel': case 'token': return cols;
    case 'group': return granularity.size;
    case 'block': return granularity.cols;
    case 'flat': return divisor(cols, granularity.size);
  }
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Scales or zero points of `count` rows of a tile that begins at row `first`, one for each group: [count, groups]. */
const byGroup = (numbers: ArrayLike<number>, shape: readonly [number, number], format: ScaledFormat, first: number, count: number, groups: number, cols: number): Float32Array =>
  Float32Array.from({ length: count * groups }, (_, i) => {
    const within = Math.floor(i / groups);
    return scaleAt(numbers, shape, format, first + within, within, i % groups, cols);
  });

/** The scale of a row and group; `row` counts in the matrix, `within` in the tile. */
function scaleAt(scales: ArrayLike<number>, [scaleRows, scaleCols]: readonly [number, number], format: ScaledFormat, row: number, within: number, group: number, cols: number): number {
  const { granularity } = format;
  switch (granularity.kind) {
    case 'tensor': return scales[0];
    case 'flat': return scales[Math.floor((row * cols + group * divisor(cols, granularity.size)) / granularity.size)];
    case 'block': return scales[Math.floor(row / granularity.rows) * scaleCols + group];
    default: return scales[(scaleRows === 1 ? 0 : within) * scaleCols + (scaleCols === 1 ? 0 : group)];
  }
}

/** Level of every code: of a learned codebook for the whole tensor, or what the format decodes at scale 1. */
function levelsOf({ id }: Linear, tiles: Tiles, format: ScaledFormat, bits: number, emit: Emit): string {
  const count = 2 ** bits;
  const name = emit.fresh(`${id}_levels`);
  if (format.name.startsWith('kmeans')) {
    if (format.granularity.kind !== 'tensor') throw errors.format({ id, format: format.name });
    return emit.weight(lazyTensor(name, 'f32', [count], async () => floatBytes(Float32Array.from((await tiles.fitted(0)).codebook!))));
  }
  if (bits === 1) return emit.weight(float32Tensor(name, [1, -1]));
  const signed = format.integer !== undefined && !format.integer.asymmetric;
  const rounder = format.rounder({ scales: Float32Array.of(1), scaleShape: [1, 1], ...(format.integer?.asymmetric ? { zeros: Uint8Array.of(0) } : {}) }, 1, 1);
  const levels = Float32Array.from({ length: count }, (_, code) => rounder.value(signed || signedCodes(format) ? (code << (32 - bits)) >> (32 - bits) : code, 0, 0));
  return emit.weight(float32Tensor(name, [...levels]));
}

/** Formats whose codes are two's complement without being plain integers: ternary and microscaled integers. */
const signedCodes = (format: ScaledFormat): boolean => /^(ternary|mxint)/.test(format.name);

/** Bytes [rows, runs, bits] as whole codes [rows, runs · 8]. */
function unpack(packedCodes: string, bits: number, to: readonly [number, number], emit: Emit): string {
  if (bits === 8) return reshaped(emit.node('Cast', [packedCodes], { to: int(7) }), to, emit);
  // ONNX Runtime adds int64 as doubles: a word of 56 bits would lose its last ones.
  if (bits === 7) return unpackedCodes(packedCodes, to[0], (to[1] / run) * bits, to[1], bits, emit);
  // One 64-bit word per run: Σ byteⱼ · 256^j, then word / 2^(bits·i) mod 2^bits. Multiplication and division are exact in int64.
  const bytes = emit.node('Cast', [packedCodes], { to: int(7) });
  const constant = (values: readonly number[]): string => emit.constant('i64', values);
  const weights = constant(Array.from({ length: bits }, (_, j) => 256 ** j));
  const words = emit.node('ReduceSum', [emit.node('Mul', [bytes, weights]), emit.constant('i64', [2])], { keepdims: int(1) });
  const shifted = emit.node('Div', [words, constant(Array.from({ length: run }, (_, i) => 2 ** (bits * i)))]);
  const codes = emit.node('Mod', [shifted, constant([2 ** bits])]);
  return reshaped(codes, to, emit);
}
