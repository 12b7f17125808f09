/** Codes of any width unpacked from bytes by standard operators, bit by bit: bytes become bits by division, bits become numbers by a sum. */
import { int } from '../graph/build.ts';
import type { Emit } from './onnx-weight-only.ts';

/** Bytes [lines, bytes per line] as int32 codes [lines, count], first code in the lowest bits. */
export function unpackedCodes(bytes: string, lines: number, lineBytes: number, count: number, bits: number, emit: Emit): string {
  const constant = (values: readonly number[]): string => emit.constant('i32', values);
  const powers = (n: number): number[] => Array.from({ length: n }, (_, i) => 2 ** i);
  const numbers = emit.node('Cast', [reshaped(bytes, [lines, lineBytes, 1], emit)], { to: int(6) });
  const single = emit.node('Mod', [emit.node('Div', [numbers, constant(powers(8))]), constant([2])]);
  const line = reshaped(single, [lines, lineBytes * 8], emit);
  const used = count * bits === lineBytes * 8 ? line : sliced(line, 1, 0, count * bits, emit);
  const weighed = emit.node('Mul', [reshaped(used, [lines, count, bits], emit), constant(powers(bits))]);
  return emit.node('ReduceSum', [weighed, emit.constant('i64', [2])], { keepdims: int(0) });
}

export const reshaped = (value: string, to: readonly number[], emit: Emit): string =>
  emit.node('Reshape', [value, emit.constant('i64', to)]);

/** Indices [begin, end) of an axis. */
export function sliced(value: string, axis: number, begin: number, end: number, emit: Emit): string {
  const at = (n: number): string => emit.constant('i64', [n]);
  return emit.node('Slice', [value, at(begin), at(end), at(axis)]);
}
