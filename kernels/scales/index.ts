/**
 * Scale searches of integer formats as WASM SIMD, four tiles side by side, one per lane. Every lane tries the
 * candidates of the plain search (src/formats/scale-search.ts) in the same order with the same operations: quotients
 * and products in float32, distances and their sums in float64, in index order. So scales and zero points are the same.
 */
import { fromHalf, toHalf } from '../ggml/half';
import { any, round4, transpose } from '../ggml/lanes';

/** Bytes per index of four tiles in scratch memory: the values as float32 and as float64, their weights as float64. */
const pitch: usize = 80;
/** Values between two looks at the running errors. */
const stride: i32 = 32;
/** The ladder is left after this many candidates without gain. */
const patience: i32 = 7;
const maxRefits: i32 = 5;

/** The tiles in scratch memory. */
let tiles: usize = 0;
let length: i32 = 0;
/** Whether scales are stored in half precision, values have weights, codes have zero points. */
let half: bool = false;
let weighted: bool = false;
let asymmetric: bool = false;

/** Errors of up to three candidates, four float64 lanes each; sums of a refit. */
const sums = memory.data(96, 16);
/** Best error of each lane. */
const best = memory.data(32, 16);
/** Scales that were tried: the first one, 41 of the ladder, 8 finer ones, 5 refits. */
const tried = memory.data(64 * 16, 16);
let triedCount: i32 = 0;
const fineSteps = memory.data<f64>([1.06, 0.94, 1.045, 0.955, 1.03, 0.97, 1.015, 0.985]);

/** Where the caller's memory begins. */
export function heap(): usize {
  return __heap_base;
}

/** Lanes 2 and 3 as float64. */
// @ts-ignore: decorator
@inline
function promoteHigh(v: v128): v128 {
  return f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0));
}

