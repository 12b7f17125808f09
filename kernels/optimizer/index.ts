/**
 * Updates of parameters, four numbers at a time: float32 in memory, float64 between load and store, as the loops of
 * src/engine/kernels/optimizer-plain.ts compute. Arrays begin at multiples of 16 bytes and are filled up to whole fours.
 */

/** Where the caller's memory begins. */
export function heap(): usize {
  return __heap_base;
}

// @ts-ignore: decorator
@inline
function low(x: v128): v128 { return f64x2.promote_low_f32x4(x); }
// @ts-ignore: decorator
@inline
function high(x: v128): v128 { return f64x2.promote_low_f32x4(v128.shuffle<i32>(x, x, 2, 3, 2, 3)); }
// @ts-ignore: decorator
@inline
function store(at: usize, a: v128, b: v128): void {
  v128.store(at, v128.shuffle<i32>(f32x4.demote_f64x2_zero(a), f32x4.demote_f64x2_zero(b), 0, 1, 4, 5));
}
/** a · x + b · y */
// @ts-ignore: decorator
@inline
function mixed(a: v128, x: v128, b: v128, y: v128): v128 { return f64x2.add(f64x2.mul(a, x), f64x2.mul(b, y)); }

/** p ← shrink · p − rate · g */
export function descend(p: usize, g: usize, count: usize, shrink: f64, rate: f64): void {
  const s = f64x2.splat(shrink), r = f64x2.splat(rate);
  for (const end = p + (count << 2); p < end; p += 16, g += 16) {
    const x = v128.load(p), y = v128.load(g);
    store(p, f64x2.sub(f64x2.mul(s, low(x)), f64x2.mul(r, low(y))), f64x2.sub(f64x2.mul(s, high(x)), f64x2.mul(r, high(y))));
  }
}

/** v ← momentum · v + g + decay · p; p ← p − rate · v, or with `ahead` p − rate · (g + decay · p + momentum · v) */
export function roll(p: usize, g: usize, v: usize, count: usize, rate: f64, decay: f64, momentum: f64, ahead: i32): void {
  const r = f64x2.splat(rate), d = f64x2.splat(decay), m = f64x2.splat(momentum);
  for (const end = p + (count << 2); p < end; p += 16, g += 16, v += 16) {
    const x = v128.load(p), y = v128.load(g), z = v128.load(v);
    const x0 = low(x), x1 = high(x);
    const g0 = f64x2.add(low(y), f64x2.mul(d, x0)), g1 = f64x2.add(high(y), f64x2.mul(d, x1));
    const v0 = f64x2.add(f64x2.mul(m, low(z)), g0), v1 = f64x2.add(f64x2.mul(m, high(z)), g1);
    store(v, v0, v1);
    const by0 = ahead ? f64x2.add(g0, f64x2.mul(m, v0)) : v0, by1 = ahead ? f64x2.add(g1, f64x2.mul(m, v1)) : v1;
    store(p, f64x2.sub(x0, f64x2.mul(r, by0)), f64x2.sub(x1, f64x2.mul(r, by1)));
  }
}

/** p ← shrink · p − size · m / (spread · √v + epsilon) with the moments m and v of g + coupled · p */
export function adapt(
  p: usize, g: usize, first: usize, second: usize, count: usize,
  shrink: f64, coupled: f64, beta1: f64, rest1: f64, beta2: f64, rest2: f64, size: f64, spread: f64, epsilon: f64,
): void {
  const shrinks = f64x2.splat(shrink), couples = f64x2.splat(coupled), sizes = f64x2.splat(size), spreads = f64x2.splat(spread), least = f64x2.splat(epsilon);
  const b1 = f64x2.splat(beta1), r1 = f64x2.splat(rest1), b2 = f64x2.splat(beta2), r2 = f64x2.splat(rest2);
  for (const end = p + (count << 2); p < end; p += 16, g += 16, first += 16, second += 16) {
    const x = v128.load(p), y = v128.load(g), a = v128.load(first), b = v128.load(second);
    const x0 = low(x), x1 = high(x);
    const g0 = f64x2.add(low(y), f64x2.mul(couples, x0)), g1 = f64x2.add(high(y), f64x2.mul(couples, x1));
    const m0 = mixed(b1, low(a), r1, g0), m1 = mixed(b1, high(a), r1, g1);
    const v0 = mixed(b2, low(b), f64x2.mul(r2, g0), g0), v1 = mixed(b2, high(b), f64x2.mul(r2, g1), g1);
    store(first, m0, m1);
    store(second, v0, v1);
    const by0 = f64x2.div(f64x2.mul(sizes, m0), f64x2.add(f64x2.mul(f64x2.sqrt(v0), spreads), least));
    const by1 = f64x2.div(f64x2.mul(sizes, m1), f64x2.add(f64x2.mul(f64x2.sqrt(v1), spreads), least));
    store(p, f64x2.sub(f64x2.mul(shrinks, x0), by0), f64x2.sub(f64x2.mul(shrinks, x1), by1));
  }
}

/** x ← a · x + b · y */
export function mix(x: usize, y: usize, count: usize, a: f64, b: f64): void {
  const s = f64x2.splat(a), t = f64x2.splat(b);
  for (const end = x + (count << 2); x < end; x += 16, y += 16) {
    const p = v128.load(x), q = v128.load(y);
    store(x, mixed(s, low(p), t, low(q)), mixed(s, high(p), t, high(q)));
  }
}

/** x ← factor · x */
export function scale(x: usize, count: usize, factor: f64): void {
  const s = f64x2.splat(factor);
  for (const end = x + (count << 2); x < end; x += 16) {
    const p = v128.load(x);
    store(x, f64x2.mul(s, low(p)), f64x2.mul(s, high(p)));
  }
}

/** Σ x² in four chains of additions; what is left over after whole fours joins the first. */
export function squares(x: usize, count: usize): f64 {
  let ab = f64x2.splat(0), cd = f64x2.splat(0);
  const end = x + (count << 2);
  for (; x + 12 < end; x += 16) {
    const p = v128.load(x);
    ab = f64x2.add(ab, f64x2.mul(low(p), low(p)));
    cd = f64x2.add(cd, f64x2.mul(high(p), high(p)));
  }
  let a = f64x2.extract_lane(ab, 0);
  for (; x < end; x += 4) {
    const p = <f64>load<f32>(x);
    a += p * p;
  }
  return a + f64x2.extract_lane(ab, 1) + (f64x2.extract_lane(cd, 0) + f64x2.extract_lane(cd, 1));
}
