/**
 * Scale searches of the ggml encoders, in float32, operation by operation in the reference order
 * (github.com/ggml-org/ggml, ggml-quants.c): products left to right, sums in index order.
 */
import { nearest } from './codec.ts';

const f = Math.fround;
/** Below this magnitude a group counts as zero. */
export const tiny = f(1e-15);
/** A narrower range than this has no scale that half precision can hold; its inverse could overflow. */
const narrow = 2 ** -100;
const trial = new Uint8Array(32);

const tenth = f(0.1);

/** Zeroes the codes of a group and its scale. */
function nothing(codes: Uint8Array, to: number, n: number): number {
  codes.fill(0, to, to + n);
  return 0;
}

function extreme(x: Float32Array, at: number, n: number): number {
  let amax = 0;
  let value = 0;
  for (let i = at; i < at + n; i++) {
    const a = Math.abs(x[i]);
    if (a > amax) { amax = a; value = x[i]; }
  }
  return value;
}

/**
 * Scale d of x ≈ d·(code − levels), code in 0 … 2·levels − 1: of 19 inverse scales −(levels + 0.1·t)/extreme
 * the one with the largest (Σwxl)²/Σwl². Without weights, w = x².
 */
export function signedScale(
  x: Float32Array, at: number, n: number, levels: number, weights: Float32Array | undefined, codes: Uint8Array, to: number, weightsAt = 0,
): number {
  const max = extreme(x, at, n);
  if (Math.abs(max) < tiny) return nothing(codes, to, n);
  let chosen = f(-levels / max);
  let scale = 0;
  let best = 0;
  for (let t = -10; t <= 9; t++) {
    // The first round is the undisturbed scale, the reference of the others.
    if (t === 0) continue;
    const inverse = t === -10 ? chosen : f(-f(levels + f(tenth * t)) / max);
    let sumlx = 0;
    let suml2 = 0;
    for (let i = 0; i < n; i++) {
      const v = x[at + i];
      const l = nearest(f(inverse * v), -levels, levels - 1);
      const w = weights ? weights[weightsAt + i] : f(v * v);
      sumlx = f(sumlx + f(f(w * v) * l));
      suml2 = f(suml2 + f(f(w * l) * l));
    }
    if (t === -10) {
      scale = suml2 === 0 ? 0 : f(sumlx / suml2);
      best = f(scale * sumlx);
    } else if (suml2 > 0 && f(sumlx * sumlx) > f(best * suml2)) {
      scale = f(sumlx / suml2);
      best = f(scale * sumlx);
      chosen = inverse;
    }
  }
  for (let i = 0; i < n; i++) codes[to + i] = nearest(f(chosen * x[at + i]), -levels, levels - 1) + levels;
  return scale;
}

