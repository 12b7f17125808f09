/**
 * Integer weights as ONNX initializers: codes in the layout of their operator, one scale per output channel, zero points
 * of the type of the codes. Everything is made while the file is written.
 */
import { floatTensor, type TensorRef } from '../tensor-ref.ts';
import type { ElementType } from '../tensor-ref.ts';
import { isScaled } from '../formats/scaled.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import type { Fresh } from '../graph/rewrite.ts';
import { lazyTensor } from '../graph/values.ts';
import { rne } from '../numeric/rounding.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { note, type ExportNote } from './onnx-note.ts';
import { floatBytes, spread, tiledTensor, tilesOf, type TileCache, type Tiles } from './onnx-tiles.ts';

/** `stored`: as the operator has it. `in-out`: [in, out], as MatMulInteger wants a matrix. */
export type CodeLayout = 'stored' | 'in-out';

/** Why integer kernels cannot take a matrix; undefined when they can. */
export function integerRefusal(site: Linear, { format }: QuantizedMatrix): string | undefined {
  if (!isScaled(format) || format.integer === undefined) return `${format.name} codes are no integers`;
  const { kind } = format.granularity;
  if (kind !== 'channel' && kind !== 'tensor') return `${format.name} has several scales per output channel`;
  if (site.weight.type !== 'f32') return `weights of type ${site.weight.type} are left as they are`;
  if (site.kind === 'ConvTranspose' && site.groups > 1) return 'a grouped ConvTranspose has no axis for its channel scales';
  return undefined;
}

/** What is said of a file whose products are of unsigned activations and signed weights. */
export const saturationNote = ({ name }: Graph): ExportNote =>
  note('overflow', name, 'uint8 × int8 products are exact on ARM, WebAssembly and x86 with VNNI; on older x86, ONNX Runtime may saturate sums of two unless session.x64quantprecision is 1');

export const isAsymmetric = ({ format }: QuantizedMatrix): boolean => isScaled(format) && format.integer?.asymmetric === true;

/** The axis of the stored weight along which output channels lie. */
export const channelAxis = (site: Linear): number => (site.transposed ? 1 : 0);

export interface IntegerWeight {
  readonly codes: TensorRef;
  /** One per output channel, [rows]. */
  readonly scales: TensorRef;
  /** Of the type of the codes, [rows]. */
  readonly zeros: TensorRef;
  /** The scales as numbers. */
  readonly scaleValues: () => Promise<Float32Array>;
}

export interface IntegerOptions {
  readonly fresh: Fresh;
  readonly cache: TileCache;
  readonly layout?: CodeLayout;
  /** Symmetric codes go out as unsigned ones with zero point 128, for kernels that take no signed weights. */
  readonly unsigned?: boolean;
  /** Smallest scale that a channel may have; codes of channels below it are rounded again under it. */
  readonly leastScales?: () => Promise<ArrayLike<number>>;
}

