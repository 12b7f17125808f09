/** Sliding windows: what convolutions and pools read at each position, and values cut or extended with zeros to fit. */
import { int, ints } from '../build.ts';
import type { GradientSite } from './site.ts';
import type { Attributes } from './tape.ts';

export const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** Output position o reads input positions stride · o + dilation · k − begin for every tap k of the kernel. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}

/** The window that the attributes give, without automatic padding. */
export function writtenWindow(site: GradientSite, kernel: readonly number[]): Window {
  const pads = site.ints('pads') ?? kernel.flatMap(() => [0, 0]);
  return {
    kernel, strides: site.ints('strides') ?? kernel.map(() => 1), dilations: site.ints('dilations') ?? kernel.map(() => 1),
    begins: pads.slice(0, kernel.length), ends: pads.slice(kernel.length),
  };
}

/** The window of a convolution or pool over spatial extents `size`, automatic padding resolved. */
export function windowOf(site: GradientSite, size: readonly number[], kernel: readonly number[]): Window {
  const window = writtenWindow(site, kernel);
  const auto = site.text('auto_pad', 'NOTSET');
  if (auto === 'NOTSET') return window;
  const pairs = size.map((extent, i) => {
    if (auto === 'VALID') return [0, 0];
    const stride = window.strides[i];
    return halves(Math.max(0, (Math.ceil(extent / stride) - 1) * stride + (kernel[i] - 1) * window.dilations[i] + 1 - extent), auto);
  });
  return { ...window, begins: pairs.map(([begin]) => begin), ends: pairs.map(([, end]) => end) };
}

/** The odd one of an automatic padding goes to the end, or with SAME_LOWER to the begin. */
export const halves = (total: number, auto: string): [begin: number, end: number] =>
  (auto === 'SAME_LOWER' ? [Math.ceil(total / 2), Math.floor(total / 2)] : [Math.floor(total / 2), Math.ceil(total / 2)]);

/** Positions start, start + step, … of an axis. */
export interface Pick { readonly start: number; readonly step: number; readonly length: number }

/** The picked positions of the spatial axes of `value` [a, b, spatial…]; zeros where a pick lies outside. */
export function picked(site: GradientSite, value: string, shape: readonly number[], picks: readonly Pick[]): string {
  const size = shape.slice(2);
  const result = [...shape.slice(0, 2), ...picks.map(({ length }) => length)];
  const sees = ({ start, step, length }: Pick, i: number): boolean => {
    const first = start >= 0 ? 0 : Math.ceil(-start / step);
    return first < length && start + first * step < size[i];
  };
  if (!picks.every(sees)) return site.zeros(result);
  // A step of one is a Pad alone, whose negative amounts cut; longer steps extend what is missing, then slice.
  const begins = picks.map(({ start, step }) => (step === 1 ? -start : Math.max(0, -start)));
  const ends = picks.map(({ start, step, length }, i) => {
    const missing = start + (length - 1) * step + 1 - size[i];
    return step === 1 ? missing : Math.max(0, missing);
  });
  const padded = [...begins, ...ends].every((amount) => amount === 0) ? value
    : site.tape.op('Pad', [value, site.tape.ints([0, 0, ...begins, 0, 0, ...ends])]);
  const stepped = picks.flatMap(({ step }, i) => (step === 1 ? [] : [i]));
  if (stepped.length === 0) return padded;
  const starts = stepped.map((i) => picks[i].start + begins[i]);
  const stops = stepped.map((i, j) => starts[j] + (picks[i].length - 1) * picks[i].step + 1);
  return site.tape.op('Slice', [padded, site.tape.ints(starts), site.tape.ints(stops), site.tape.ints(stepped.map((i) => i + 2)), site.tape.ints(stepped.map((i) => picks[i].step))]);
}

/** Attributes of Conv and ConvTranspose. */
export const windowAttributes = ({ kernel, strides, dilations, begins, ends }: Window, group: number): Attributes => ({
  kernel_shape: ints(kernel), strides: ints(strides), dilations: ints(dilations), pads: ints([...begins, ...ends]), group: int(group),
});

/** Sum over everything but the channels of a value [batch, channels, spatial…]: first inside of each image, then over images. */
export function channelSum(site: GradientSite, value: string, rank: number): string {
  const inner = rank > 2 ? site.sum(value, Array.from({ length: rank - 2 }, (_, i) => i + 2), false) : value;
  return site.sum(inner, [0], false);
}
