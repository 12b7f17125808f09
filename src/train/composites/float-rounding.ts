/** Rounding to a floating-point type of few bits in standard operators: to nearest even, saturating, subnormals kept. */
import { floatTensor } from '../../tensor-ref.ts';
import { int } from '../../graph/build.ts';
import type { Tape } from '../../graph/gradient/tape.ts';

export interface FloatType { readonly exponentBits: number; readonly mantissaBits: number; readonly max: number }

/** Tables of steps written on a tape already, by type. */
const written = new WeakMap<Tape, Map<string, string>>();

/**
 * Appends the nearest number of the type. A binade found wrongly by the logarithm does no harm: values that close to a
 * power of two round to it with the step of either side.
 */
export function appendFloatRounding(tape: Tape, value: string, { exponentBits, mantissaBits, max }: FloatType): string {
  const bias = 2 ** (exponentBits - 1) - 1;
  const lowest = 1 - bias;
  const highest = Math.floor(Math.log2(max));
  const key = `${exponentBits} ${mantissaBits} ${max}`;
  const tables = written.get(tape) ?? new Map<string, string>();
  written.set(tape, tables);
  if (!tables.has(key)) {
    tables.set(key, tape.weight(floatTensor('steps', [highest - lowest + 1], Float32Array.from({ length: highest - lowest + 1 }, (_, i) => 2 ** (lowest + i - mantissaBits)))));
  }
  const bounded = tape.op('Clip', [value, tape.constant(-max), tape.constant(max)]);
  const size = tape.op('Abs', [bounded]);
  const binade = tape.op('Floor', [tape.op('Div', [tape.op('Log', [tape.op('Max', [size, tape.constant(2 ** lowest)])]), tape.constant(Math.LN2)])]);
  const index = tape.op('Sub', [tape.op('Clip', [binade, tape.constant(lowest), tape.constant(highest)]), tape.constant(lowest)]);
  const step = tape.op('Gather', [tables.get(key)!, tape.op('Cast', [index], { to: int(7) })], { axis: int(0) });
  return tape.op('Mul', [tape.op('Round', [tape.op('Div', [bounded, step])]), step]);
}
