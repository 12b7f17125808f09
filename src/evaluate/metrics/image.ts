/** Image fidelity as the super-resolution literature measures it. Images are planes of values 0..255. */

/** One plane [height, width]. */
export interface Plane { readonly width: number; readonly height: number; readonly values: ArrayLike<number> }

/** BT.601 luma 16..235 (MATLAB's rgb2ycbcr) from three planes R, G, B of 0..255; not rounded. */
export function luma601(red: ArrayLike<number>, green: ArrayLike<number>, blue: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: red.length }, (_, i) => 16 + (65.481 * red[i] + 128.553 * green[i] + 24.966 * blue[i]) / 255);
}

/** The plane without `border` pixels at each side. */
export function cropBorder(plane: Plane, border: number): Plane {
  const [width, height] = [plane.width - 2 * border, plane.height - 2 * border];
  const values = new Float64Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) values[y * width + x] = plane.values[(y + border) * plane.width + x + border];
  return { width, height, values };
}

/** 10·log10(255² / mean squared difference), in dB, over all planes together. */
export function psnr(reference: readonly Plane[], other: readonly Plane[], peak = 255): number {
  let sum = 0;
  let count = 0;
  reference.forEach((plane, p) => {
    for (let i = 0; i < plane.values.length; i++) sum += (plane.values[i] - other[p].values[i]) ** 2;
    count += plane.values.length;
  });
  return sum === 0 ? Infinity : 10 * Math.log10((peak * peak * count) / sum);
}

/**
 * Structural similarity (Wang et al. 2004): Gaussian window 11×11 with σ = 1.5, K1 = 0.01, K2 = 0.03, averaged
 * over the positions where the window fits. Planes must be at least 11 pixels wide and high; NaN otherwise.
 */
export function ssim(reference: Plane, other: Plane, peak = 255): number {
  const taps = Float64Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 * 1.5)));
  const total = taps.reduce((sum, tap) => sum + tap, 0);
  taps.forEach((tap, i) => { taps[i] = tap / total; });
  const { width, height } = reference;
  const blur = (value: (i: number) => number) => {
    const across = new Float64Array((width - 10) * height);
    for (let y = 0; y < height; y++) for (let x = 0; x < width - 10; x++) {
      let sum = 0;
      for (let k = 0; k < 11; k++) sum += taps[k] * value(y * width + x + k);
      across[y * (width - 10) + x] = sum;
    }
    const out = new Float64Array((width - 10) * (height - 10));
    for (let y = 0; y < height - 10; y++) for (let x = 0; x < width - 10; x++) {
      let sum = 0;
      for (let k = 0; k < 11; k++) sum += taps[k] * across[(y + k) * (width - 10) + x];
      out[y * (width - 10) + x] = sum;
    }
    return out;
  };
  if (width < 11 || height < 11) return NaN;
  const [a, b] = [reference.values, other.values];
  const meanA = blur((i) => a[i]);
  const meanB = blur((i) => b[i]);
  const squareA = blur((i) => a[i] * a[i]);
  const squareB = blur((i) => b[i] * b[i]);
  const product = blur((i) => a[i] * b[i]);
  const [c1, c2] = [(0.01 * peak) ** 2, (0.03 * peak) ** 2];
  let sum = 0;
  for (let i = 0; i < meanA.length; i++) {
    const [ma, mb] = [meanA[i], meanB[i]];
    const [va, vb, cov] = [squareA[i] - ma * ma, squareB[i] - mb * mb, product[i] - ma * mb];
    sum += ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
  }
  return sum / meanA.length;
}
