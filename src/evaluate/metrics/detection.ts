/**
 * Average precision of detectors as COCO computes it: greedy matching in order of score per category and threshold,
 * precision made monotone, sampled at 101 recalls, averaged over the categories that occur. Crowd regions and
 * object sizes are not distinguished.
 */
import type { Box } from '../../observe/data/dataset.ts';

export interface Detection extends Box { readonly score: number }

/** Intersection over union of two boxes; 0 when either is empty. */
export function intersectionOverUnion(a: Omit<Box, 'category'>, b: Omit<Box, 'category'>): number {
  const width = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0);
  const height = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared);
}

/** Greedy suppression per category: drops a box that overlaps a better one by more than `threshold`. Descending score. */
export function suppress(detections: readonly Detection[], threshold: number): Detection[] {
  const sorted = [...detections].sort((a, b) => b.score - a.score);
  const kept: Detection[] = [];
  for (const box of sorted) {
    if (!kept.some((other) => other.category === box.category && intersectionOverUnion(other, box) > threshold)) kept.push(box);
  }
  return kept;
}

export interface ImageResult { readonly truth: readonly Box[]; readonly found: readonly Detection[] }

/** Boxes per image and category that take part, the best by score (COCO's maxDets). */
const maxDetections = 100;

/** Thresholds .50, .55 … .95. */
export const cocoThresholds: readonly number[] = Array.from({ length: 10 }, (_, i) => (50 + 5 * i) / 100);

/** Mean over categories of the average precision at one threshold; NaN when no image has a box. */
export function meanAveragePrecision(images: readonly ImageResult[], threshold: number): number {
  const categories = [...new Set(images.flatMap((image) => image.truth.map((box) => box.category)))];
  const precisions = categories.map((category) => averagePrecision(images, category, threshold));
  return precisions.reduce((sum, ap) => sum + ap, 0) / precisions.length;
}

/** `mAP50` and `mAP50-95`. */
export function cocoScores(images: readonly ImageResult[]): { readonly map50: number; readonly map5095: number } {
  const each = cocoThresholds.map((threshold) => meanAveragePrecision(images, threshold));
  return { map50: each[0], map5095: each.reduce((sum, map) => sum + map, 0) / each.length };
}

function averagePrecision(images: readonly ImageResult[], category: number, threshold: number): number {
  const hits: { score: number; hit: boolean }[] = [];
  let positives = 0;
  for (const image of images) {
    const truth = image.truth.filter((box) => box.category === category);
    positives += truth.length;
    const taken = new Set<Box>();
    const found = image.found.filter((box) => box.category === category).sort((a, b) => b.score - a.score).slice(0, maxDetections);
    for (const box of found) {
      let best: Box | undefined;
      let bestOverlap = threshold;
      for (const other of truth) {
        const overlap = intersectionOverUnion(box, other);
        if (!taken.has(other) && overlap >= bestOverlap) { best = other; bestOverlap = overlap; }
      }
      if (best !== undefined) taken.add(best);
      hits.push({ score: box.score, hit: best !== undefined });
    }
  }
  hits.sort((a, b) => b.score - a.score);
  const recall: number[] = [];
  const precision: number[] = [];
  let right = 0;
  hits.forEach(({ hit }, i) => {
    if (hit) right++;
    recall.push(right / positives);
    precision.push(right / (i + 1));
  });
  for (let i = precision.length - 2; i >= 0; i--) precision[i] = Math.max(precision[i], precision[i + 1]);
  let sum = 0;
  let at = 0;
  for (let step = 0; step <= 100; step++) {
    while (at < recall.length && recall[at] < step / 100) at++;
    sum += at < precision.length ? precision[at] : 0;
  }
  return sum / 101;
}
