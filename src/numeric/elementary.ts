/**
 * Exponentials and logarithms made of + − × ÷ alone, so that every engine gives the same bits;
 * the built-in Math functions may differ in the last place between engines. Relative error below 1e-15
 * (`pow`: below 1e-15 times 1 + |y·ln x|).
 */

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** ln 2 in two parts: the first has 21 trailing zero bits, so that k·ln2High is exact for |k| ≤ 1100. */
const ln2High = 0.6931471803691238;
const ln2Low = 1.9082149292705877e-10;
const ln2 = 0.6931471805599453;

/** 2^k, exact, for integer k; infinity above 1023 and zero below −1074. */
export function powerOfTwo(k: number): number {
  if (k > 1023) return Infinity;
  if (k < -1074) return 0;
  if (k >= -1022) {
    words[0] = 0;
    words[1] = (k + 1023) << 20;
    return double[0];
  }
  return powerOfTwo(k + 52) * 2.220446049250313e-16;
}

/** floor(log2 |x|) from the exponent bits; x must be finite and not zero. */
export function exponentOf(x: number): number {
  double[0] = x;
  const biased = (words[1] >>> 20) & 0x7ff;
  if (biased !== 0) return biased - 1023;
  // Subnormal: multiply by 2^54 to reach the normal range.
  double[0] = x * 18014398509481984;
  return ((words[1] >>> 20) & 0x7ff) - 1077;
}

/** e^x. */
export function exp(x: number): number {
  if (!(x < 709.782712893384)) return x > 0 ? Infinity : NaN;
  if (x < -745.1332191019412) return 0;
  const k = Math.floor(x / ln2 + 0.5);
  const r = x - k * ln2High - k * ln2Low;
  // |r| ≤ 0.3466: the Taylor series to r^14 is exact to below one unit in the last place.
  let sum = 1 / 87178291200;
  for (let n = 13; n >= 0; n--) sum = sum * r + inverseFactorials[n];
  if (k < -1022) return sum * powerOfTwo(k + 60) * 8.673617379884035e-19;
  return k > 1023 ? sum * powerOfTwo(k - 1) * 2 : sum * powerOfTwo(k);
}
const inverseFactorials = [
  1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320, 1 / 362880, 1 / 3628800,
  1 / 39916800, 1 / 479001600, 1 / 6227020800,
];

/** Splits x > 0 into 2^k · (1 + s)/(1 − s) with |s| ≤ 0.1716 and returns ln((1 + s)/(1 − s)). */
let splitExponent = 0;
function logOfSignificand(x: number): number {
  let k = exponentOf(x);
  let m = x / powerOfTwo(k);
  if (k < -1022) m = (x * 18014398509481984) / powerOfTwo(k + 54);
  if (m > 1.4142135623730951) {
    m /= 2;
    k++;
  }
  splitExponent = k;
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  let sum = 1 / 23;
  for (let n = 21; n >= 3; n -= 2) sum = sum * z + 1 / n;
  // ln(m) = 2s + 2s·z·sum; written around f, which is exact: 2s = f − s·f.
  return f - s * (f - 2 * z * sum);
}

/** Natural logarithm: −infinity at 0, NaN below. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  if (x === Infinity) return x;
  const m = logOfSignificand(x);
  return splitExponent * ln2High + (m + splitExponent * ln2Low);
}

/** Base-2 logarithm, exact at powers of two. */
export function log2(x: number): number {
  if (!(x > 0)) return x === 0 ? -Infinity : NaN;
  if (x === Infinity) return x;
  const m = logOfSignificand(x);
  return splitExponent + m * 1.4426950408889634;
}

/** Base-10 logarithm. */
export const log10 = (x: number): number => log(x) / 2.302585092994046;

/** x^y for x ≥ 0; integer powers of any x by repeated squaring. */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (Number.isInteger(y) && Math.abs(y) <= 1024) {
    let power = 1;
    let base = y < 0 ? 1 / x : x;
    for (let n = Math.abs(y); n > 0; n = Math.floor(n / 2)) {
      if (n % 2 === 1) power *= base;
      base *= base;
    }
    return power;
  }
  if (x === 0) return y > 0 ? 0 : Infinity;
  if (x === 1) return 1;
  return exp(y * log(x));
}
