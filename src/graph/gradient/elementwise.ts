/** Gradients of functions that work on each element alone, and of arithmetic that broadcasts. */
import { int } from '../build.ts';
import { isFloatType } from '../values.ts';
import type { GradientRule, GradientSite } from './site.ts';
import { elementTypeOf } from '../data-types.ts';

/** dx = dy · slope(x, y). */
const slope = (of: (site: GradientSite) => string): GradientRule => (site) => [site.mul(site.dy, of(site))];
/** The gradient of every input from its partial derivative; broadcasting is undone. */
const partials = (...of: ((site: GradientSite) => string)[]): GradientRule => (site) =>
  site.node.inputs.map((_, i) => (site.wants(i) ? site.unbroadcast(of[i](site), site.resultShape(), i) : undefined));
/** A step: nothing flows through it. */
const flat: GradientRule = (site) => site.node.inputs.map(() => undefined);

const op = (site: GradientSite, type: string, ...inputs: (string | number)[]): string =>
  site.tape.op(type, inputs.map((value) => (typeof value === 'number' ? site.tape.constant(value) : value)));
const asFloat = (site: GradientSite, condition: string): string => site.tape.op('Cast', [condition], { to: int(1) });
const square = (site: GradientSite, value: string): string => site.mul(value, value);

/** Density of the normal distribution, and its integral. */
const density = (site: GradientSite, x: string): string => site.mul(op(site, 'Exp', site.mul(square(site, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
const cumulative = (site: GradientSite, x: string): string => site.mul(site.add(op(site, 'Erf', site.mul(x, Math.SQRT1_2)), 1), 0.5);

const gelu = slope((site) => {
  const { x } = site;
  if (site.text('approximate', 'none') === 'none') return site.add(cumulative(site, x), site.mul(x, density(site, x)));
  const c = Math.sqrt(2 / Math.PI);
  const t = op(site, 'Tanh', site.mul(site.add(x, site.mul(site.mul(square(site, x), x), 0.044715)), c));
  const inner = site.mul(site.add(site.mul(square(site, x), 3 * 0.044715), 1), c);
  return site.add(site.mul(site.add(t, 1), 0.5), site.mul(site.mul(site.mul(x, 0.5), site.sub(1, square(site, t))), inner));
});

/** y = x · sigmoid(alpha · x). */
const swish = (alpha: (site: GradientSite) => number): GradientRule => slope((site) => {
  const a = alpha(site);
  const s = op(site, 'Sigmoid', a === 1 ? site.x : site.mul(site.x, a));
  return site.add(s, site.mul(a === 1 ? site.y : site.mul(site.y, a), site.sub(1, s)));
});

/** The largest or smallest of several; entries that are equal share the gradient. */
const extreme: GradientRule = (site) => {
  const hits = site.node.inputs.map((input) => asFloat(site, op(site, 'Equal', input, site.y)));
  const share = site.div(site.dy, hits.length === 1 ? hits[0] : hits.reduce((sum, hit) => site.add(sum, hit)));
  return hits.map((hit, i) => (site.wants(i) ? site.unbroadcast(site.mul(share, hit), site.resultShape(), i) : undefined));
};

/** Inside of the bounds the gradient passes; beyond one it belongs to that bound. */
const clip: GradientRule = (site) => {
  const { x, dy } = site;
  const [, low = '', high = ''] = site.node.inputs;
  const conditions = [...(low === '' ? [] : [op(site, 'GreaterOrEqual', x, low)]), ...(high === '' ? [] : [op(site, 'LessOrEqual', x, high)])];
  const inside = conditions.length === 0 ? dy : site.only(conditions.length === 1 ? conditions[0] : op(site, 'And', ...conditions), dy);
  return [
    inside,
    site.wants(1) ? site.unbroadcast(site.only(op(site, 'Less', x, low), dy), site.resultShape(), 1) : undefined,
    site.wants(2) ? site.unbroadcast(site.only(op(site, 'Greater', x, high), dy), site.resultShape(), 2) : undefined,
  ];
};

const pow: GradientRule = (site) => {
  const [x, e] = site.node.inputs;
  const known = site.shape(1).every((dim) => dim === 1) && !site.wants(1) ? site.content(1)[0] : undefined;
  const base = (): string => {
    if (known === 2) return site.mul(site.mul(site.dy, x), 2);
    if (known === 1) return site.dy;
    if (known === 0) return site.mul(site.dy, 0);
    const power = known === 0.5 ? op(site, 'Reciprocal', site.y) : op(site, 'Pow', x, known === undefined ? site.sub(e, 1) : known - 1);
    return site.mul(site.dy, site.mul(power, known ?? e));
  };
  return [
    site.wants(0) ? site.unbroadcast(base(), site.resultShape(), 0) : undefined,
    site.wants(1) ? site.unbroadcast(site.mul(site.dy, site.mul(site.y, op(site, 'Log', x))), site.resultShape(), 1) : undefined,
  ];
};

/** Exponential units: `scale · (x > 0 ? x : alpha · (e^(x / width) − 1))`. */
const exponential = (scale: (s: GradientSite) => number, alpha: (s: GradientSite) => number, width: (s: GradientSite) => number): GradientRule => slope((site) => {
  const below = site.mul(op(site, 'Exp', site.div(op(site, 'Min', site.x, 0), width(site))), (scale(site) * alpha(site)) / width(site));
  return op(site, 'Where', op(site, 'Greater', site.x, 0), scale(site), below);
});

const cast: GradientRule = (site) => {
  const to = elementTypeOf(site.int('to', 1));
  return [isFloatType(to) && to !== 'f32' ? site.tape.op('Cast', [site.dy], { to: int(1) }) : site.dy];
};

/** In training, what was kept was scaled up too. */
const dropout: GradientRule = (site) => {
  if ((site.optional(2)?.[0] ?? 0) === 0) return [site.dy];
  return [site.only(site.output(1), site.mul(site.dy, 1 / (1 - (site.optional(1)?.[0] ?? 0.5))))];
};

/** Remainder with the sign of the dividend: a − b · trunc(a / b). */
const remainder: GradientRule = (site) => {
  if (site.int('fmod', 0) !== 1) throw site.without('fmod 0');
  const [a, b] = site.node.inputs;
  const quotient = (): string => { const ratio = site.div(a, b); return site.mul(op(site, 'Floor', op(site, 'Abs', ratio)), op(site, 'Sign', ratio)); };
  return [
    site.wants(0) ? site.unbroadcast(site.dy, site.resultShape(), 0) : undefined,
    site.wants(1) ? site.unbroadcast(site.neg(site.mul(site.dy, quotient())), site.resultShape(), 1) : undefined,
  ];
};

export const elementwiseRules: Readonly<Record<string, GradientRule>> = {
  Identity: (site) => [site.dy], Dropout: dropout, Cast: cast, CastLike: (site) => [site.dy],
  Floor: flat, Ceil: flat, Round: flat, Sign: flat,
  Neg: (site) => [site.neg(site.dy)],
  Abs: slope((site) => op(site, 'Sign', site.x)),
  Reciprocal: (site) => [site.neg(site.mul(site.dy, square(site, site.y)))],
  Sqrt: (site) => [site.div(site.mul(site.dy, 0.5), site.y)],
  Exp: slope((site) => site.y),
  Log: (site) => [site.div(site.dy, site.x)],
  Erf: slope((site) => site.mul(op(site, 'Exp', site.neg(square(site, site.x))), 2 / Math.sqrt(Math.PI))),
  Sin: slope((site) => op(site, 'Cos', site.x)),
  Cos: (site) => [site.neg(site.mul(site.dy, op(site, 'Sin', site.x)))],
  Tan: slope((site) => site.add(square(site, site.y), 1)),
  Asin: (site) => [site.div(site.dy, op(site, 'Sqrt', site.sub(1, square(site, site.x))))],
  Acos: (site) => [site.neg(site.div(site.dy, op(site, 'Sqrt', site.sub(1, square(site, site.x)))))],
  Atan: (site) => [site.div(site.dy, site.add(square(site, site.x), 1))],
  Sinh: slope((site) => op(site, 'Cosh', site.x)),
  Cosh: slope((site) => op(site, 'Sinh', site.x)),
  Asinh: (site) => [site.div(site.dy, op(site, 'Sqrt', site.add(square(site, site.x), 1)))],
  Acosh: (site) => [site.div(site.dy, op(site, 'Sqrt', site.sub(square(site, site.x), 1)))],
  Atanh: (site) => [site.div(site.dy, site.sub(1, square(site, site.x)))],
  Tanh: slope((site) => site.sub(1, square(site, site.y))),
  Sigmoid: slope((site) => site.mul(site.y, site.sub(1, site.y))),
  HardSigmoid: (site) => {
    const inside = op(site, 'And', op(site, 'Greater', site.y, 0), op(site, 'Less', site.y, 1));
    return [site.only(inside, site.mul(site.dy, site.float('alpha', 0.2)))];
  },
  HardSwish: slope((site) => {
    const middle = site.add(site.div(site.x, 3), 0.5);
    return op(site, 'Where', op(site, 'LessOrEqual', site.x, -3), 0, op(site, 'Where', op(site, 'GreaterOrEqual', site.x, 3), 1, middle));
  }),
  Softplus: slope((site) => op(site, 'Sigmoid', site.x)),
  Softsign: (site) => [site.div(site.dy, square(site, site.add(op(site, 'Abs', site.x), 1)))],
  // A comparison and a cast take half the time of Sign, and less than Where.
  Relu: slope((site) => asFloat(site, op(site, 'Greater', site.y, 0))),
  LeakyRelu: slope((site) => op(site, 'Where', op(site, 'Greater', site.x, 0), 1, site.float('alpha', 0.01))),
  PRelu: (site) => {
    const above = op(site, 'Greater', site.x, 0);
    return [
      site.wants(0) ? op(site, 'Where', above, site.dy, site.mul(site.dy, site.node.inputs[1])) : undefined,
      site.wants(1) ? site.unbroadcast(op(site, 'Where', above, 0, site.mul(site.dy, site.x)), site.resultShape(), 1) : undefined,
    ];
  },
  ThresholdedRelu: (site) => [site.only(op(site, 'Greater', site.x, site.float('alpha', 1)), site.dy)],
  Elu: exponential(() => 1, (site) => site.float('alpha', 1), () => 1),
  Celu: exponential(() => 1, (site) => site.float('alpha', 1), (site) => site.float('alpha', 1)),
  Selu: exponential((site) => site.float('gamma', 1.0507010221481323), (site) => site.float('alpha', 1.6732631921768188), () => 1),
  Gelu: gelu, 'com.microsoft:Gelu': gelu,
  'com.microsoft:QuickGelu': swish((site) => site.float('alpha', 1.702)),
  Swish: swish((site) => site.float('alpha', 1)),
  Mish: slope((site) => {
    const t = op(site, 'Tanh', op(site, 'Softplus', site.x));
    return site.add(t, site.mul(site.mul(site.x, site.sub(1, square(site, t))), op(site, 'Sigmoid', site.x)));
  }),
  Shrink: (site) => [site.only(op(site, 'Greater', op(site, 'Abs', site.x), site.float('lambd', 0.5)), site.dy)],
  Clip: clip, Mod: remainder,
  Add: partials((site) => site.dy, (site) => site.dy),
  Sub: partials((site) => site.dy, (site) => site.neg(site.dy)),
  Mul: partials((site) => site.mul(site.dy, site.node.inputs[1]), (site) => site.mul(site.dy, site.node.inputs[0])),
  Div: partials((site) => site.div(site.dy, site.node.inputs[1]), (site) => site.neg(site.mul(site.dy, site.div(site.y, site.node.inputs[1])))),
  Pow: pow,
  Max: extreme, Min: extreme,
  Sum: (site) => site.node.inputs.map((_, i) => (site.wants(i) ? site.unbroadcast(site.dy, site.resultShape(), i) : undefined)),
  Mean: (site) => {
    const share = site.mul(site.dy, 1 / site.node.inputs.length);
    return site.node.inputs.map((_, i) => (site.wants(i) ? site.unbroadcast(share, site.resultShape(), i) : undefined));
  },
  Where: (site) => {
    const [condition] = site.node.inputs;
    return [
      undefined,
      site.wants(1) ? site.unbroadcast(site.only(condition, site.dy), site.resultShape(), 1) : undefined,
      site.wants(2) ? site.unbroadcast(op(site, 'Where', condition, 0, site.dy), site.resultShape(), 2) : undefined,
    ];
  },
};
