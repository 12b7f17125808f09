/**
 * Gradients of convolutions. To the input: the flipped kernel over dy where the stride is one, else the transposed
 * convolution, whose engine kernel is slower but touches no inserted zeros. To the kernel: matrix products.
 */
import { memoryTensor } from '../../tensor-ref.ts';
import { int, ints } from '../build.ts';
import { matmul } from './products.ts';
import type { GradientRule, GradientSite } from './site.ts';
import { channelSum, halves, picked, product, windowAttributes, windowOf, writtenWindow, type Pick, type Window } from './window.ts';

/** A value [batch, channels, spatial…] with its shape. */
interface Image { readonly value: string; readonly shape: readonly number[] }

/** The kernel [M, C/groups, taps…] of the reverse direction: taps backwards, input and output channels exchanged within groups. */
function flipped(site: GradientSite, weight: string, shape: readonly number[], group: number): string {
  const [out, into, ...kernel] = shape;
  const taps = product(kernel);
  let value = site.reshape(weight, [group, out / group, into, taps]);
  if (taps > 1) value = site.tape.op('Gather', [value, site.tape.ints(Array.from({ length: taps }, (_, i) => taps - 1 - i))], { axis: int(3) });
  return site.reshape(site.transpose(value, [0, 2, 1, 3]), [group * into, out / group, ...kernel]);
}

/** Gradient of a convolution to its input of spatial extents `size`. */
function inputGradient(site: GradientSite, dy: Image, weight: string, weightShape: readonly number[], size: readonly number[], window: Window, group: number): string {
  const { strides, dilations, kernel, begins, ends } = window;
  const reach = kernel.map((taps, i) => (taps - 1) * dilations[i]);
  const out = dy.shape.slice(2);
  if (strides.every((stride) => stride === 1)) {
    const before = reach.map((far, i) => far - begins[i]);
    const after = reach.map((far, i) => size[i] + far - out[i] - before[i]);
    // A padding wider than the kernel reaches cuts dy instead of padding it.
    const cut = picked(site, dy.value, dy.shape, out.map((extent, i) => {
      const start = Math.max(0, -before[i]);
      return { start, step: 1, length: extent - start - Math.max(0, -after[i]) };
    }));
    const inner = { kernel, strides, dilations, begins: before.map((n) => Math.max(0, n)), ends: after.map((n) => Math.max(0, n)) };
    return site.tape.op('Conv', [cut, flipped(site, weight, weightShape, group)], windowAttributes(inner, group));
  }
  // Positions at the end that no window reached.
  const rest = size.map((extent, i) => extent + begins[i] + ends[i] - reach[i] - 1 - (out[i] - 1) * strides[i]);
  return site.tape.op('ConvTranspose', [dy.value, weight], { ...windowAttributes(window, group), output_padding: ints(rest) });
}

/** Copies of `image` for every tap of all axes but the last, which is picked from: [batch, channels · taps, positions]. */
function tapRows(site: GradientSite, image: Image, window: Window, extents: readonly number[], along: Pick): string {
  const { kernel, strides, dilations, begins } = window;
  const last = kernel.length - 1;
  const [batch, channels, ...size] = image.shape;
  // Rows that some tap reads: from the first tap's first position to the last tap's last.
  const lengths = kernel.slice(0, last).map((taps, i) => (extents[i] - 1) * strides[i] + (taps - 1) * dilations[i] + 1);
  const value = picked(site, image.value, image.shape, [...lengths.map((length, i) => ({ start: -begins[i], step: 1, length })), along]);
  const taps = combinations(kernel.slice(0, last));
  const positions = combinations(extents.slice(0, last));
  if (taps.length === 1 && size.slice(0, last).every((_, i) => lengths[i] === extents[i])) return value;
  const rows = taps.flatMap((tap) => positions.map((position) =>
    position.reduce((row, at, i) => row * lengths[i] + at * strides[i] + tap[i] * dilations[i], 0)));
  const index = site.tape.weight(memoryTensor('rows', 'i64', [rows.length], new Uint8Array(BigInt64Array.from(rows, BigInt).buffer)));
  return site.tape.op('Gather', [site.reshape(value, [batch, channels, product(lengths), along.length]), index], { axis: int(2) });
}

/**
 * dW[m, c, k] = Σ small[n, m, o] · large[n, c, stride · o + dilation · k − begin] over images n and positions o, as
 * products of shifted copies: taps of all axes but the last shift `large`, those of the last axis shift `small` the other
 * way, so that a K × K kernel needs 2 K copies and not K². Few channels in `large` are cheaper copied for every tap.
 */
