/** Products of integer activations and integer weights, summed in 32 bits, and their rescaling: plain loops, which judge the kernels. */
import { rescaler, type Dyadic } from '../../numeric/dyadic.ts';
import { sizeOf } from '../interpreter/value.ts';
import type { Windows } from '../interpreter/windows.ts';

/** Integers with a shape, row-major. */
export interface IntegerTensor { readonly shape: readonly number[]; readonly data: Int32Array }

/** What an integer network computes with; all kernels give the same integers. */
export interface IntegerKernels {
  /** Whether inputs of products may have codes in [low, high]. */
  fits(low: number, high: number): boolean;
  /** Convolution of x [n, channels, height, width] with w [outputs, channels / groups, …], over two spatial axes. */
  convolve(x: IntegerTensor, w: Int8Array, outputs: number, groups: number, windows: Windows): IntegerTensor;
  /** Rows x […, depth] times w [outputs, depth], or [depth, outputs] when `transposed`: […, outputs]. */
  multiply(x: IntegerTensor, w: Int8Array, outputs: number, transposed: boolean): IntegerTensor;
  /** Integers [count, behind] to other scales, by factors of channels in turn, clamped. */
  rescale(x: IntegerTensor, factors: readonly Dyadic[], behind: number, low: number, high: number): IntegerTensor;
}

/**
 * x [rows, depth] times w [outputs, depth]: each output's sums lie side by side, [outputs, rows], from `at` on. Four outputs
 * at a time, which reads x a quarter as often.
 */
function multiply(x: Int32Array, w: Int8Array, from: number, rows: number, depth: number, outputs: number, out: Int32Array, at: number): void {
  for (let o = 0; o < outputs; o += 4) {
    const count = Math.min(4, outputs - o);
    const a = from + o * depth;
    const [b, c, d] = [a + Math.min(1, count - 1) * depth, a + Math.min(2, count - 1) * depth, a + (count - 1) * depth];
    for (let row = 0; row < rows; row++) {
      let s = 0, t = 0, u = 0, v = 0;
      const base = row * depth;
      for (let k = 0; k < depth; k++) {
        const value = x[base + k];
        s = (s + Math.imul(w[a + k], value)) | 0;
        t = (t + Math.imul(w[b + k], value)) | 0;
        u = (u + Math.imul(w[c + k], value)) | 0;
        v = (v + Math.imul(w[d + k], value)) | 0;
      }
      const first = at + o * rows + row;
      out[first] = s;
      if (count > 1) out[first + rows] = t;
      if (count > 2) out[first + 2 * rows] = u;
      if (count > 3) out[first + 3 * rows] = v;
    }
  }
}

/** What each window of the channels from `first` on covers, [windows, channels · kernel]; zeros in the padding. */
function patches(x: Int32Array, first: number, channels: number, spatial: readonly [number, number], windows: Windows, out: Int32Array): void {
  const [height, width] = spatial;
  const [kernelY, kernelX] = windows.kernel;
  const [outY, outX] = windows.out;
  let at = 0;
  for (let y = 0; y < outY; y++) {
    for (let column = 0; column < outX; column++) {
      for (let channel = 0; channel < channels; channel++) {
        const plane = first + channel * height * width;
        for (let i = 0; i < kernelY; i++) {
          const row = y * windows.strides[0] - windows.begin[0] + i * windows.dilations[0];
          for (let j = 0; j < kernelX; j++, at++) {
            const col = column * windows.strides[1] - windows.begin[1] + j * windows.dilations[1];
            out[at] = row < 0 || row >= height || col < 0 || col >= width ? 0 : x[plane + row * width + col];
          }
        }
      }
    }
  }
}

function convolve(x: IntegerTensor, w: Int8Array, outputs: number, groups: number, windows: Windows): IntegerTensor {
  const [n, channels, height, width] = x.shape;
  const [own, made] = [channels / groups, outputs / groups];
  const positions = sizeOf(windows.out);
  const depth = own * sizeOf(windows.kernel);
  const out = new Int32Array(n * outputs * positions);
  const covered = new Int32Array(positions * depth);
  for (let image = 0; image < n; image++) {
    for (let group = 0; group < groups; group++) {
      patches(x.data, (image * channels + group * own) * height * width, own, [height, width], windows, covered);
      multiply(covered, w, group * made * depth, positions, depth, made, out, (image * outputs + group * made) * positions);
    }
  }
  return { shape: [n, outputs, ...windows.out], data: out };
}

function multiplyRows(x: IntegerTensor, w: Int8Array, outputs: number, transposed: boolean): IntegerTensor {
  const depth = x.shape.at(-1)!;
  const rows = x.data.length / depth;
  const out = new Int32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum = (sum + Math.imul(x.data[row * depth + k], transposed ? w[k * outputs + o] : w[o * depth + k])) | 0;
      out[row * outputs + o] = sum;
    }
  }
  return { shape: [...x.shape.slice(0, -1), outputs], data: out };
}

function rescale({ shape, data }: IntegerTensor, factors: readonly Dyadic[], behind: number, low: number, high: number): IntegerTensor {
  const out = new Int32Array(data.length);
  const rescalers = factors.map(rescaler);
  for (let from = 0, channel = 0; from < data.length; from += behind, channel++) {
    const apply = rescalers[channel % factors.length];
    for (let i = from; i < from + behind; i++) out[i] = Math.min(high, Math.max(low, apply(data[i])));
  }
  return { shape, data: out };
}

export const plainIntegers: IntegerKernels = { fits: () => true, convolve, multiply: multiplyRows, rescale };