/** The tensors of a site's weight; `integerRefusal` must have passed it. */
export function integerWeight(site: Linear, matrix: QuantizedMatrix, options: IntegerOptions): IntegerWeight {
  const { rows, cols, format } = matrix;
  const { fresh, layout = 'stored', leastScales } = options;
  const tiles = tilesOf(matrix, options.cache);
  const asymmetric = isAsymmetric(matrix);
  const offset = options.unsigned === true && !asymmetric ? 128 : 0;
  const type: ElementType = asymmetric || offset !== 0 ? 'u8' : 'i8';

  const perRow = (of: (tile: number, count: number) => Promise<Float32Array>) => async (): Promise<Float32Array> => {
    const out = new Float32Array(rows);
    for (let tile = 0; tile < tiles.count; tile++) {
      const first = tile * tiles.tileRows;
      out.set(await of(tile, Math.min(rows, first + tiles.tileRows) - first), first);
    }
    return out;
  };
  const fittedScales = perRow(async (tile, count) => {
    const fitted = await tiles.fitted(tile);
    return spread(fitted.scales, fitted, format, count, 1, () => 0);
  });
  let widened: Promise<{ scales: Float32Array; ratios: Float32Array | undefined }> | undefined;
  const scaled = () => (widened ??= fittedScales().then(async (scales) => widen(scales, await leastScales?.())));

  const codesOf = async (tile: number): Promise<Int8Array | Uint8Array> => {
    const { codes } = await tiles.quantized(tile);
    const ratios = leastScales === undefined || asymmetric ? undefined : (await scaled()).ratios;
    if (offset === 0 && ratios === undefined) return codes;
    const first = tile * tiles.tileRows;
    const out = offset === 0 ? new Int8Array(codes.length) : new Uint8Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      const ratio = ratios === undefined ? 1 : ratios[first + Math.floor(i / cols)];
      out[i] = (ratio === 1 ? codes[i] : rne(codes[i] * ratio)) + offset;
    }
    return out;
  };

  const zeros = perRow(async (tile, count) => {
    const fitted = await tiles.fitted(tile);
    return fitted.zeros === undefined ? new Float32Array(count).fill(offset) : spread(fitted.zeros, fitted, format, count, 1, () => 0);
  });
  return {
    codes: codesTensor(fresh(`${site.id}_quantized`), type, site, layout, tiles, codesOf),
    scales: lazyTensor(fresh(`${site.id}_scale`), 'f32', [rows], async () => floatBytes((await scaled()).scales)),
    zeros: asymmetric
      ? lazyTensor(fresh(`${site.id}_zero_point`), type, [rows], async () => Uint8Array.from(await zeros()))
      : lazyTensor(fresh(`${site.id}_zero_point`), type, [rows], async () => new Uint8Array(rows).fill(offset)),
    scaleValues: async () => (await scaled()).scales,
  };
}

/** Scales of at least the given size, and what codes of the old ones are multiplied by. */
function widen(scales: Float32Array, least: ArrayLike<number> | undefined): { scales: Float32Array; ratios: Float32Array | undefined } {
  if (least === undefined || scales.every((scale, row) => scale >= least[row])) return { scales, ratios: undefined };
  const wide = scales.map((scale, row) => Math.max(scale, least[row]));
  return { scales: wide, ratios: scales.map((scale, row) => scale / wide[row]) };
}

const bytesOf = (codes: Int8Array | Uint8Array): Uint8Array => new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength);

function codesTensor(
  name: string, type: ElementType, site: Linear, layout: CodeLayout, tiles: Tiles, codesOf: (tile: number) => Promise<Int8Array | Uint8Array>,
): TensorRef {
  const { rows, cols } = site;
  if (layout === 'stored' && !site.transposed) return tiledTensor(name, type, site.weight.shape, tiles, cols, async (tile) => bytesOf(await codesOf(tile)));
  const shape = layout === 'stored' ? site.weight.shape : [cols, rows];
  return lazyTensor(name, type, shape, async () => {
    if (site.kind === 'ConvTranspose') {
      const matrix = new Float32Array(rows * cols);
      for (let tile = 0; tile < tiles.count; tile++) matrix.set(await codesOf(tile), tile * tiles.tileRows * cols);
      return bytesOf(type === 'i8' ? Int8Array.from(storedOrder(site, matrix)) : Uint8Array.from(storedOrder(site, matrix)));
    }
    const out = new Uint8Array(rows * cols);
    for (let tile = 0; tile < tiles.count; tile++) {
      const codes = await codesOf(tile);
      const first = tile * tiles.tileRows;
      for (let i = 0; i < codes.length; i++) out[(i % cols) * rows + first + Math.floor(i / cols)] = codes[i];
    }
    return out;
  });
}

/** A scale and zero point of a whole tensor: `low`..`high` (zero included) onto the codes of a type, zero exact. */
export function activationGrid({ low, high }: { readonly low: number; readonly high: number }, type: 'u8' | 'i8'): { scale: number; zero: number } {
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const step = Math.fround((to - from) / 255);
  const scale = step > 0 && Number.isFinite(step) ? step : 1;
  const least = type === 'u8' ? 0 : -128;
  return { scale, zero: Math.min(least + 255, Math.max(least, least + rne(-from / scale))) };
}

export const scalarTensor = (name: string, value: number): TensorRef => floatTensor(name, [], Float32Array.of(value));