function kernelGradient(site: GradientSite, large: Image, small: Image, window: Window, group: number): string {
  const { kernel, strides, dilations, begins } = window;
  const last = kernel.length - 1;
  const [batch, width] = [large.shape[0], large.shape.at(-1)!];
  const [into, out] = [large.shape[1] / group, small.shape[1] / group];
  const extents = small.shape.slice(2);
  const outer = product(kernel.slice(0, last));
  const before = product(extents.slice(0, last));
  const stack = (values: readonly string[], rows: number, positions: number): string => {
    const parts = values.map((value) => site.reshape(value, [batch, group, rows, positions]));
    return parts.length === 1 ? parts[0] : site.tape.op('Concat', parts, { axis: int(2) });
  };
  // One product per image, summed, unless the products are larger than what goes into them, or too small to be worth a call.
  const multiply = (a: string, rowsA: number, b: string, rowsB: number, positions: number): string => {
    const isJoined = batch > 1 && (positions * (rowsA + rowsB) < rowsA * rowsB || rowsA * rowsB < 256);
    if (!isJoined) return site.sum(matmul(site, a, b, { transB: true }), [0], false);
    const beside = (value: string, rows: number): string => site.reshape(site.transpose(value, [1, 2, 0, 3]), [group, rows, batch * positions]);
    return matmul(site, beside(a, rowsA), beside(b, rowsB), { transB: true });
  };

  if (kernel[last] * outer * into <= outer * into + kernel[last] * out) {
    const positions = product(extents);
    const taps = Array.from({ length: kernel[last] }, (_, tap) =>
      tapRows(site, large, window, extents, { start: tap * dilations[last] - begins[last], step: strides[last], length: extents[last] }));
    const rows = into * outer;
    const dw = multiply(stack([small.value], out, positions), out, stack(taps, rows, positions), taps.length * rows, positions);
    return site.reshape(site.transpose(site.reshape(dw, [group, out, taps.length, into, outer]), [0, 1, 3, 4, 2]), [group * out, into, ...kernel]);
  }

  // Taps of the last axis by the remainder of their offset: those of one remainder read the same positions, shifted.
  const phases = new Map<number, { readonly tap: number; readonly shift: number }[]>();
  for (let tap = 0; tap < kernel[last]; tap++) {
    const offset = tap * dilations[last] - begins[last];
    const phase = ((offset % strides[last]) + strides[last]) % strides[last];
    phases.set(phase, [...(phases.get(phase) ?? []), { tap, shift: (offset - phase) / strides[last] }]);
  }
  const whole = extents.slice(0, last).map((length) => ({ start: 0, step: 1, length }));
  const blocks = [...phases].map(([phase, taps]) => {
    const length = Math.ceil((width - phase) / strides[last]);
    const block = [group, taps.length, out, into, outer];
    if (length <= 0) return site.zeros(block);
    const rows = tapRows(site, large, window, extents, { start: phase, step: strides[last], length });
    const columns = taps.map(({ shift }) => picked(site, small.value, small.shape, [...whole, { start: -shift, step: 1, length }]));
    const positions = before * length;
    return site.reshape(multiply(stack(columns, out, positions), taps.length * out, stack([rows], into * outer, positions), into * outer, positions), block);
  });
  const order = [...phases.values()].flat().map(({ tap }) => tap);
  let dw = blocks.length === 1 ? blocks[0] : site.tape.op('Concat', blocks, { axis: int(1) });
  if (order.some((tap, i) => tap !== i)) dw = site.tape.op('Gather', [dw, site.tape.ints(order.map((_, tap) => order.indexOf(tap)))], { axis: int(1) });
  return site.reshape(site.transpose(dw, [0, 2, 3, 4, 1]), [group * out, into, ...kernel]);
}

/** Every index of a box, row-major. */
const combinations = (sizes: readonly number[]): number[][] =>
  sizes.reduce<number[][]>((all, size) => all.flatMap((head) => Array.from({ length: size }, (_, i) => [...head, i])), [[]]);

const conv: GradientRule = (site) => {
  const [x, w] = site.node.inputs;
  const [shape, kernelShape] = [site.shape(0), site.shape(1)];
  const group = site.int('group', 1);
  const window = windowOf(site, shape.slice(2), kernelShape.slice(2));
  const dy = { value: site.dy, shape: site.resultShape() };
  return [
    site.wants(0) ? inputGradient(site, dy, w, kernelShape, shape.slice(2), window, group) : undefined,
    site.wants(1) ? kernelGradient(site, { value: x, shape }, dy, window, group) : undefined,
    site.wants(2) ? channelSum(site, site.dy, shape.length) : undefined,
  ];
};

/** Padding of a transposed convolution: given, or what a wanted output shape takes away. */
function transposedWindow(site: GradientSite, size: readonly number[], kernel: readonly number[], out: readonly number[]): Window {
  const window = writtenWindow(site, kernel);
  const auto = site.text('auto_pad', 'NOTSET');
  if (site.ints('output_shape') === undefined && !auto.startsWith('SAME')) return window;
  const extra = site.ints('output_padding') ?? size.map(() => 0);
  // The standard rounds the other way than for Conv: only SAME_UPPER gives the larger half to the end.
  const pairs = size.map((extent, i) => {
    const total = Math.max(0, (extent - 1) * window.strides[i] + extra[i] + (kernel[i] - 1) * window.dilations[i] + 1 - out[i]);
    return halves(total, auto === 'SAME_UPPER' ? auto : 'SAME_LOWER');
  });
  return { ...window, begins: pairs.map(([begin]) => begin), ends: pairs.map(([, end]) => end) };
}

const convTranspose: GradientRule = (site) => {
  const [x, w] = site.node.inputs;
  const [shape, kernelShape] = [site.shape(0), site.shape(1)];
  const group = site.int('group', 1);
  const window = transposedWindow(site, shape.slice(2), kernelShape.slice(2), site.resultShape().slice(2));
  const dy = { value: site.dy, shape: site.resultShape() };
  return [
    site.wants(0) ? site.tape.op('Conv', [site.dy, w], windowAttributes(window, group)) : undefined,
    site.wants(1) ? kernelGradient(site, dy, { value: x, shape }, window, group) : undefined,
    site.wants(2) ? channelSum(site, site.dy, shape.length) : undefined,
  ];
};

export const convolutionRules: Readonly<Record<string, GradientRule>> = { Conv: conv, ConvTranspose: convTranspose };
