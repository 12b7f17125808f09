/**
 * Image resampling, separable and deterministic. `bilinear` and `bicubic` widen their support when they
 * shrink (the antialiased form of Pillow and torchvision); `area` averages the exact area each target pixel
 * covers (the form of OpenCV's INTER_AREA) and is bilinear when it enlarges; `nearest` takes pixel centres.
 */
export type Filter = 'bilinear' | 'bicubic' | 'area' | 'nearest';

/** 8-bit pixels, interleaved [height, width, channels]. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Keys' cubic convolution with a = −1/2, as Pillow uses. */
function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

interface Taps { readonly first: Int32Array; readonly count: number; readonly weights: Float64Array }

function tapsOf(from: number, to: number, filter: Filter): Taps {
  const scale = from / to;
  const first = new Int32Array(to);
  const rows: number[][] = [];
  for (let i = 0; i < to; i++) {
    let row: number[] = [];
    if (filter === 'nearest') {
      first[i] = Math.min(from - 1, Math.floor((i + 0.5) * scale));
      row = [1];
    } else if (filter === 'area' && scale > 1) {
      const [low, high] = [i * scale, Math.min((i + 1) * scale, from)];
      first[i] = Math.floor(low);
      for (let j = first[i]; j < high; j++) row.push(Math.min(j + 1, high) - Math.max(j, low));
    } else {
      const stretch = Math.max(scale, 1);
      const reach = (filter === 'bicubic' ? 2 : 1) * stretch;
      const centre = (i + 0.5) * scale;
      // Bounds and rounding as in Pillow's precompute_coeffs.
      first[i] = Math.max(0, Math.floor(centre - reach + 0.5));
      const end = Math.min(from, Math.floor(centre + reach + 0.5));
      for (let j = first[i]; j < end; j++) {
        const x = Math.abs((j + 0.5 - centre) / stretch);
        row.push(filter === 'bicubic' ? cubic(x) : Math.max(0, 1 - x));
      }
    }
    const sum = row.reduce((total, weight) => total + weight, 0);
    rows.push(row.map((weight) => weight / sum));
  }
  const count = Math.max(...rows.map((row) => row.length));
  const weights = new Float64Array(to * count);
  rows.forEach((row, i) => weights.set(row, i * count));
  return { first, count, weights };
}

const toByte = (value: number) => (value <= 0 ? 0 : value >= 255 ? 255 : Math.floor(value + 0.5));

/** The image at another size; rounded to 8 bits after each of the two passes, horizontal first. */
export function resizeImage(image: Image, width: number, height: number, filter: Filter = 'bilinear'): Image {
  if (width === image.width && height === image.height) return image;
  const { channels } = image;
  const across = tapsOf(image.width, width, filter);
  const wide = new Uint8Array(image.height * width * channels);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < across.count; k++) {
          const weight = across.weights[x * across.count + k];
          if (weight !== 0) sum += weight * image.data[(y * image.width + across.first[x] + k) * channels + c];
        }
        wide[(y * width + x) * channels + c] = toByte(sum);
      }
    }
  }
  const down = tapsOf(image.height, height, filter);
  const data = new Uint8Array(height * width * channels);
  const stride = width * channels;
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < stride; i++) {
      let sum = 0;
      for (let k = 0; k < down.count; k++) {
        const weight = down.weights[y * down.count + k];
        if (weight !== 0) sum += weight * wide[(down.first[y] + k) * stride + i];
      }
      data[y * stride + i] = toByte(sum);
    }
  }
  return { width, height, channels, data };
}

/** Half of what is cut off, halves to the even number: torchvision rounds with Python's `round`. */
function margin(cut: number): number {
  const low = Math.floor(cut / 2);
  return cut % 2 === 0 || low % 2 === 0 ? low : low + 1;
}

/** The `[width, height]` window in the middle, placed as in torchvision. */
export function centreCrop(image: Image, width: number, height: number): Image {
  const left = margin(image.width - width);
  const top = margin(image.height - height);
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}
