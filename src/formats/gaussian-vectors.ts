/**
 * Codebooks of points in the plane for a standard normal (vector quantization): Lloyd's algorithm on a fixed set of evenly
 * spread samples, started from a sunflower spiral. Samples and spiral both have the density that is best for many points,
 * the root of the normal's, which is a normal of twice the variance: so every cell holds about as many samples.
 */
import { exp, log } from '../numeric/elementary.ts';
import { inverseNormal } from '../numeric/random.ts';

/** Points with ascending first coordinates, so that the nearest one is found near its place in the order. */
export interface PlanePoints { readonly x: Float32Array; readonly y: Float32Array }

/** Few points settle slowly and cost little. */
const iterationsFor = (count: number): number => Math.max(24, Math.min(96, Math.ceil(12288 / count)));
/** Points move this much of the way to the mean of their cell and settle sooner; the last steps go all the way and no further. */
const relaxation = 1.7;
const plainSteps = 4;
const samplesPerPoint = 96;
const leastSamples = 1 << 14;
const goldenAngle = 2.399963229728653;
/** Fractions of the plastic number: successive multiples fill the unit square evenly (Roberts, 2018). */
const plastic = [0.7548776662466927, 0.5698402909980532];

const made = new Map<string, PlanePoints>();

/** `count` points for N(0, I); `half`: for the half plane x ≥ 0, whose points count with either sign of x. */
export function gaussianPoints(count: number, half = false): PlanePoints {
  const key = `${count} ${half}`;
  let points = made.get(key);
  if (points === undefined) made.set(key, points = lloyd(start(count, half), samples(count, half)));
  return points;
}

/** Index of the point nearest to (px, py); the lowest among equals. */
export function nearestPoint({ x, y }: PlanePoints, px: number, py: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x[middle] < px) low = middle + 1;
    else high = middle;
  }
  let best = -1;
  let least = Infinity;
  let [left, right] = [low - 1, low];
  for (let more = true; more;) {
    more = false;
    if (right < x.length && (x[right] - px) ** 2 < least) {
      const d = (x[right] - px) ** 2 + (y[right] - py) ** 2;
      if (d < least) { least = d; best = right; }
      right++;
      more = true;
    }
    if (left >= 0 && (x[left] - px) ** 2 <= least) {
      const d = (x[left] - px) ** 2 + (y[left] - py) ** 2;
      if (d <= least) { least = d; best = left; }
      left--;
      more = true;
    }
  }
  return best;
}

interface Samples extends PlanePoints { readonly mass: Float64Array }

function samples(count: number, half: boolean): Samples {
  const n = Math.max(leastSamples, samplesPerPoint * count);
  const at = (axis: number) => Float32Array.from({ length: n }, (_, i) => Math.SQRT2 * inverseNormal((0.5 + (i + 1) * plastic[axis]) % 1));
  const [x, y] = [at(0), at(1)];
  const mass = Float64Array.from(x, (_, i) => exp(-(x[i] * x[i] + y[i] * y[i]) / 4));
  return { x: half ? x.map(Math.abs) : x, y, mass };
}

function start(count: number, half: boolean): PlanePoints {
  const n = half ? 2 * count : count;
  const points: [number, number][] = [];
  for (let k = 0; k < n; k++) {
    const radius = Math.sqrt(-4 * log(1 - (k + 0.5) / n));
    // Cosine and sine of the angle by half turns: the place on the circle need not be exact, only the same everywhere.
    const [c, s] = direction((k * goldenAngle) / (2 * Math.PI) % 1);
    points.push([radius * c, radius * s]);
  }
  const kept = half ? points.sort((a, b) => b[0] - a[0]).slice(0, count) : points;
  return sorted(Float64Array.from(kept, ([x]) => x), Float64Array.from(kept, ([, y]) => y));
}

/** A point of the unit circle for a turn in [0, 1), by the half-angle form of a quarter turn: only arithmetic. */
function direction(turn: number): [number, number] {
  const quarter = Math.floor(4 * turn);
  const t = tangentOfHalf(4 * turn - quarter);
  const [c, s] = [(1 - t * t) / (1 + t * t), (2 * t) / (1 + t * t)];
  return ([[c, s], [-s, c], [-c, -s], [s, -c]] as [number, number][])[quarter];
}

/** tan(π/4·u) for u in [0, 1] to five digits. */
const tangentOfHalf = (u: number): number => u * (0.78539816 + u * u * (0.16149102 + u * u * (0.0398463 + u * u * 0.01326452)));

function lloyd(begin: PlanePoints, from: Samples): PlanePoints {
  let points = begin;
  const count = begin.x.length;
  const iterations = iterationsFor(count);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const [sx, sy, n] = [new Float64Array(count), new Float64Array(count), new Float64Array(count)];
    for (let i = 0; i < from.x.length; i++) {
      const k = nearestPoint(points, from.x[i], from.y[i]);
      const mass = from.mass[i];
      sx[k] += mass * from.x[i]; sy[k] += mass * from.y[i]; n[k] += mass;
    }
    const step = iteration < iterations - plainSteps ? relaxation : 1;
    const moved = (from: Float32Array, sums: Float64Array) => sums.map((s, k) => (n[k] > 0 ? from[k] + step * (s / n[k] - from[k]) : from[k]));
    points = sorted(moved(points.x, sx), moved(points.y, sy));
  }
  return points;
}

function sorted(x: Float64Array, y: Float64Array): PlanePoints {
  const order = Uint32Array.from(x, (_, i) => i).sort((a, b) => x[a] - x[b] || a - b);
  return { x: Float32Array.from(order, (i) => x[i]), y: Float32Array.from(order, (i) => y[i]) };
}
