/**
 * Finding a scale that minimises Σ w·|x̂ − x|^p instead of trusting the extreme value: a ladder of
 * candidates, smaller steps around the best, then least squares between scale and codes. The starting scale
 * is always a candidate, so the result is never worse than it.
 */

export type ErrorPower = 2 | 2.4;

/**
 * Error of a scale. May stop early and return anything above `best` once that is passed.
 */
export type ScaleError = (scale: number, best: number) => number;

export interface ScaleSearch {
  /** The scale to beat. */
  readonly start: number;
  readonly error: ScaleError;
  /** Nearest scale that can be stored. */
  readonly round: (scale: number) => number;
  /** Factors tried on the start, in order; the default suits scales of many bits. */
  readonly ladder?: readonly number[];
  /** The least-squares scale for the codes that `scale` gives, for p = 2; 0 when there is none. */
  readonly refit?: (scale: number) => number;
}

/** Downwards to 1/66, past the best ratio of any grid to the extreme of a heavy-tailed tensor; one step up. */
export const defaultLadder: readonly number[] = (() => {
  const factors = [1.05];
  for (let factor = 0.9; factor > 0.015; factor *= 0.9) factors.push(factor);
  return factors;
})();

/** Neighbours, doublings apart, of a power-of-two scale. */
export const octaveLadder: readonly number[] = [2, 0.5, 0.25];

/** The ladder is left after this many candidates without gain. */
const patience = 7;
const fineSteps: readonly number[] = [1.06, 0.94, 1.045, 0.955, 1.03, 0.97, 1.015, 0.985];
const maxRefits = 5;

/** The best scale found and its error. */
export function searchScale(search: ScaleSearch): { scale: number; error: number } {
  const { start, error, round, ladder = defaultLadder, refit } = search;
  let scale = start;
  let best = error(start, Infinity);
  const seen = new Set([start]);
  const attempt = (candidate: number): boolean => {
    const rounded = round(candidate);
    if (seen.has(rounded)) return false;
    seen.add(rounded);
    const e = error(rounded, best);
    if (!(e < best)) return false;
    best = e;
    scale = rounded;
    return true;
  };
  let idle = 0;
  for (const factor of ladder) {
    idle = attempt(start * factor) ? 0 : idle + 1;
    if (idle >= patience) break;
  }
  if (ladder !== octaveLadder) {
    const center = scale;
    for (const factor of fineSteps) attempt(center * factor);
    if (refit) for (let i = 0; i < maxRefits && attempt(refit(scale)); i++);
  }
  return { scale, error: best };
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** |d|^2.4, from + × ÷ alone: d² times the fifth root of d²; relative error below 1e-8, zero below 1e-19. */
export function power24(d: number): number {
  const t = d * d;
  if (!(t > 1.2e-38)) return 0;
  float[0] = t;
  // A fifth of the exponent: the bits divided by 5, plus four fifths of the bias, less what centres the error.
  word[0] = word[0] / 5 + 0x32c9af22;
  let root = float[0];
  for (let i = 0; i < 3; i++) {
    const square = root * root;
    root = 0.8 * root + (0.2 * t) / (square * square);
  }
  return t * root;
}
