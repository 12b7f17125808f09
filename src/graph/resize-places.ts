/** Where Resize reads: the places of output elements on an axis of the input, and which element is nearest. */

/** One resized axis: `scale` is the factor asked for, `out` the size it gives, `start` and `end` the crop as parts of the axis. */
export interface ResizedAxis {
  readonly length: number;
  readonly out: number;
  readonly scale: number;
  readonly start: number;
  readonly end: number;
}

/** Where in the input output element i lies, by `coordinate_transformation_mode`. `round` is what is done to quotients. */
export const resizePlaces: Readonly<Record<string, (i: number, axis: ResizedAxis, round: (x: number) => number) => number>> = {
  half_pixel: (i, { scale }, round) => round((i + 0.5) / scale) - 0.5,
  half_pixel_symmetric: (i, { scale, length, out }, round) => (length / 2) * (1 - out / (scale * length)) + round((i + 0.5) / scale) - 0.5,
  pytorch_half_pixel: (i, { scale, out }, round) => (out > 1 ? round((i + 0.5) / scale) - 0.5 : 0),
  align_corners: (i, { length, out }, round) => (out > 1 ? round((i * (length - 1)) / (out - 1)) : 0),
  asymmetric: (i, { scale }, round) => round(i / scale),
  tf_crop_and_resize: (i, { length, out, start, end }, round) =>
    (out > 1 ? start * (length - 1) + round((i * (end - start) * (length - 1)) / (out - 1)) : 0.5 * (start + end) * (length - 1)),
};

/** The element nearest to a place, by `nearest_mode`. */
export const nearestElements: Readonly<Record<string, (place: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};
