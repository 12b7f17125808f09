/**
 * Integer formats as WASM SIMD: scales and zero points, from extreme values or searched for the least squared error,
 * four tiles at a time, and codes. Bit for bit what `fit` and `encode` of the format give, which judge it.
 */
import type { EncodeOptions, NumberFormat, Quantized } from '../../formats/format.ts';
import { tilingOf } from '../../formats/granularity.ts';
import { checkInput, isScaled, type Fit, type ScaledFormat } from '../../formats/scaled.ts';
import { exportsOf, growTo } from './instance.ts';
import { scalesWasm } from './scales.wasm.ts';

/** See kernels/scales/index.ts. */
interface ScalesExports {
  readonly memory: WebAssembly.Memory;
  heap(): number;
  fit(
    x: number, count: number, n: number, qmin: number, qmax: number, halves: number, searched: number, importance: number, perRow: number,
    scratch: number, scales: number, zeros: number,
  ): void;
  encode(x: number, count: number, n: number, qmin: number, qmax: number, scales: number, zeros: number, codes: number, sum: number): number;
}

let instance: ScalesExports | undefined;

function start(): ScalesExports {
  if (!instance) {
    instance = exportsOf<ScalesExports>(new WebAssembly.Module(scalesWasm()));
  }
  return instance;
}

/** Values taken at a time, unless one row has more; they stay in the second-level cache. */
const stripValues = 1 << 15;
/** Longer tiles are left to the plain search: four of them, as the kernel holds them, are more than a megabyte. */
const maxLength = 1 << 14;

/** The length of all tiles, where they are equal, lie side by side and the kernel takes them; undefined otherwise. */
function tileLength({ integer, scaleType, granularity }: ScaledFormat, rows: number, cols: number, options: EncodeOptions): number | undefined {
  if (integer === undefined || integer.qmax === 0 || (scaleType.name !== 'f32' && scaleType.name !== 'f16')) return undefined;
  if (options.search === 'p2.4' || options.rounding === 'rhaz' || options.scaleRule !== undefined || rows * cols === 0) return undefined;
  if (granularity.kind === 'tensor' || granularity.kind === 'block') return undefined;
  const { tileCols } = tilingOf(granularity, rows, cols);
  return tileCols % 4 === 0 && cols % tileCols === 0 && tileCols <= maxLength ? tileCols : undefined;
}

/** Fits all tiles; where `codes` is given, fills it and returns the squared error. */
function run(format: ScaledFormat, n: number, values: Float32Array, rows: number, cols: number, options: EncodeOptions, codes?: Uint8Array): Fit & { squaredError: number } {
  checkInput(values, rows, cols, options);
  const { asymmetric, qmin, qmax } = format.integer!;
  const searched = options.search === 'mse';
  const importance = searched ? options.importance : undefined;
  const perRow = cols / n;
  const count = rows * perRow;
  const scales = new Float32Array(count);
  const zeros = asymmetric ? new Uint8Array(count) : undefined;

  const kernel = start();
  // Strips begin with a row, where importances begin; they are filled up to whole fours of tiles.
  const strip = Math.min(count, Math.max(1, Math.floor(stripValues / cols)) * perRow);
  const slots = (strip + 3) & ~3;
  const weightsAt = (kernel.heap() + 15) & ~15;
  const scratch = weightsAt + (importance ? 4 * cols : 0);
  const scalesAt = scratch + 80 * n;
  const zerosAt = asymmetric ? scalesAt + 4 * slots : 0;
  const valuesAt = scalesAt + 8 * slots;
  const codesAt = valuesAt + 4 * slots * n;
  const end = codesAt + slots * n;
  growTo(kernel.memory, end);
  const floats = new Float32Array(kernel.memory.buffer);
  const bytes = new Uint8Array(kernel.memory.buffer);
  if (importance) floats.set(importance, weightsAt / 4);
  const half = format.scaleType.name === 'f16' ? 1 : 0;
  let squaredError = 0;
  for (let first = 0; first < count; first += strip) {
    const tiles = Math.min(strip, count - first);
    const from = valuesAt / 4;
    floats.set(values.subarray(first * n, (first + tiles) * n), from);
    floats.fill(0, from + tiles * n, from + ((tiles + 3) & ~3) * n);
    kernel.fit(valuesAt, tiles, n, qmin, qmax, half, searched ? 1 : 0, importance ? weightsAt : 0, perRow, scratch, scalesAt, zerosAt);
    scales.set(floats.subarray(scalesAt / 4, scalesAt / 4 + tiles), first);
    zeros?.set(floats.subarray(zerosAt / 4, zerosAt / 4 + tiles), first);
    if (codes === undefined) continue;
    squaredError = kernel.encode(valuesAt, tiles, n, qmin, qmax, scalesAt, zerosAt, codesAt, squaredError);
    codes.set(bytes.subarray(codesAt, codesAt + tiles * n), first * n);
  }
  return { scales, ...(zeros === undefined ? {} : { zeros }), scaleShape: tilingOf(format.granularity, rows, cols).shape, squaredError };
}

/** Scales and zero points of a row-major [rows, cols] matrix; undefined where the kernel does not serve the format, the search or the width. */
export function fitFast(format: NumberFormat, values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Fit | undefined {
  const n = isScaled(format) ? tileLength(format, rows, cols, options) : undefined;
  if (n === undefined) return undefined;
  const { squaredError: _none, ...fit } = run(format as ScaledFormat, n, values, rows, cols, options);
  return fit;
}

/** The same with codes. */
export function encodeFast(format: NumberFormat, values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Quantized | undefined {
  const n = isScaled(format) ? tileLength(format, rows, cols, options) : undefined;
  if (n === undefined) return undefined;
  const bytes = new Uint8Array(values.length);
  const fit = run(format as ScaledFormat, n, values, rows, cols, options, bytes);
  return { format: format.name, rows, cols, codes: fit.zeros === undefined ? new Int8Array(bytes.buffer) : bytes, ...fit };
}
