/**
 * Boxes from FastestDet's output [5 + categories, rows, cols]: objectness, centre offset (tanh) and size (sigmoid)
 * per grid cell, category probabilities; score = objectness^0.6 · category^0.4.
 */
import { suppress, type Detection } from './detection.ts';

export interface FastestDetOptions {
  /** Boxes below are dropped; 0.001 for average precision, about 0.65 to show. */
  readonly minScore?: number;
  readonly overlap?: number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Boxes in pixels of a `width` × `height` image, best first; `offset` is where the image's values begin. */
export function decodeFastestDet(
  values: ArrayLike<number>, [channels, rows, cols]: readonly [number, number, number], width: number, height: number,
  { minScore = 0.001, overlap = 0.45 }: FastestDetOptions = {}, offset = 0,
): Detection[] {
  const plane = rows * cols;
  const boxes: Detection[] = [];
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const at = (channel: number) => values[offset + channel * plane + row * cols + col];
      let category = 0;
      for (let c = 1; c < channels - 5; c++) if (at(5 + c) > at(5 + category)) category = c;
      const score = Math.max(at(0), 0) ** 0.6 * Math.max(at(5 + category), 0) ** 0.4;
      if (!(score > minScore)) continue;
      const cx = (col + Math.tanh(at(1))) / cols;
      const cy = (row + Math.tanh(at(2))) / rows;
      const [w, h] = [sigmoid(at(3)), sigmoid(at(4))];
      boxes.push({ category, score, x0: (cx - w / 2) * width, y0: (cy - h / 2) * height, x1: (cx + w / 2) * width, y1: (cy + h / 2) * height });
    }
  }
  return suppress(boxes, overlap);
}
