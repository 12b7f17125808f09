/** Random views of images, seeded by step and sample: what training data gains at no cost. */
import type { Tensor } from '../engine/tensor.ts';
import { randomInteger } from '../numeric/random.ts';

export interface AugmentOptions {
  /** Mirrors half of the images. */
  readonly flip?: boolean;
  /** Moves each image by up to this many pixels; what comes in is the value at `border`. */
  readonly shift?: number;
  /** Value of pixels that come in, per channel; default 0. */
  readonly border?: readonly number[];
}

const stream = 0x617567;

/** A batch [n, channels, height, width], each image mirrored and moved at random. */
export function augmentImages(images: Tensor, step: number, seed: number, { flip = false, shift = 0, border = [] }: AugmentOptions): Tensor {
  const [count, channels, height, width] = images.shape;
  const from = images.data as Float32Array;
  const to = new Float32Array(from.length);
  for (let n = 0; n < count; n++) {
    const draw = (k: number, bound: number): number => randomInteger(seed, stream, (step * count + n) * 4 + k, bound);
    const mirrored = flip && draw(0, 2) === 1;
    const [dy, dx] = shift === 0 ? [0, 0] : [draw(1, 2 * shift + 1) - shift, draw(2, 2 * shift + 1) - shift];
    for (let c = 0; c < channels; c++) {
      const plane = (n * channels + c) * height * width;
      const outside = border[c] ?? 0;
      for (let y = 0; y < height; y++) {
        const sy = y + dy;
        for (let x = 0; x < width; x++) {
          const moved = x + dx;
          const sx = mirrored ? width - 1 - moved : moved;
          to[plane + y * width + x] = sy < 0 || sy >= height || sx < 0 || sx >= width ? outside : from[plane + sy * width + sx];
        }
      }
    }
  }
  return { ...images, data: to };
}
