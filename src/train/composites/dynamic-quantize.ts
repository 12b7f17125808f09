/**
 * A value as its readers see it after rounding to a number format whose scales are measured on the value itself, in the
 * arithmetic of the format's own encoder, operation by operation in float32. Scales lie along the last axis (a token is
 * everything before it). The gradient passes straight through: a measured range leaves nothing outside.
 * Attributes: `format` (spelling), `width` (extent of the last axis; needed by formats with groups).
 */
import { isMixed, mixedRuns } from '../../formats/mixed-blocks.ts';
import { isScaled, type ScaledFormat } from '../../formats/scaled.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import type { SymmetricSpec } from '../../formats/symmetric.ts';
import type { ScaleType } from '../../formats/scale-type.ts';
import { int, string } from '../../graph/build.ts';
import { compositeDomain, type Composite } from '../../graph/composite.ts';
import type { Tape } from '../../graph/gradient/tape.ts';
import { appendFloatRounding } from './float-rounding.ts';

/** Why a format cannot be measured on a value by standard operators; undefined where it can. */
export function refusesDynamic(format: NumberFormat): string | undefined {
  if (isMixed(format)) return refusesDynamic(format.mixed.narrow) ?? refusesDynamic(format.mixed.wide);
  if (!('granularity' in format) || !isScaled(format as ScaledFormat)) return 'it has no scales to measure';
  const { granularity, symmetric, integer, scaleType } = format as ScaledFormat;
  if (granularity.kind === 'block' || granularity.kind === 'flat') return 'its blocks cross rows';
  if (scaleType.name === 'bf16') return 'scales in bfloat16 have no operator';
  if (integer?.asymmetric) return undefined;
  const plain = symmetric !== undefined && symmetric.absMean !== true && symmetric.scaleRule === undefined;
  return plain && (symmetric.grid.uniform !== undefined || symmetric.grid.type !== undefined) ? undefined : 'its levels are searched or looked up';
}

export const dynamicQuantize: Composite = {
  op: 'DynamicQuantize',
  expand(node, tape) {
    const [x] = node.inputs;
    const format = parseFormat(String(node.attributes.format?.value));
    const width = Number(node.attributes.width?.value);
    if (!isMixed(format)) return [scaledRounding(tape, x, format as ScaledFormat, width)];
    const runs = mixedRuns(format, width);
    if (runs.length === 1) return [scaledRounding(tape, x, runs[0].format, width)];
    const parts = runs.map(({ begin, end, format: own }) => scaledRounding(tape, tape.op('Slice', [x, tape.ints([begin]), tape.ints([end]), tape.ints([-1])]), own, end - begin));
    return [tape.op('Concat', parts, { axis: int(-1) })];
  },
  gradient: ({ dy }) => [dy],
};

/** The value in one format with scales along its last axis, whose extent is `width`. */
function scaledRounding(tape: Tape, x: string, format: ScaledFormat, width: number): string {
  const { granularity } = format;
  if (granularity.kind !== 'group') return rounded(tape, x, format, granularity.kind === 'tensor');
  const { size } = granularity;
  const missing = (size - (width % size)) % size;
  // Zeros at the end of the last group change no extreme value.
  const whole = missing === 0 ? x : tape.op('Pad', [x, tape.ints([0, missing]), tape.constant(0), tape.ints([-1])]);
  const back = tape.op('Shape', [whole]);
  const grouped = tape.op('Reshape', [whole, tape.ints([-1, size])]);
  const value = tape.op('Reshape', [rounded(tape, grouped, format, false), back]);
  return missing === 0 ? value : tape.op('Slice', [value, tape.ints([0]), tape.ints([width]), tape.ints([-1])]);
}

/** The value with one scale for all of it, or one per vector of the last axis. */
function rounded(tape: Tape, x: string, format: ScaledFormat, whole: boolean): string {
  const reduce = (op: string, value: string): string => tape.op(op, whole ? [value] : [value, tape.ints([-1])], { keepdims: int(1) });
  if (format.integer?.asymmetric) return affine(tape, x, format.integer.qmax, format.scaleType, reduce);
  const spec = format.symmetric!;
  const amax = reduce('ReduceMax', tape.op('Abs', [x]));
  const scale = tape.op('Where', [tape.op('Equal', [amax, tape.constant(0)]), tape.constant(1), scaleOf(tape, x, amax, spec)]);
  return tape.op('Mul', [scale, level(tape, tape.op('Div', [x, scale]), spec)]);
}

