/**
 * Trellis codes and vectors in standard operators, so that a file is as small as its codes although no runtime knows them:
 * a state is a sum of the new bits of its last steps, its value arithmetic on the state and a small table, and the runtime
 * folds all of it into a float matrix when it loads the model.
 */
import { int, ints } from '../graph/build.ts';
import { lazyTensor } from '../graph/values.ts';
import { floatTensor } from '../tensor-ref.ts';
import { blockCols, type BlockFormat } from '../formats/column-blocks.ts';
import { gaussianPoints } from '../formats/gaussian-vectors.ts';
import { entryBitsOf, oneMad, pairTable, stateValues, weightsPerState } from '../formats/trellis/codes.ts';
import { isTrellisFormat, tileRows, type TrellisFormat } from '../formats/trellis/trellis.ts';
import { encodeBf16 } from '../numeric/half.ts';
import type { Tiles } from './onnx-tiles.ts';
import { reshaped, sliced, unpackedCodes } from './onnx-unpack.ts';
import type { Emit } from './onnx-weight-only.ts';

/** The float matrix [rows, cols] of a quantized one. */
export function blockCodes(id: string, tiles: Tiles, format: BlockFormat, emit: Emit): string {
  const { rows, cols } = tiles.matrix;
  const values = isTrellisFormat(format) ? trellisValues(id, tiles, format, emit) : vectorValues(id, tiles, format, emit);
  const halves = lazyTensor(emit.fresh(`${id}_scale`), 'bf16', [rows, 1], async () => {
    const { buffer, byteOffset, byteLength } = encodeBf16((await tiles.fitted(0)).scales);
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  const scales = emit.node('Cast', [emit.weight(halves)], { to: int(1) });
  return emit.node('Mul', [shape(values, rows, cols, emit), scales]);
}

interface Padded { readonly value: string; readonly rows: number; readonly cols: number }

/** Without the padding to whole tiles. */
function shape({ value, rows: paddedRows, cols: paddedCols }: Padded, rows: number, cols: number, emit: Emit): string {
  const high = paddedRows === rows ? value : sliced(value, 0, 0, rows, emit);
  return paddedCols === cols ? high : sliced(high, 1, 0, cols, emit);
}

function vectorValues(id: string, tiles: Tiles, format: BlockFormat, emit: Emit): Padded {
  const { rows, cols } = tiles.matrix;
  const pointBits = 2 * format.bits;
  const pairs = Math.ceil(cols / 2);
  const lineBytes = Math.ceil((pairs * pointBits) / 8);
  const bytes = emit.weight(lazyTensor(emit.fresh(`${id}_codes`), 'u8', [rows, lineBytes], async () => (await tiles.quantized(0)).codes as Uint8Array));
  const { x, y } = gaussianPoints(2 ** pointBits);
  const points = emit.weight(floatTensor(`points_${x.length}`, [x.length, 2], Float32Array.from({ length: 2 * x.length }, (_, i) => (i & 1 ? y : x)[i >> 1])));
  const found = emit.node('Gather', [points, unpackedCodes(bytes, rows, lineBytes, pairs, pointBits, emit)], { axis: int(0) });
  return { value: reshaped(found, [rows, 2 * pairs], emit), rows, cols: 2 * pairs };
}

function trellisValues(id: string, tiles: Tiles, format: TrellisFormat, emit: Emit): Padded {
  const { rows, cols } = tiles.matrix;
  const { strips, runs, stripBytes } = format.layout(rows, cols);
  const steps = (tileRows * blockCols) / weightsPerState[format.code];
  let before = 0;
  const parts = runs.map(({ tiles: across, stepBits, tileBytes }) => {
    const from = before;
    const width = across * tileBytes;
    before += width;
    const bytes = emit.weight(lazyTensor(emit.fresh(`${id}_codes`), 'u8', [strips * across, tileBytes], async () => {
      const codes = (await tiles.quantized(0)).codes as Uint8Array;
      const out = new Uint8Array(strips * width);
      for (let strip = 0; strip < strips; strip++) out.set(codes.subarray(strip * stripBytes + from, strip * stripBytes + from + width), strip * width);
      return out;
    }));
    const states = statesOf(unpackedCodes(bytes, strips * across, tileBytes, steps, stepBits, emit), format.stateBits, stepBits, steps, emit);
    const tiled = reshaped(valuesOf(states, format, stepBits, emit), [strips, across, tileRows, blockCols], emit);
    return reshaped(emit.node('Transpose', [tiled], { perm: ints([0, 2, 1, 3]) }), [strips * tileRows, across * blockCols], emit);
  });
  const value = parts.length === 1 ? parts[0] : emit.node('Concat', parts, { axis: int(1) });
  return { value, rows: strips * tileRows, cols: runs.reduce((sum, run) => sum + run.tiles, 0) * blockCols };
}

/** States from the new bits [sequences, steps]: Σ bits of j steps ago · 2^(j·k), mod 2^L; the steps before the first are the last. */
function statesOf(symbols: string, stateBits: number, stepBits: number, steps: number, emit: Emit): string {
  const constant = (value: number): string => emit.constant('i32', [value]);
  const back = Math.ceil(stateBits / stepBits) - 1;
  const ring = emit.node('Concat', [sliced(symbols, 1, steps - back, steps, emit), symbols], { axis: int(1) });
  let sum = symbols;
  for (let j = 1; j <= back; j++) sum = emit.node('Add', [sum, emit.node('Mul', [sliced(ring, 1, back - j, back - j + steps, emit), constant(2 ** (j * stepBits))])]);
  return emit.node('Mod', [sum, constant(2 ** stateBits)]);
}

/** What states stand for, by the arithmetic of their code in int64. */
function valuesOf(states: string, { code, stateBits }: TrellisFormat, stepBits: number, emit: Emit): string {
  if (code === '3inst') return emit.node('Gather', [table(`states_3inst_${stateBits}`, stateValues(code, stateBits, stepBits), emit), states], { axis: int(0) });
  const constant = (value: number): string => emit.constant('i64', [value]);
  const x = emit.node('Cast', [states], { to: int(7) });
  const divided = (value: string, by: number): string => emit.node('Div', [value, constant(by)]);
  const modulo = (value: string, by: number): string => emit.node('Mod', [value, constant(by)]);
  if (code === '1mad') {
    const y = modulo(emit.node('Add', [emit.node('Mul', [x, constant(34038481)]), constant(76625530)]), 2 ** 32);
    const bytes = [1, 2 ** 8, 2 ** 16, 2 ** 24].map((by) => modulo(by === 1 ? y : divided(y, by), 256));
    const sum = bytes.reduce((a, b) => emit.node('Add', [a, b]));
    return emit.node('Gather', [table(`sums_1mad_${stateBits}`, bySum(stateBits), emit), sum], { axis: int(0) });
  }
  const entryBits = entryBitsOf(stepBits);
  const t = emit.node('Mul', [emit.node('Add', [x, constant(1)]), x]);
  const entry = modulo(divided(t, 2 ** (15 - entryBits)), 2 ** entryBits);
  const negative = modulo(divided(t, 2 ** 15), 2);
  const pair = emit.node('Gather', [table(`pairs_${entryBits}`, pairTable(entryBits), emit, 2), entry], { axis: int(0) });
  // Second weights keep their sign.
  const signs = emit.weight(floatTensor('pair_signs', [2, 2], Float32Array.of(1, 1, -1, 1)));
  return emit.node('Mul', [pair, emit.node('Gather', [signs, negative], { axis: int(0) })]);
}

function table(name: string, values: Float32Array, emit: Emit, width = 1): string {
  return emit.weight(floatTensor(name, width === 1 ? [values.length] : [values.length / width, width], values));
}

/** Value of every sum of four bytes; sums that no state has stay 0. */
function bySum(stateBits: number): Float32Array {
  const values = stateValues('1mad', stateBits, 1);
  const out = new Float32Array(4 * 255 + 1);
  values.forEach((value, state) => { out[Math.round(oneMad(state) * 147.800537109375 + 510)] = value; });
  return out;
}

