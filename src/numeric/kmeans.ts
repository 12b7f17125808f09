/** k-means of vectors (Lloyd, 1982) from several starts (k-means++, Arthur and Vassilvitskii, 2007); deterministic by seed. */
import { uniform } from './random.ts';

export interface Clusters {
  /** Cluster of each point, 0 … count − 1. */
  readonly labels: readonly number[];
  /** Sum of squared distances to the means. */
  readonly cost: number;
}

const squared = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
};

/** The best of `restarts` runs; at most as many clusters as there are points. */
export function kMeans(points: readonly ArrayLike<number>[], count: number, { restarts = 50, seed = 42, iterations = 100 } = {}): Clusters {
  const k = Math.min(count, points.length);
  let best: Clusters | undefined;
  for (let restart = 0; restart < restarts; restart++) {
    const found = run(points, k, iterations, (draw) => uniform(seed, restart, draw));
    if (best === undefined || found.cost < best.cost) best = found;
  }
  return best ?? { labels: [], cost: 0 };
}

function run(points: readonly ArrayLike<number>[], k: number, iterations: number, random: (draw: number) => number): Clusters {
  const means = firstMeans(points, k, random);
  let labels: number[] = [];
  for (let iteration = 0; iteration < iterations; iteration++) {
    const next = points.map((point) => nearest(point, means));
    if (next.every((label, i) => label === labels[i])) break;
    labels = next;
    for (let c = 0; c < means.length; c++) {
      const members = points.filter((_, i) => labels[i] === c);
      // A mean that lost all of its points stays where it is.
      if (members.length > 0) means[c] = Float64Array.from(members[0], (_, d) => members.reduce((sum, point) => sum + point[d], 0) / members.length);
    }
  }
  return { labels, cost: points.reduce((sum, point, i) => sum + squared(point, means[labels[i]]), 0) };
}

function nearest(point: ArrayLike<number>, means: readonly ArrayLike<number>[]): number {
  let [best, least] = [0, Infinity];
  for (const [c, mean] of means.entries()) {
    const distance = squared(point, mean);
    if (distance < least) [best, least] = [c, distance];
  }
  return best;
}

/** Points drawn far from those drawn before: each with a chance in proportion to its squared distance. */
function firstMeans(points: readonly ArrayLike<number>[], k: number, random: (draw: number) => number): Float64Array[] {
  const means = [Float64Array.from(points[Math.floor(random(0) * points.length)])];
  while (means.length < k) {
    const distances = points.map((point) => Math.min(...means.map((mean) => squared(point, mean))));
    const total = distances.reduce((sum, distance) => sum + distance, 0);
    let left = random(means.length) * total;
    const at = total === 0 ? 0 : distances.findIndex((distance) => (left -= distance) < 0);
    means.push(Float64Array.from(points[Math.max(0, at)]));
  }
  return means;
}