/** What codes are multiplied with: the extreme value over the largest level, in the type that scales have. */
function scaleOf(tape: Tape, x: string, amax: string, { grid, scaleType, divisor = grid.max, tensorScale = false }: SymmetricSpec): string {
  if (scaleType.name === 'e8m0') {
    // 2^(⌊log2 amax⌋ − emax): the power of two at or below the extreme value, cut to what eight bits of exponent hold.
    const power = tape.op('Floor', [tape.op('Div', [tape.op('Log', [amax]), tape.constant(Math.LN2)])]);
    const near = tape.op('Pow', [tape.constant(2), power]);
    // The logarithm may land on the wrong side of a power of two; comparing puts it right.
    const low = tape.op('Where', [tape.op('Greater', [near, amax]), tape.op('Mul', [near, tape.constant(0.5)]), near]);
    const exact = tape.op('Where', [tape.op('GreaterOrEqual', [amax, tape.op('Mul', [low, tape.constant(2)])]), tape.op('Mul', [low, tape.constant(2)]), low]);
    return within(tape, tape.op('Mul', [exact, tape.constant(2 ** -grid.emax)]), scaleType);
  }
  const raw = tape.op('Div', [amax, tape.constant(divisor)]);
  if (!tensorScale) return stored(tape, raw, scaleType);
  const all = tape.op('ReduceMax', [tape.op('Abs', [x])], { keepdims: int(0) });
  const most = tape.op('Max', [tape.op('Div', [all, tape.constant(grid.max * scaleType.max)]), tape.constant(2 ** -149)]);
  const whole = tape.op('Where', [tape.op('Equal', [all, tape.constant(0)]), tape.constant(1), most]);
  return tape.op('Mul', [stored(tape, tape.op('Div', [raw, whole]), scaleType), whole]);
}

const within = (tape: Tape, value: string, { min, max }: ScaleType): string =>
  tape.op('Max', [tape.op('Min', [value, tape.constant(max)]), tape.constant(min)]);

/** A scale in the type that scales have: never zero, saturating. */
function stored(tape: Tape, value: string, scaleType: ScaleType): string {
  switch (scaleType.name) {
    case 'f16': return within(tape, tape.op('Cast', [tape.op('Cast', [within(tape, value, scaleType)], { to: int(10) })], { to: int(1) }), scaleType);
    case 'e4m3': return within(tape, appendFloatRounding(tape, value, { exponentBits: 4, mantissaBits: 3, max: 448 }), scaleType);
    case 'ue5m3': return within(tape, appendFloatRounding(tape, value, { exponentBits: 5, mantissaBits: 3, max: scaleType.max }), scaleType);
    default: return within(tape, value, scaleType);
  }
}

/** The level nearest to a scaled value. */
function level(tape: Tape, value: string, { grid }: SymmetricSpec): string {
  if (grid.type !== undefined) return appendFloatRounding(tape, value, grid.type);
  const { qmin, qmax, step } = grid.uniform!;
  const times = (v: string, factor: number): string => (factor === 1 ? v : tape.op('Mul', [v, tape.constant(factor)]));
  return times(tape.op('Round', [tape.op('Clip', [times(value, 1 / step), tape.constant(qmin), tape.constant(qmax)])]), step);
}

/** Codes 0 … qmax over a range that holds zero, with a zero point. */
function affine(tape: Tape, x: string, qmax: number, scaleType: ScaleType, reduce: (op: string, value: string) => string): string {
  const lo = tape.op('Min', [reduce('ReduceMin', x), tape.constant(0)]);
  const hi = tape.op('Max', [reduce('ReduceMax', x), tape.constant(0)]);
  const span = tape.op('Sub', [hi, lo]);
  const flat = tape.op('Equal', [span, tape.constant(0)]);
  const scale = tape.op('Where', [flat, tape.constant(1), stored(tape, tape.op('Div', [span, tape.constant(qmax)]), scaleType)]);
  const zero = tape.op('Clip', [tape.op('Round', [tape.op('Div', [tape.op('Neg', [lo]), scale])]), tape.constant(0), tape.constant(qmax)]);
  const code = tape.op('Round', [tape.op('Div', [x, scale])]);
  const limited = tape.op('Min', [tape.op('Max', [code, tape.op('Neg', [zero])]), tape.op('Sub', [tape.constant(qmax), zero])]);
  return tape.op('Mul', [scale, limited]);
}

/** Appends the rounded value; `width` is the extent of its last axis. */
export const appendDynamicQuantize = (tape: Tape, value: string, format: string, width: number): string =>
  tape.node(dynamicQuantize.op, [value], { domain: compositeDomain, attributes: { format: string(format), width: int(width) } })[0];
