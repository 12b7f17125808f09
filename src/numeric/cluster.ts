/** Clusters of vectors: Ward's agglomeration, and the best runs of an ordered list. Deterministic; float64 in index order. */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('cluster', {
  count: (f: { count: number; points: number }) => `${f.count} clusters of ${f.points} points`,
});

const squaredDistance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
};

/**
 * Ward's clustering: the two clusters whose union adds least to the sum of squared distances to the means are joined
 * until `count` are left (Ward, 1963; distances by the recurrence of Lance and Williams). Returns the cluster of each
 * point, numbered by the clusters' first points.
 */
export function wardClusters(points: readonly ArrayLike<number>[], count: number): number[] {
  const n = points.length;
  if (!(Number.isInteger(count) && count >= 1 && count <= n)) throw errors.count({ count, points: n });
  const label = points.map((_, i) => i);
  const sizes = points.map(() => 1);
  const live = new Set(label);
  const distance = points.map((a) => points.map((b) => squaredDistance(a, b)));
  while (live.size > count) {
    let [first, second, least] = [-1, -1, Infinity];
    for (const i of live) for (const j of live) if (j > i && distance[i][j] < least) [first, second, least] = [i, j, distance[i][j]];
    // All distances of points that are not numbers compare false.
    if (first < 0) [first, second] = [...live];
    live.delete(second);
    for (const k of live) {
      if (k === first) continue;
      const total = sizes[first] + sizes[second] + sizes[k];
      const joined = ((sizes[first] + sizes[k]) * distance[first][k] + (sizes[second] + sizes[k]) * distance[second][k] - sizes[k] * distance[first][second]) / total;
      distance[first][k] = joined;
      distance[k][first] = joined;
    }
    sizes[first] += sizes[second];
    for (let i = 0; i < n; i++) if (label[i] === second) label[i] = first;
  }
  const numbers = new Map([...live].sort((a, b) => a - b).map((cluster, i) => [cluster, i]));
  return label.map((cluster) => numbers.get(cluster)!);
}

/**
 * Sizes of the `count` runs of neighbouring points, none empty, with the least sum of squared distances to their means:
 * what k-means looks for when the order of the points is kept, found exactly (Fisher, 1958).
 */
export function contiguousClusters(points: readonly ArrayLike<number>[], count: number): number[] {
  const n = points.length;
  if (!(Number.isInteger(count) && count >= 1 && count <= n)) throw errors.count({ count, points: n });
  const cost = runCosts(points);
  // least[i]: the smallest cost of the first i points in so many runs; from[k][i]: where the last of k + 1 runs begins.
  let least = Float64Array.from({ length: n + 1 }, (_, i) => (i === 0 ? Infinity : cost[0][i]));
  const from: Int32Array[] = [];
  for (let k = 1; k < count; k++) {
    const next = new Float64Array(n + 1).fill(Infinity);
    const begins = new Int32Array(n + 1);
    for (let i = k + 1; i <= n; i++) {
      for (let begin = k; begin < i; begin++) {
        const total = least[begin] + cost[begin][i];
        if (total < next[i]) [next[i], begins[i]] = [total, begin];
      }
    }
    least = next;
    from.push(begins);
  }
  const sizes: number[] = [];
  let end = n;
  for (let k = count - 2; k >= 0; k--) {
    sizes.unshift(end - from[k][end]);
    end = from[k][end];
  }
  return [end, ...sizes];
}

/** cost[i][j]: the sum of squared distances of points i to j − 1 to their mean. */
function runCosts(points: readonly ArrayLike<number>[]): Float64Array[] {
  return points.map((_, begin) => {
    const costs = new Float64Array(points.length + 1);
    const mean = new Float64Array(points[begin].length);
    for (let end = begin + 1; end <= points.length; end++) {
      const count = end - begin;
      let more = 0;
      // The mean moves by a share of each new point's distance, and the spread grows by the rest (Welford).
      for (let d = 0; d < mean.length; d++) {
        const off = points[end - 1][d] - mean[d];
        mean[d] += off / count;
        more += off * (points[end - 1][d] - mean[d]);
      }
      costs[end] = costs[end - 1] + more;
    }
    return costs;
  });
}