// @ts-ignore: decorator
@inline
function demote(low: v128, high: v128): v128 {
  return i64x2.shuffle(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

/** Two masks of float64 lanes as one of float32 lanes. */
// @ts-ignore: decorator
@inline
function narrow(low: v128, high: v128): v128 {
  return i32x4.shuffle(low, high, 0, 2, 4, 6);
}

/** Half a mask of float32 lanes as one of float64 lanes. */
// @ts-ignore: decorator
@inline
function wideLow(mask: v128): v128 {
  return i32x4.shuffle(mask, mask, 0, 0, 1, 1);
}
// @ts-ignore: decorator
@inline
function wideHigh(mask: v128): v128 {
  return i32x4.shuffle(mask, mask, 2, 2, 3, 3);
}

function halfOf(x: f32): f32 {
  const rounded = fromHalf(toHalf(x < 65504 ? x : 65504));
  const least = reinterpret<f32>(0x33800000);
  return rounded > least ? rounded : least;
}

/** Nearest scales that can be stored: positive and finite. */
// @ts-ignore: decorator
@inline
function stored(v: v128): v128 {
  if (!half) return f32x4.pmax(i32x4.splat(1), f32x4.pmin(i32x4.splat(0x7f7fffff), v));
  return f32x4.replace_lane(
    f32x4.replace_lane(
      f32x4.replace_lane(f32x4.splat(halfOf(f32x4.extract_lane(v, 0))), 1, halfOf(f32x4.extract_lane(v, 1))),
      2, halfOf(f32x4.extract_lane(v, 2)),
    ),
    3, halfOf(f32x4.extract_lane(v, 3)),
  );
}

/** Gathers four tiles that lie one after another at `x`; the first is number `first` of `perRow` in its row. */
function gather(x: usize, importance: usize, first: i32, perRow: i32): void {
  const n = length;
  transpose(x, <usize>n << 2, n, tiles, pitch);
  const end = tiles + <usize>n * pitch;
  for (let p = tiles; p < end; p += pitch) {
    const v = v128.load(p);
    v128.store(p, f64x2.promote_low_f32x4(v), 16);
    v128.store(p, promoteHigh(v), 32);
  }
  if (!importance) return;
  for (let lane = 0; lane < 4; lane++) {
    let from = importance + (<usize>(((first + lane) % perRow) * n) << 2);
    for (let p = tiles + 48 + (<usize>lane << 3), last = end + 48; p < last; p += pitch, from += 4) store<f64>(p, <f64>load<f32>(from));
  }
}

/** (scale·q − x)² of lanes 0 and 1, or 2 and 3, times their weights. */
// @ts-ignore: decorator
@inline
function squareLow(p: usize, y: v128, weigh: bool): v128 {
  const d = f64x2.sub(f64x2.promote_low_f32x4(y), v128.load(p, 16));
  return weigh ? f64x2.mul(f64x2.mul(d, d), v128.load(p, 48)) : f64x2.mul(d, d);
}
// @ts-ignore: decorator
@inline
function squareHigh(p: usize, y: v128, weigh: bool): v128 {
  const d = f64x2.sub(promoteHigh(y), v128.load(p, 32));
  return weigh ? f64x2.mul(f64x2.mul(d, d), v128.load(p, 64)) : f64x2.mul(d, d);
}

/** Errors of one candidate per lane to `sums`, or something above the best of its lane. Lanes that are not `active` do not matter. */
// @ts-ignore: decorator
@inline
function measure(scale: v128, low: v128, high: v128, active: v128, weigh: bool): void {
  let e = f64x2.splat(0), f = e;
  const bestLow = v128.load(best), bestHigh = v128.load(best, 16);
  const activeLow = wideLow(active), activeHigh = wideHigh(active);
  const end = tiles + <usize>length * pitch;
  for (let p = tiles; p < end;) {
    const stop = min(p + <usize>stride * pitch, end);
    for (; p < stop; p += pitch) {
      const y = f32x4.mul(scale, round4(f32x4.div(v128.load(p), scale), low, high));
      e = f64x2.add(e, squareLow(p, y, weigh));
      f = f64x2.add(f, squareHigh(p, y, weigh));
    }
    const open = v128.or(v128.andnot(activeLow, f64x2.gt(e, bestLow)), v128.andnot(activeHigh, f64x2.gt(f, bestHigh)));
    if (!any(open)) break;
  }
  v128.store(sums, e);
  v128.store(sums, f, 16);
}

/** The same for three zero points at a time: codes within [low, high], [low + 1, high + 1] and [low − 1, high − 1]. */
// @ts-ignore: decorator
@inline
function measureThree(scale: v128, low: v128, high: v128, active: v128, weigh: bool): void {
  const one = f32x4.splat(1);
  const lowUp = f32x4.add(low, one), highUp = f32x4.add(high, one);
  const lowDown = f32x4.sub(low, one), highDown = f32x4.sub(high, one);
  let e0 = f64x2.splat(0), f0 = e0, e1 = e0, f1 = e0, e2 = e0, f2 = e0;
  const bestLow = v128.load(best), bestHigh = v128.load(best, 16);
  const activeLow = wideLow(active), activeHigh = wideHigh(active);
  const end = tiles + <usize>length * pitch;
  for (let p = tiles; p < end;) {
    const stop = min(p + <usize>stride * pitch, end);
    for (; p < stop; p += pitch) {
      const whole = f32x4.nearest(f32x4.div(v128.load(p), scale));
      let y = f32x4.mul(scale, f32x4.pmin(high, f32x4.pmax(low, whole)));
      e0 = f64x2.add(e0, squareLow(p, y, weigh));
      f0 = f64x2.add(f0, squareHigh(p, y, weigh));
      y = f32x4.mul(scale, f32x4.pmin(highUp, f32x4.pmax(lowUp, whole)));
      e1 = f64x2.add(e1, squareLow(p, y, weigh));
      f1 = f64x2.add(f1, squareHigh(p, y, weigh));
      y = f32x4.mul(scale, f32x4.pmin(highDown, f32x4.pmax(lowDown, whole)));
      e2 = f64x2.add(e2, squareLow(p, y, weigh));
      f2 = f64x2.add(f2, squareHigh(p, y, weigh));
    }
    const open = v128.or(
      v128.andnot(activeLow, f64x2.gt(f64x2.pmin(f64x2.pmin(e0, e1), e2), bestLow)),
      v128.andnot(activeHigh, f64x2.gt(f64x2.pmin(f64x2.pmin(f0, f1), f2), bestHigh)));
    if (!any(open)) break;
  }
  v128.store(sums, e0);
  v128.store(sums, f0, 16);
  v128.store(sums, e1, 32);
  v128.store(sums, f1, 48);
  v128.store(sums, e2, 64);
  v128.store(sums, f2, 80);
}

/** Lanes where candidate number `at` of `sums` is below the best, which it then becomes. */
// @ts-ignore: decorator
@inline
function improve(at: usize, allowed: v128): v128 {
  const e = v128.load(sums + 32 * at), f = v128.load(sums + 32 * at, 16);
  const b = v128.load(best), c = v128.load(best, 16);
  const low = v128.and(f64x2.lt(e, b), wideLow(allowed)), high = v128.and(f64x2.lt(f, c), wideHigh(allowed));
  v128.store(best, v128.bitselect(e, b, low));
  v128.store(best, v128.bitselect(f, c, high), 16);
  return narrow(low, high);
}

/** Lanes of `active` whose candidate was not tried before; remembers them. A scale that never was a candidate stands for the others. */
// @ts-ignore: decorator
@inline
function fresh(candidate: v128, active: v128): v128 {
  let seen = i32x4.splat(0);
  const end = tried + (<usize>triedCount << 4);
  for (let p = tried; p < end; p += 16) seen = v128.or(seen, f32x4.eq(candidate, v128.load(p)));
  v128.store(end, v128.and(candidate, active));
  triedCount++;
  return v128.andnot(active, seen);
}

/** State of the search: the scale of each lane, the least and the largest whole number that its codes stand for. */
const state = memory.data(48, 16);

/**
 * Tries one candidate per lane, where `active`; lanes that it improved. With symmetric codes a scale that was tried
 * before loses against itself. With zero points others may have come into reach, and the plain search does not ask again.
 */
function attempt(raw: v128, active: v128): v128 {
  const candidate = stored(raw);
  const low = v128.load(state, 16), high = v128.load(state, 32);
  let better: v128;
  if (!asymmetric) {
    if (weighted) measure(candidate, low, high, active, true);
    else measure(candidate, low, high, active, false);
    better = improve(0, active);
  } else {
    const open = fresh(candidate, active);
    if (!any(open)) return open;
    if (weighted) measureThree(candidate, low, high, open, true);
    else measureThree(candidate, low, high, open, false);
    better = improve(0, open);
    // The zero point is −low, at least 0; qmax minus the zero point is high, at least 0.
    const one = f32x4.splat(1);
    const fewer = improve(1, v128.and(open, f32x4.lt(low, f32x4.splat(0))));
    const more = improve(2, v128.and(open, f32x4.gt(high, f32x4.splat(0))));
    const shift = v128.bitselect(f32x4.splat(-1), v128.and(one, fewer), more);
    v128.store(state, f32x4.add(low, shift), 16);
    v128.store(state, f32x4.add(high, shift), 32);
    better = v128.or(better, v128.or(fewer, more));
  }
  v128.store(state, v128.bitselect(candidate, v128.load(state), better));
  return better;
}

/** The least-squares scales for the codes of the present ones; the present ones where there are none. */
function refit(): v128 {
  const scale = v128.load(state), low = v128.load(state, 16), high = v128.load(state, 32);
  const zero = f64x2.splat(0);
  let xqLow = zero, xqHigh = zero, qqLow = zero, qqHigh = zero;
  const end = tiles + <usize>length * pitch;
  for (let p = tiles; p < end; p += pitch) {
    const q = round4(f32x4.div(v128.load(p), scale), low, high);
    const a = f64x2.promote_low_f32x4(q), b = promoteHigh(q);
    let wa = a, wb = b, xa = v128.load(p, 16), xb = v128.load(p, 32);
    if (weighted) {
      const u = v128.load(p, 48), v = v128.load(p, 64);
      xa = f64x2.mul(u, xa), xb = f64x2.mul(v, xb);
      wa = f64x2.mul(u, a), wb = f64x2.mul(v, b);
    }
    xqLow = f64x2.add(xqLow, f64x2.mul(xa, a)), xqHigh = f64x2.add(xqHigh, f64x2.mul(xb, b));
    qqLow = f64x2.add(qqLow, f64x2.mul(wa, a)), qqHigh = f64x2.add(qqHigh, f64x2.mul(wb, b));
  }
  const low2 = v128.and(f64x2.gt(qqLow, zero), f64x2.gt(xqLow, zero)), high2 = v128.and(f64x2.gt(qqHigh, zero), f64x2.gt(xqHigh, zero));
  return v128.bitselect(demote(f64x2.div(xqLow, qqLow), f64x2.div(xqHigh, qqHigh)), scale, narrow(low2, high2));
}

// @ts-ignore: decorator
@inline
function timesFactor(scale: v128, factor: f64): v128 {
  const by = f64x2.splat(factor);
  return demote(f64x2.mul(f64x2.promote_low_f32x4(scale), by), f64x2.mul(promoteHigh(scale), by));
}

/** The plain `searchScale` from the scale and the codes in `state`. */
function search(): void {
  const all = i32x4.splat(-1);
  const start = v128.load(state);
  const infinite = f64x2.splat(Infinity);
  v128.store(best, infinite);
  v128.store(best, infinite, 16);
  if (weighted) measure(start, v128.load(state, 16), v128.load(state, 32), all, true);
  else measure(start, v128.load(state, 16), v128.load(state, 32), all, false);
  improve(0, all);
  v128.store(tried, start);
  triedCount = 1;

  let idle = i32x4.splat(0);
  let active = all;
  for (let factor: f64 = 1.05; factor > 0.015; factor = factor == 1.05 ? 0.9 : factor * 0.9) {
    const better = attempt(timesFactor(start, factor), active);
    idle = v128.andnot(i32x4.sub(idle, all), better);
    active = v128.and(active, i32x4.lt_s(idle, i32x4.splat(patience)));
    if (!any(active)) break;
  }
  const center = v128.load(state);
  for (let i: usize = 0; i < 64; i += 8) attempt(timesFactor(center, load<f64>(fineSteps + i)), all);
  for (let i = 0; i < maxRefits; i++) if (!any(attempt(refit(), all))) break;
}

/** The scale that reaches the extreme value; 1 for tiles of zeros. */
function startSymmetric(qmin: f32, qmax: f32): void {
  let top = f32x4.splat(0);
  const end = tiles + <usize>length * pitch;
  for (let p = tiles; p < end; p += pitch) top = f32x4.pmax(top, f32x4.abs(v128.load(p)));
  const scale = stored(f32x4.div(top, f32x4.splat((qmax - qmin) / 2)));
  v128.store(state, v128.bitselect(scale, f32x4.splat(1), f32x4.gt(top, f32x4.splat(0))));
  v128.store(state, f32x4.splat(qmin), 16);
  v128.store(state, f32x4.splat(qmax), 32);
}

/** Zero is within every range, so that a range of nothing is all zeros. */
function startAsymmetric(qmax: f32): void {
  const zero = f32x4.splat(0);
  let low = zero, high = zero;
  const end = tiles + <usize>length * pitch;
  for (let p = tiles; p < end; p += pitch) {
    const v = v128.load(p);
    low = f32x4.pmin(low, v);
    high = f32x4.pmax(high, v);
  }
  const span = f32x4.sub(high, low);
  const by = f64x2.splat(<f64>qmax);
  const wide = demote(
    f64x2.div(f64x2.sub(f64x2.promote_low_f32x4(high), f64x2.promote_low_f32x4(low)), by), f64x2.div(f64x2.sub(promoteHigh(high), promoteHigh(low)), by));
  const infinite = f32x4.eq(span, f32x4.splat(Infinity));
  const scale = stored(v128.bitselect(wide, f32x4.div(span, f32x4.splat(qmax)), infinite));
  const live = f32x4.gt(span, zero);
  const point = v128.and(live, round4(f32x4.div(f32x4.neg(low), scale), zero, f32x4.splat(qmax)));
  v128.store(state, v128.bitselect(scale, f32x4.splat(1), live));
  v128.store(state, f32x4.sub(zero, point), 16);
  v128.store(state, f32x4.sub(f32x4.splat(qmax), point), 32);
}

/**
 * Scales, and zero points where `zeros` is not 0, of `count` tiles of n values (n a multiple of 4) that lie one after
 * another at `x`; results are float32, four at a time. Codes are qmin … qmax. Without `searched` they reach the
 * extreme values. `importance` holds the weights of perRow·n columns, or is 0; the first tile is the first of its row.
 * `scratch` takes 80·n bytes.
 */
export function fit(
  x: usize, count: i32, n: i32, qmin: f32, qmax: f32, halves: i32, searched: i32, importance: usize, perRow: i32,
  scratch: usize, scales: usize, zeros: usize,
): void {
  tiles = scratch;
  length = n;
  half = halves != 0;
  weighted = importance != 0;
  asymmetric = zeros != 0;
  for (let t = 0; t < count; t += 4) {
    gather(x + ((<usize>t * <usize>n) << 2), searched ? importance : 0, t, perRow);
    if (asymmetric) startAsymmetric(qmax);
    else startSymmetric(qmin, qmax);
    if (searched) search();
    v128.store(scales + (<usize>t << 2), v128.load(state));
    if (asymmetric) v128.store(zeros + (<usize>t << 2), f32x4.neg(v128.load(state, 16)));
  }
}

/** Codes of the same tiles, one byte each, nearest and ties to even; returns `sum` plus Σ (decoded − value)² in index order. */
export function encode(x: usize, count: i32, n: i32, qmin: f32, qmax: f32, scales: usize, zeros: usize, codes: usize, sum: f64): f64 {
  // Adding 1.5 · 2^23 leaves the integer in the low bits of the pattern.
  const magic: f32 = 12582912;
  for (let t: usize = 0; t < <usize>count; t++) {
    const scale = v128.load32_splat(scales + (t << 2));
    const zero: f32 = zeros ? load<f32>(zeros + (t << 2)) : 0;
    const low = f32x4.splat(zeros ? -zero : qmin), high = f32x4.splat(qmax - zero);
    const shift = f32x4.splat(magic + zero);
    for (const end = x + (<usize>n << 2); x < end; x += 16, codes += 4) {
      const v = v128.load(x);
      const q = round4(f32x4.div(v, scale), low, high);
      const bits = f32x4.add(q, shift);
      v128.store32_lane(codes, i8x16.shuffle(bits, bits, 0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
      const y = f32x4.mul(scale, q);
      const a = f64x2.sub(f64x2.promote_low_f32x4(y), f64x2.promote_low_f32x4(v));
      const b = f64x2.sub(promoteHigh(y), promoteHigh(v));
      const c = f64x2.mul(a, a), d = f64x2.mul(b, b);
      sum += f64x2.extract_lane(c, 0);
      sum += f64x2.extract_lane(c, 1);
      sum += f64x2.extract_lane(d, 0);
      sum += f64x2.extract_lane(d, 1);
    }
  }
  return sum;
}