/** Scale of x ≈ d·l, l in −4 … 3, weights x²: codes from −4/extreme, then up to five sweeps of coordinate descent. */
export function descendedScale(x: Float32Array, at: number, n: number): number {
  const max = extreme(x, at, n);
  if (Math.abs(max) < tiny) return 0;
  const inverse = f(-4 / max);
  let sumlx = 0;
  let suml2 = 0;
  const l = levels3;
  for (let i = 0; i < n; i++) {
    const v = x[at + i];
    const q = nearest(f(inverse * v), -4, 3);
    l[i] = q;
    const w = f(v * v);
    sumlx = f(sumlx + f(f(w * v) * q));
    suml2 = f(suml2 + f(f(w * q) * q));
  }
  for (let sweep = 0; sweep < 5; sweep++) {
    let changed = false;
    for (let i = 0; i < n; i++) {
      const v = x[at + i];
      const w = f(v * v);
      const wx = f(w * v);
      const q = l[i];
      let slx = f(sumlx - f(wx * q));
      if (!(slx > 0)) continue;
      let sl2 = f(suml2 - f(f(w * q) * q));
      const next = nearest(f(f(v * sl2) / slx), -4, 3);
      if (next === q) continue;
      slx = f(slx + f(wx * next));
      sl2 = f(sl2 + f(f(w * next) * next));
      if (sl2 > 0 && f(f(slx * slx) * suml2) > f(f(sumlx * sumlx) * sl2)) {
        l[i] = next;
        sumlx = slx;
        suml2 = sl2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return suml2 > 0 ? f(sumlx / suml2) : 0;
}
const levels3 = new Float32Array(32);

/** Which inverse scales are tried: (first + step·t + top)/(max − min), t = 0 … last. */
export interface AffineTrials {
  readonly first: number;
  readonly step: number;
  readonly last: number;
  /** Judge by |error| instead of its square. */
  readonly absolute?: boolean;
}

export const affineTrials = {
  q2_k: { first: f(-0.5), step: tenth, last: 15, absolute: true },
  q4_k: { first: -1, step: tenth, last: 20 },
  q5_k: { first: f(-0.5), step: tenth, last: 15 },
  importance: { first: f(-0.9), step: f(0.05), last: 36 },
} as const satisfies Record<string, AffineTrials>;

/** Result of affineScale; the same object at every call. */
const fit = { scale: 0, min: 0 };

/**
 * Scale and minimum of x ≈ scale·code + min, code in 0 … top, min ≤ 0. Each trial solves the weighted least
 * squares of its codes; a strictly smaller error replaces codes, scale and minimum, and later trials start
 * from the new minimum.
 */
export function affineScale(
  x: Float32Array, at: number, n: number, top: number, weights: Float32Array, trials: AffineTrials, codes: Uint8Array, to: number,
): { readonly scale: number; readonly min: number } {
  let min = x[at];
  let max = x[at];
  let sumW = weights[0];
  let sumX = f(sumW * x[at]);
  for (let i = 1; i < n; i++) {
    const v = x[at + i];
    if (v < min) min = v;
    if (v > max) max = v;
    sumW = f(sumW + weights[i]);
    sumX = f(sumX + f(weights[i] * v));
  }
  if (min > 0) min = 0;
  fit.min = min;
  fit.scale = 0;
  if (f(max - min) < narrow) {
    nothing(codes, to, n);
    return fit;
  }
  const absolute = trials.absolute === true;
  let inverse = f(top / f(max - min));
  let scale = f(1 / inverse);
  let best = 0;
  for (let i = 0; i < n; i++) {
    const l = nearest(f(inverse * f(x[at + i] - min)), 0, top);
    codes[to + i] = l;
    const diff = f(f(f(scale * l) + min) - x[at + i]);
    best = f(best + f(weights[i] * (absolute ? Math.abs(diff) : f(diff * diff))));
  }
  for (let t = 0; t <= trials.last; t++) {
    inverse = f(f(f(trials.first + f(trials.step * t)) + top) / f(max - min));
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < n; i++) {
      const v = x[at + i];
      const l = nearest(f(inverse * f(v - min)), 0, top);
      trial[i] = l;
      const wl = f(weights[i] * l);
      sumL = f(sumL + wl);
      sumL2 = f(sumL2 + f(wl * l));
      sumXL = f(sumXL + f(wl * v));
    }
    const determinant = f(f(sumW * sumL2) - f(sumL * sumL));
    if (!(determinant > 0)) continue;
    let trialScale = f(f(f(sumW * sumXL) - f(sumX * sumL)) / determinant);
    let trialMin = f(f(f(sumL2 * sumX) - f(sumL * sumXL)) / determinant);
    if (trialMin > 0) {
      trialMin = 0;
      trialScale = f(sumXL / sumL2);
    }
    let error = 0;
    for (let i = 0; i < n; i++) {
      const diff = f(f(f(trialScale * trial[i]) + trialMin) - x[at + i]);
      error = f(error + f(weights[i] * (absolute ? Math.abs(diff) : f(diff * diff))));
    }
    if (error < best) {
      for (let i = 0; i < n; i++) codes[to + i] = trial[i];
      best = error;
      scale = trialScale;
      min = trialMin;
    }
  }
  fit.scale = scale;
  fit.min = min;
  return fit;
}

/**
 * Common scale of non-negative values as codes 0 … top under weights (block scales and minimums of the affine
 * K types with importance): nine inverse scales judged by weighted error, then coordinate descent.
 */
export function positiveScale(values: Float32Array, n: number, top: number, weights: Float32Array, codes: Uint8Array): number {
  let max = 0;
  for (let i = 0; i < n; i++) if (values[i] > max) max = values[i];
  if (max < tiny) return nothing(codes, 0, n);
  let inverse = f(top / max);
  let best = 0;
  for (let t = -5; t <= 4; t++) {
    if (t === 0) continue;
    const tried = t === -5 ? inverse : f(f(f(tenth * t) + top) / max);
    const scale = f(1 / tried);
    let error = 0;
    for (let i = 0; i < n; i++) {
      const diff = f(values[i] - f(scale * nearest(f(tried * values[i]), 0, top)));
      error = f(error + f(f(weights[i] * diff) * diff));
    }
    if (t === -5) best = error;
    else if (error < best) {
      best = error;
      inverse = tried;
    }
  }
  let sumlx = 0;
  let suml2 = 0;
  for (let i = 0; i < n; i++) {
    const l = nearest(f(inverse * values[i]), 0, top);
    codes[i] = l;
    sumlx = f(sumlx + f(f(weights[i] * values[i]) * l));
    suml2 = f(suml2 + f(f(weights[i] * l) * l));
  }
  for (let sweep = 0; sweep < 5; sweep++) {
    let changed = false;
    for (let i = 0; i < n; i++) {
      const w = weights[i];
      const wx = f(w * values[i]);
      let slx = f(sumlx - f(wx * codes[i]));
      let sl2 = f(suml2 - f(f(w * codes[i]) * codes[i]));
      if (!(slx > 0 && sl2 > 0)) continue;
      const next = nearest(f(f(values[i] * sl2) / slx), 0, top);
      if (next === codes[i]) continue;
      slx = f(slx + f(wx * next));
      sl2 = f(sl2 + f(f(w * next) * next));
      if (f(f(slx * slx) * suml2) > f(f(sumlx * sumlx) * sl2)) {
        codes[i] = next;
        sumlx = slx;
        suml2 = sl2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return suml2 > 0 ? f(sumlx / suml2) : 0;
}
