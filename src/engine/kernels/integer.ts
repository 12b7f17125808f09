/** Integer networks on WASM SIMD; layouts are described in kernels/integer/index.ts. */
import type { Dyadic } from '../../numeric/dyadic.ts';
import type { IntegerKernels } from '../integer/products.ts';
import { growTo, kernelsOver } from './instance.ts';
import { integerWasm } from './integer.wasm.ts';

interface Exports {
  place(from: number, channels: number, height: number, width: number, top: number, left: number, tall: number, wide: number, to: number): void;
  convolve(x: number, w: number, outputs: number, outY: number, outX: number, rows: number, runs: number, length: number, apart: number, below: number, right: number, down: number, out: number): void;
  convolveDepth(x: number, w: number, channels: number, outY: number, outX: number, rows: number, columns: number, apart: number, below: number, right: number, down: number, out: number): void;
  rescale(values: number, count: number, behind: number, multipliers: number, halves: number, shifts: number, factors: number, low: number, high: number): void;
}

const eights = (count: number): number => Math.ceil(count / 8) * 8;

/** Weights laid out for a kernel, of each group; the codes of a network do not change. */
type Packed = readonly Int16Array[];

/** Kernels with a memory of their own, which grows to what the largest layer takes. */
export function integerKernels(): IntegerKernels {
  const memory = new WebAssembly.Memory({ initial: 16 });
  const run = kernelsOver<Exports>(integerWasm(), memory);
  const packed = new WeakMap<Int8Array, Map<string, Packed>>();
  const known = (codes: Int8Array, layout: string, make: () => Packed): Packed => {
    const found = packed.get(codes) ?? new Map<string, Packed>();
    packed.set(codes, found);
    const made = found.get(layout) ?? make();
    found.set(layout, made);
    return made;
  };
  /** Addresses one behind the other, from the beginning; a vector more at the end, which kernels may read. */
  const lay = (...bytes: readonly number[]): number[] => {
    let end = 1024;
    const places = bytes.map((count) => { const at = end; end += Math.ceil((count + 32) / 16) * 16; return at; });
    growTo(memory, end);
    return places;
  };
  const words = (at: number, count: number): Int32Array => new Int32Array(memory.buffer, at, count);

  return {
    fits: (low, high) => low >= -32_768 && high <= 32_767,
    convolve(x, w, outputs, groups, windows) {
      const [n, channels, height, width] = x.shape;
      const [own, made] = [channels / groups, outputs / groups];
      const { kernel: [kernelY, kernelX], strides, dilations, begin, end, out: [outY, outX] } = windows;
      const depthwise = own === 1 && made === 1;
      const parts = depthwise ? 1 : groups;
      const together = depthwise ? channels : own;
      // A window that begins in the input may end behind it.
      const [tall, wide] = [0, 1].map((axis) => Math.max(x.shape[2 + axis] + begin[axis] + end[axis], (windows.out[axis] - 1) * strides[axis] + (windows.kernel[axis] - 1) * dilations[axis] + 1));
      const joined = dilations[1] === 1;
      const [runs, length] = joined ? [1, eights(kernelX * together)] : [kernelX, eights(together)];
      const weights = known(w, `${groups} ${kernelY} ${kernelX} ${joined}`, () => (depthwise ? [byChannel(w, channels, kernelY * kernelX)] : Array.from({ length: groups }, (_, g) => byRuns(w.subarray(g * made * own * kernelY * kernelX), made, own, kernelY, kernelX, runs, length))));
      const positions = outY * outX;
      const plane = height * width;
      const [input, placed, packedAt, result] = lay(4 * together * plane, 2 * tall * wide * together, 2 * weights[0].length, 4 * (depthwise ? channels : eights(made)) * positions);
      const data = new Int32Array(n * outputs * positions);
      for (let part = 0; part < parts; part++) {
        new Int16Array(memory.buffer, packedAt, weights[part].length).set(weights[part]);
        for (let image = 0; image < n; image++) {
          const from = (image * channels + part * together) * plane;
          words(input, together * plane).set(x.data.subarray(from, from + together * plane));
          run.place(input, together, height, width, begin[0], begin[1], tall, wide, placed);
          const [apart, below, right, down] = [dilations[1] * together, dilations[0] * wide * together, strides[1] * together, strides[0] * wide * together];
          if (depthwise) run.convolveDepth(placed, packedAt, channels, outY, outX, kernelY, kernelX, apart, below, right, down, result);
          else run.convolve(placed, packedAt, made, outY, outX, kernelY, runs, length, apart, below, right, down, result);
          const count = (depthwise ? channels : made) * positions;
          data.set(words(result, count), (image * outputs + part * made) * positions);
        }
      }
      return { shape: [n, outputs, ...windows.out], data };
    },
    multiply(x, w, outputs, transposed) {
      const depth = x.shape.at(-1)!;
      const rows = x.data.length / depth;
      const length = eights(depth);
      const [weights] = known(w, `matrix ${outputs} ${transposed}`, () => {
        const codes = transposed ? w.map((_, i) => w[(i % depth) * outputs + Math.floor(i / depth)]) : w;
        return [byRuns(codes, outputs, depth, 1, 1, 1, length)];
      });
      const [input, placed, packedAt, result] = lay(4 * x.data.length, 2 * x.data.length, 2 * weights.length, 4 * eights(outputs) * rows);
      words(input, x.data.length).set(x.data);
      run.place(input, 1, rows, depth, 0, 0, rows, depth, placed);
      new Int16Array(memory.buffer, packedAt, weights.length).set(weights);
      run.convolve(placed, packedAt, outputs, 1, rows, 1, 1, length, depth, 0, depth, 0, result);
      const sums = words(result, outputs * rows);
      return { shape: [...x.shape.slice(0, -1), outputs], data: Int32Array.from({ length: rows * outputs }, (_, i) => sums[(i % outputs) * rows + Math.floor(i / outputs)]) };
    },
    rescale({ shape, data }, factors, behind, low, high) {
      const [values, multipliers, halves, shifts] = lay(4 * data.length, 4 * factors.length, 8 * factors.length, 4 * factors.length);
      words(values, data.length).set(data);
      words(multipliers, factors.length).set(factors.map(({ multiplier }) => multiplier));
      words(shifts, factors.length).set(factors.map(({ shift }) => shift));
      new BigInt64Array(memory.buffer, halves, factors.length).set(factors.map(halfOf));
      run.rescale(values, data.length / behind, behind, multipliers, halves, shifts, factors.length, low, high);
      return { shape, data: words(values, data.length).slice() };
    },
  };
}

const halfOf = ({ shift }: Dyadic): bigint => (shift > 0 ? 1n << BigInt(shift - 1) : 0n);

/** [outputs, channels, kernel rows, kernel columns] → [outputs / 4][kernel rows][runs][length / 8][4][8], zeros where a run is shorter. */
function byRuns(w: Int8Array, outputs: number, channels: number, rows: number, columns: number, runs: number, length: number): Int16Array {
  const inRun = columns / runs;
  const out = new Int16Array(Math.ceil(outputs / 4) * rows * runs * length * 4);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const at = (j % inRun) * channels + c;
          const run = ((o >> 2) * rows + i) * runs + Math.floor(j / inRun);
          out[(run * length + (at & ~7)) * 4 + (o & 3) * 8 + (at & 7)] = w[((o * channels + c) * rows + i) * columns + j];
        }
      }
    }
  }
  return out;
}

/** [channels, 1, kernel] → [kernel][channels, filled up to eight]. */
function byChannel(w: Int8Array, channels: number, kernel: number): Int16Array {
  const wide = eights(channels);
  const out = new Int16Array(kernel * wide);
  for (let c = 0; c < channels; c++) for (let k = 0; k < kernel; k++) out[k * wide + c] = w[c * kernel + k];
  return out;
}
