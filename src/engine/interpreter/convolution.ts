/** Convolutions of any number of spatial axes: Conv, its transpose, and the image that columns of patches add up to. */
import { combined } from './elementwise.ts';
import type { Call, Operator, Operators } from './call.ts';
import { fit } from './types.ts';
import { perChannel, sizeOf, tabulate, valueOf, type Value64 } from './value.ts';
import { autoPadOf, elementOf, offsetsIn, windowsOf, type Windows } from './windows.ts';

const withBias = (y: Value64, bias: Value64 | undefined): Value64 =>
  (bias === undefined ? y : combined(y, perChannel(bias, y.shape.length), (a, b) => a + b));

/** x [N, C, …] under w [M, C/group, …]; the node gives group, pads, strides and dilations. */
export function convolved(call: Call, x: Value64, w: Value64, type = x.type): Value64 {
  const [n, channels, ...spatial] = x.shape;
  const [maps, depth, ...kernel] = w.shape;
  const group = call.int('group', 1);
  if (depth * group !== channels) throw call.wrong(`${group} groups of ${depth} channels over ${channels}`);
  const windows = windowsOf(call, spatial, kernel);
  const offsets = offsetsIn(kernel);
  const [area, taps] = [sizeOf(spatial), offsets.length];
  return tabulate(type, [n, maps, ...windows.out], (index) => {
    const [batch, map] = index;
    const first = batch * channels + Math.floor(map / (maps / group)) * depth;
    let total = 0;
    for (let tap = 0; tap < taps; tap++) {
      const at = elementOf(windows, index, 2, offsets[tap], spatial);
      if (at < 0) continue;
      for (let c = 0; c < depth; c++) total += x.data[(first + c) * area + at] * w.data[(map * depth + c) * taps + tap];
    }
    return fit(type, total);
  });
}

/** Padding and size of a transposed convolution, as the windows that Conv would lay over its result. */
function transposedWindows(call: Call, spatial: readonly number[], kernel: readonly number[]): { windows: Windows; shape: number[] } {
  const ones = spatial.map(() => 1);
  const strides = call.ints('strides') ?? ones;
  const dilations = call.ints('dilations') ?? ones;
  const extra = call.ints('output_padding') ?? ones.map(() => 0);
  const auto = autoPadOf(call);
  const wanted = call.ints('output_shape')?.slice(-spatial.length)
    ?? (auto.startsWith('SAME') ? spatial.map((dim, axis) => dim * strides[axis]) : undefined);
  const pads = auto === 'NOTSET' ? call.ints('pads') : undefined;
  const begin = spatial.map((_, axis) => pads?.[axis] ?? 0);
  const end = spatial.map((_, axis) => pads?.[spatial.length + axis] ?? 0);
  const full = spatial.map((dim, axis) => strides[axis] * (dim - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1);
  const shape = full.map((size, axis) => wanted?.[axis] ?? size - begin[axis] - end[axis]);
  if (wanted !== undefined) {
    for (const [axis, size] of full.entries()) {
      const total = Math.max(0, size - shape[axis]);
      begin[axis] = auto === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
      end[axis] = total - begin[axis];
    }
  }
  return { windows: { kernel, strides, dilations, begin, end, out: spatial }, shape };
}

/** Every input element adds its weighted kernel to the result, where Conv would have read it. w [C, M/group, …]. */
const convTranspose: Operator = (call) => {
  const [x, w] = [call.input(0), call.input(1)];
  const [n, channels, ...spatial] = x.shape;
  const [, depth, ...kernel] = w.shape;
  const group = call.int('group', 1);
  const { windows, shape } = transposedWindows(call, spatial, kernel);
  const offsets = offsetsIn(kernel);
  const positions = offsetsIn(spatial);
  const [area, taps] = [sizeOf(shape), offsets.length];
  const data = new Float64Array(n * group * depth * area);
  for (let batch = 0; batch < n; batch++) {
    for (let c = 0; c < channels; c++) {
      const first = batch * group * depth + Math.floor(c / (channels / group)) * depth;
      for (const [p, position] of positions.entries()) {
        const element = x.data[(batch * channels + c) * positions.length + p];
        for (let tap = 0; tap < taps; tap++) {
          const at = elementOf(windows, position, 0, offsets[tap], shape);
          if (at < 0) continue;
          for (let m = 0; m < depth; m++) data[(first + m) * area + at] += element * w.data[(c * depth + m) * taps + tap];
        }
      }
    }
  }
  return withBias(valueOf(x.type, [n, group * depth, ...shape], data), call.optional(2));
};

/** x [N, C · patch, windows] summed into images [N, C, …]. */
const col2Im: Operator = (call) => {
  const [x, image, block] = call.inputs;
  const [spatial, kernel] = [[...image.data], [...block.data]];
  const windows = windowsOf(call, spatial, kernel);
  const offsets = offsetsIn(kernel);
  const positions = offsetsIn(windows.out);
  const channels = x.shape[1] / offsets.length;
  const area = sizeOf(spatial);
  const data = new Float64Array(x.shape[0] * channels * area);
  for (let c = 0; c < x.shape[0] * channels; c++) {
    for (const [k, offset] of offsets.entries()) {
      for (const [p, position] of positions.entries()) {
        const at = elementOf(windows, position, 0, offset, spatial);
        if (at >= 0) data[c * area + at] += x.data[(c * offsets.length + k) * positions.length + p];
      }
    }
  }
  return valueOf(x.type, [x.shape[0], channels, ...spatial], data);
};

export const convolutions: Operators = {
  Conv: (call) => withBias(convolved(call, call.input(0), call.input(1)), call.optional(2)),
  ConvTranspose: convTranspose,
  Col2Im: col2Im,
};
