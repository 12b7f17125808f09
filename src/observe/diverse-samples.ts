/**
 * Sample inputs that are no outliers and differ among each other (noise-filtered diverse sampling of QuantVGGT,
 * arXiv:2509.21302, section 3.3). Outliers leave before clusters are formed, as the paper says; its code clusters all.
 */
import { kMeans } from '../numeric/kmeans.ts';
import { permutation } from '../numeric/random.ts';

/** Quantile of ascending values, linear between neighbours. */
function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

/** Fewer samples than this have no quartiles to speak of: nothing is dropped. */
const leastForFences = 4;

/** Which values lie within 1.5 interquartile ranges of the quartiles (Tukey's fences). */
export function withinFences(values: ArrayLike<number>): boolean[] {
  const list = Array.from(values);
  if (list.length < leastForFences) return list.map(() => true);
  const sorted = Float64Array.from(list).sort();
  const [q1, q3] = [quantile(sorted, 0.25), quantile(sorted, 0.75)];
  const reach = 1.5 * (q3 - q1);
  return list.map((value) => value >= q1 - reach && value <= q3 + reach);
}

/** Mean over tokens of the cosine between each later frame's token and the first frame's: `frames` − 1 numbers. Values [frames, tokens, width]. */
export function similarityToFirst(values: ArrayLike<number>, [frames, tokens, width]: readonly [number, number, number]): Float64Array {
  const out = new Float64Array(frames - 1);
  for (let frame = 1; frame < frames; frame++) {
    for (let token = 0; token < tokens; token++) {
      let [dot, a, b] = [0, 0, 0];
      for (let i = 0; i < width; i++) {
        const x = values[token * width + i];
        const y = values[(frame * tokens + token) * width + i];
        dot += x * y; a += x * x; b += y * y;
      }
      // A token of zeros points nowhere: its cosine counts 0.
      if (a > 0 && b > 0) out[frame - 1] += dot / Math.sqrt(a * b) / tokens;
    }
  }
  return out;
}

export interface Described {
  /** Statistics in each of which a sample may be an outlier: means and deviations of inner values. */
  readonly statistics: readonly number[];
  /** What samples differ in. */
  readonly descriptor: ArrayLike<number>;
  /** Samples are outliers within their category only. */
  readonly category?: string;
}

export interface DiverseOptions { readonly clusters: number; readonly perCluster: number; readonly filter?: boolean; readonly cluster?: boolean; readonly seed?: number }

/** Indices of samples: `perCluster` at random of each cluster of those that are kept, filled up from the rest where clusters are short. */
export function diverseSamples(samples: readonly Described[], { clusters, perCluster, filter = true, cluster = true, seed = 42 }: DiverseOptions): { readonly chosen: number[]; readonly dropped: number[] } {
  const outside = new Set<number>();
  const categories = new Map<string, number[]>();
  samples.forEach(({ category = '' }, i) => categories.set(category, [...categories.get(category) ?? [], i]));
  if (filter) {
    for (const members of categories.values()) {
      for (let s = 0; s < samples[members[0]].statistics.length; s++) withinFences(members.map((i) => samples[i].statistics[s])).forEach((kept, at) => { if (!kept) outside.add(members[at]); });
    }
  }
  const kept = samples.map((_, i) => i).filter((i) => !outside.has(i));
  const shuffled = (list: readonly number[], stream: number): number[] => Array.from(permutation(seed, stream, list.length), (at) => list[at]);
  const wanted = Math.min(clusters * perCluster, kept.length);
  const chosen = new Set<number>();
  if (cluster) {
    const { labels } = kMeans(kept.map((i) => samples[i].descriptor), clusters, { seed });
    for (let c = 0; c < clusters; c++) for (const i of shuffled(kept.filter((_, at) => labels[at] === c), c).slice(0, perCluster)) chosen.add(i);
  }
  for (const i of shuffled(kept, clusters)) if (chosen.size < wanted) chosen.add(i);
  return { chosen: [...chosen].sort((a, b) => a - b), dropped: [...outside].sort((a, b) => a - b) };
}
