/**
 * A weight as integer codes in the shape of the matrix, then turned to the operator's own. Matrix products get
 * `DequantizeLinear`, which engines know beside them. Convolutions get the same arithmetic in plain operators: ONNX Runtime
 * folds these when it loads a model, and DequantizeLinear never, so that it would run at each call.
 */
import { int, ints } from '../graph/build.ts';
import { onnxTypes } from '../graph/data-types.ts';
import type { Attribute } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { lazyTensor } from '../graph/values.ts';
import type { Quantized } from '../formats/format.ts';
import { packing } from '../formats/index.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import { elementTypes, type ElementType, type TensorRef } from '../tensor-ref.ts';
import { reshaped } from './onnx-unpack.ts';
import { floatBytes, spread, tiledTensor, type Tiles } from './onnx-tiles.ts';
import type { Emit } from './onnx-weight-only.ts';

/** Element type of the standard that holds the codes as they are; undefined for other widths and for scales over blocks of rows. */
export function dequantizeType(format: ScaledFormat): ElementType | undefined {
  const { integer, bits, granularity: { kind } } = format;
  if (integer === undefined || (kind !== 'channel' && kind !== 'group' && kind !== 'tensor')) return undefined;
  const type = `${integer.asymmetric ? 'u' : 'i'}${bits}`;
  return type in elementTypes && bits <= 8 ? (type as ElementType) : undefined;
}

/** Whether a weight is unpacked to float when the model is loaded; otherwise it is at each call. */
export function unpacksOnLoad({ kind, cols }: Linear, { granularity }: ScaledFormat): boolean {
  return (kind === 'Conv' || kind === 'ConvTranspose') && (granularity.kind !== 'group' || cols % granularity.size === 0);
}

/** Adds codes, scales and zero points; returns the value that is the float weight as the site's operator wants it. */
export function dequantized(site: Linear, tiles: Tiles, emit: Emit): string {
  const { rows, cols, id } = site;
  const format = tiles.matrix.format as ScaledFormat;
  const type = dequantizeType(format)!;
  const { granularity } = format;
  const unpacks = unpacksOnLoad(site, format);
  const blocked = unpacks || granularity.kind === 'group';
  const groups = granularity.kind === 'group' ? Math.ceil(cols / granularity.size) : 1;
  const codes = emit.weight(codesTensor(emit.fresh(`${id}_q`), type, rows, cols, tiles));
  const scales = emit.weight(tiledTensor(emit.fresh(`${id}_scale`), 'f32', blocked ? [rows, groups] : [rows], tiles, 4 * groups, async (tile, count) =>
    floatBytes(spread((await tiles.fitted(tile)).scales, await tiles.fitted(tile), format, count, groups, (g) => g * format.group))));
  const zeros = format.integer!.asymmetric ? emit.weight(zerosTensor(emit.fresh(`${id}_zero`), type, rows, groups, blocked, tiles)) : undefined;
  if (unpacks) return storedShape(site, scaled(codes, scales, zeros, [rows, groups, cols / groups], emit), emit);
  const attributes: Record<string, Attribute> = granularity.kind === 'group' ? { axis: int(1), block_size: int(granularity.size) } : { axis: int(0) };
  return storedShape(site, emit.node('DequantizeLinear', [codes, scales, ...(zeros === undefined ? [] : [zeros])], attributes), emit);
}

/** (codes − zeros) · scales as [rows, groups, width], for scales and zeros [rows, groups]. */
function scaled(codes: string, scales: string, zeros: string | undefined, [rows, groups, width]: readonly [number, number, number], emit: Emit): string {
  const real = (value: string): string => emit.node('Cast', [value], { to: int(onnxTypes.f32) });
  const shaped = (value: string, shape: readonly number[]): string => (groups === 1 ? value : reshaped(value, shape, emit));
  const values = shaped(real(codes), [rows, groups, width]);
  const centred = zeros === undefined ? values : emit.node('Sub', [values, shaped(real(zeros), [rows, groups, 1])]);
  return emit.node('Mul', [centred, shaped(scales, [rows, groups, 1])]);
}

const packed = (values: Uint8Array | Int8Array, bits: number): Uint8Array =>
  (bits === 8 ? new Uint8Array(values.buffer, values.byteOffset, values.length) : packing.packLowFirst(Uint8Array.from(values, (v) => v & ((1 << bits) - 1)), bits));

/** Rows are made tile by tile where they end on whole bytes. */
function codesTensor(name: string, type: ElementType, rows: number, cols: number, tiles: Tiles): TensorRef {
  const { bits } = elementTypes[type];
  if ((cols * bits) % 8 === 0) {
    return tiledTensor(name, type, [rows, cols], tiles, (cols * bits) / 8, async (tile) => packed((await tiles.quantized(tile)).codes, bits));
  }
  return lazyTensor(name, type, [rows, cols], async () => {
    const all = new Uint8Array(rows * cols);
    for (let tile = 0; tile < tiles.count; tile++) all.set((await tiles.quantized(tile)).codes as Uint8Array, tile * tiles.tileRows * cols);
    return packed(all, bits);
  });
}

function zerosTensor(name: string, type: ElementType, rows: number, groups: number, blocked: boolean, tiles: Tiles): TensorRef {
  const { format } = tiles.matrix;
  return lazyTensor(name, type, blocked ? [rows, groups] : [rows], async () => {
    const all = new Uint8Array(rows * groups);
    for (let tile = 0; tile < tiles.count; tile++) {
      const fit = await tiles.fitted(tile) as Quantized;
      const count = Math.min(rows, (tile + 1) * tiles.tileRows) - tile * tiles.tileRows;
      all.set(Uint8Array.from(spread(fit.zeros!, fit, format, count, groups, (g) => g * format.group), Math.round), tile * tiles.tileRows * groups);
    }
    return packed(all, elementTypes[type].bits);
  });
}

/** The matrix [rows, cols] as the operator stores its weight; engines fold these nodes when they load the model. */
export function storedShape(site: Linear, matrix: string, emit: Emit): string {
  const { kind, transposed, weight: { shape }, groups, kernel } = site;
  const reshape = (value: string, to: readonly number[]): string => reshaped(value, to, emit);
  if (kind === 'Conv') return reshape(matrix, shape);
  if (kind === 'ConvTranspose') {
    const [channels, outPerGroup] = shape;
    const parts = reshape(matrix, [groups, outPerGroup, channels / groups, ...kernel]);
    return reshape(emit.node('Transpose', [parts], { perm: ints([0, 2, 1, ...kernel.map((_, i) => i + 3)]) }), shape);
  }
  return transposed ? emit.node('Transpose', [matrix], { perm: ints([1, 0]) }) : matrix;
}
