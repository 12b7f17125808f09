/** Operators that compute each element from the elements at the same place, with broadcasting. */
import type { ElementType } from '../../tensor-ref.ts';
import { elementTypeOf, onnxTypeName } from '../../graph/data-types.ts';
import { rne } from '../../numeric/rounding.ts';
import { errors, type Call, type Operator, type Operators } from './call.ts';
import { castNumber, fit, isInteger, wrapBig } from './types.ts';
import { broadcastShape, broadcastStrides, dot, expanded, tabulate, valueOf, type Value64 } from './value.ts';

/** A function of one element over a whole value. */
export const mapped = (x: Value64, f: (x: number) => number, type: ElementType = x.type): Value64 =>
  ({ type, shape: x.shape, data: x.data.map((element) => fit(type, f(element))) });

/** A function of two elements over values that broadcast to each other. */
export function combined(a: Value64, b: Value64, f: (a: number, b: number) => number, type: ElementType = a.type): Value64 {
  const shape = broadcastShape([a.shape, b.shape]);
  const [as, bs] = [broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)];
  return tabulate(type, shape, (index) => fit(type, f(a.data[dot(index, as)], b.data[dot(index, bs)])));
}

/** Error function: 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms all have one sign. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x));
const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Remainder with the sign of the divisor, or of the dividend where `fmod` is set. */
const mod = (fmod: boolean) => (a: number, b: number): number => {
  const rest = a % b;
  return fmod || rest === 0 || rest < 0 === b < 0 ? rest : rest + b;
};

const unary = (f: (x: number) => number): Operator => (call) => mapped(call.input(0), f);
const toBool = (f: (x: number) => boolean): Operator => (call) => mapped(call.input(0), (x) => (f(x) ? 1 : 0), 'bool');
const binary = (f: (a: number, b: number) => number): Operator => (call) => combined(call.input(0), call.input(1), f);
const compare = (f: (a: number, b: number) => boolean): Operator => (call) => combined(call.input(0), call.input(1), (a, b) => (f(a, b) ? 1 : 0), 'bool');
const variadic = (f: (a: number, b: number) => number): Operator => (call) => call.inputs.reduce((a, b) => combined(a, b, f));
/** A function with numbers from attributes. */
const shaped = (make: (call: Call) => (x: number) => number): Operator => (call) => mapped(call.input(0), make(call));

const mul: Operator = (call) => {
  const { type } = call.input(0);
  const exact = (a: number, b: number): number => (Number.isSafeInteger(a * b) ? a * b : wrapBig(type, BigInt(a) * BigInt(b)));
  return combined(call.input(0), call.input(1), isInteger(type) ? exact : (a, b) => a * b);
};

const clip: Operator = (call) => {
  const low = call.optional(1)?.data[0] ?? -Infinity;
  const high = call.optional(2)?.data[0] ?? Infinity;
  return mapped(call.input(0), (x) => clamp(x, low, high));
};

const where: Operator = (call) => {
  const [condition, a, b] = call.inputs;
  const shape = broadcastShape([condition.shape, a.shape, b.shape]);
  const [c, x, y] = [condition, a, b].map((value) => expanded(value, shape).data);
  return tabulate(a.type, shape, (_, i) => (c[i] === 0 ? y[i] : x[i]));
};

/** Slopes broadcast toward x, from the last axis. */
const prelu: Operator = (call) => combined(call.input(0), call.input(1), (x, slope) => (x < 0 ? slope * x : x));

const castTo = (x: Value64, to: ElementType, saturates: boolean): Value64 =>
  valueOf(to, x.shape, x.data.map((element) => castNumber(x.type, to, element, saturates)));

const cast: Operator = (call) => {
  const to = elementTypeOf(call.int('to'));
  if (to === undefined) throw errors.setting({ node: call.name, setting: 'cast to', value: onnxTypeName(call.int('to')), known: 'types of numbers' });
  return castTo(call.input(0), to, call.flag('saturate', true));
};

/** The mask of what is kept has ones only; a ratio other than 0 in training mode is random, which no reference can be. */
const dropout: Operator = (call) => {
  const x = call.input(0);
  const training = (call.optional(2)?.data[0] ?? 0) !== 0;
  if (training && (call.optional(1)?.data[0] ?? 0.5) !== 0) throw errors.setting({ node: call.name, setting: 'training mode', value: 'on', known: 'off, or a ratio of 0' });
  return [x, valueOf('bool', x.shape, new Float64Array(x.data.length).fill(1))];
};

const gelus = { none: gelu, tanh: geluTanh };

/** x plus a bias, then an activation. */
const biased = (f: (x: number) => number): Operator => (call) => {
  const bias = call.optional(1);
  const x = call.input(0);
  return mapped(bias === undefined ? x : combined(x, bias, (a, b) => a + b), f);
};

export const elementwise: Operators = {
  Abs: unary(Math.abs),
  Neg: unary((x) => -x),
  Sqrt: unary(Math.sqrt),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Erf: unary(erf),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tan: unary(Math.tan),
  Asin: unary(Math.asin),
  Acos: unary(Math.acos),
  Atan: unary(Math.atan),
  Sinh: unary(Math.sinh),
  Cosh: unary(Math.cosh),
  Tanh: unary(Math.tanh),
  Asinh: unary(Math.asinh),
  Acosh: unary(Math.acosh),
  Atanh: unary(Math.atanh),
  Sign: unary(Math.sign),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(rne),
  Reciprocal: unary((x) => 1 / x),

  Sigmoid: unary(sigmoid),
  HardSigmoid: shaped((call) => {
    const [alpha, beta] = [call.float('alpha', 0.2), call.float('beta', 0.5)];
    return (x) => clamp(alpha * x + beta, 0, 1);
  }),
  HardSwish: unary((x) => x * clamp(x / 6 + 0.5, 0, 1)),
  Softplus: unary(softplus),
  Softsign: unary((x) => x / (1 + Math.abs(x))),
  Relu: unary((x) => Math.max(x, 0)),
  LeakyRelu: shaped((call) => {
    const alpha = call.float('alpha', 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  }),
  ThresholdedRelu: shaped((call) => {
    const alpha = call.float('alpha', 1);
    return (x) => (x > alpha ? x : 0);
  }),
  PRelu: prelu,
  Elu: shaped((call) => {
    const alpha = call.float('alpha', 1);
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  }),
  Selu: shaped((call) => {
    const alpha = call.float('alpha', Math.fround(1.6732632423543772));
    const gamma = call.float('gamma', Math.fround(1.0507009873554805));
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  }),
  Celu: shaped((call) => {
    const alpha = call.float('alpha', 1);
    return (x) => Math.max(x, 0) + Math.min(0, alpha * Math.expm1(x / alpha));
  }),
  Gelu: shaped((call) => call.choice('approximation', call.text('approximate', 'none'), gelus)),
  Mish: unary((x) => x * Math.tanh(softplus(x))),
  Swish: shaped((call) => {
    const alpha = call.float('alpha', 1);
    return (x) => x * sigmoid(alpha * x);
  }),
  Shrink: shaped((call) => {
    const [bias, lambd] = [call.float('bias', 0), call.float('lambd', 0.5)];
    return (x) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0);
  }),
  'com.microsoft:QuickGelu': shaped((call) => {
    const alpha = call.float('alpha', 1.702);
    return (x) => x * sigmoid(alpha * x);
  }),
  'com.microsoft:Gelu': unary(gelu),
  'com.microsoft:BiasGelu': biased(gelu),
  'com.microsoft:FastGelu': biased(geluTanh),

  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: mul,
  Div: binary((a, b) => a / b),
  Pow: binary((a, b) => a ** b),
  Mod: (call) => combined(call.input(0), call.input(1), mod(call.flag('fmod'))),
  Min: variadic(Math.min),
  Max: variadic(Math.max),
  Sum: variadic((a, b) => a + b),
  Mean: (call) => mapped(call.inputs.reduce((a, b) => combined(a, b, (x, y) => x + y)), (x) => x / call.inputs.length),
  Clip: clip,

  Equal: compare((a, b) => a === b),
  Greater: compare((a, b) => a > b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Less: compare((a, b) => a < b),
  LessOrEqual: compare((a, b) => a <= b),
  And: compare((a, b) => a !== 0 && b !== 0),
  Or: compare((a, b) => a !== 0 || b !== 0),
  Xor: compare((a, b) => (a !== 0) !== (b !== 0)),
  Not: toBool((x) => x === 0),
  IsNaN: toBool(Number.isNaN),
  IsInf: (call) => {
    const [positive, negative] = [call.flag('detect_positive', true), call.flag('detect_negative', true)];
    return mapped(call.input(0), (x) => ((positive && x === Infinity) || (negative && x === -Infinity) ? 1 : 0), 'bool');
  },
  Where: where,

  Cast: cast,
  CastLike: (call) => castTo(call.input(0), call.input(1).type, call.flag('saturate', true)),
  Identity: (call) => call.input(0),
  Dropout: dropout,
};
