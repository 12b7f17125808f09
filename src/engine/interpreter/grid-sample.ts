/** Sampling of an image at the points of a grid. */
import { rne } from '../../numeric/rounding.ts';
import type { Operator, Operators } from './call.ts';
import { cubic } from './resize.ts';
import { reader, stridesOf, tabulate } from './value.ts';

/** A coordinate mirrored at both ends until it lies between them. */
function reflected(x: number, low: number, high: number): number {
  const span = high - low;
  if (span === 0) return low;
  const at = (((x - low) % (2 * span)) + 2 * span) % (2 * span);
  return low + (at <= span ? at : 2 * span - at);
}

const samplings = { linear: 'linear', bilinear: 'linear', nearest: 'nearest', cubic: 'cubic', bicubic: 'cubic' } as const;
const key = cubic(-0.75);

/** x [N, C, …space], grid [N, …points, axes], coordinates from −1 to 1, the last spatial axis first. */
const gridSample: Operator = (call) => {
  const [x, grid] = call.inputs;
  const spatial = x.shape.slice(2);
  const mode = call.choice('mode', call.text('mode', 'linear'), samplings);
  const aligned = call.flag('align_corners');
  const ends = (length: number): [number, number] => (aligned ? [0, length - 1] : [-0.5, length - 0.5]);
  const placements = {
    zeros: (at: number) => at,
    border: (at: number, length: number) => Math.min(length - 1, Math.max(0, at)),
    reflection: (at: number, length: number) => reflected(at, ...ends(length)),
  };
  const placed = call.choice('padding mode', call.text('padding_mode', 'zeros'), placements);

  const taps = (at: number, length: number): [number, number][] => {
    if (mode === 'nearest') return [[placed(rne(at), length), 1]];
    // A cubic keeps its shape beyond the ends: its elements are placed, not its center.
    const center = mode === 'cubic' ? at : placed(at, length);
    const first = Math.floor(center);
    const elements = mode === 'cubic' ? [first - 1, first, first + 1, first + 2] : [first, first + 1];
    return elements.map((i) => [placed(i, length), mode === 'cubic' ? key.weight(i - center) : 1 - Math.abs(i - center)]);
  };

  const point = reader(grid);
  const strides = stridesOf(x.shape);
  const rank = spatial.length;
  return tabulate(x.type, [x.shape[0], x.shape[1], ...grid.shape.slice(1, -1)], (index) => {
    const perAxis = spatial.map((length, axis) => {
      const part = (point([index[0], ...index.slice(2), rank - 1 - axis]) + 1) / 2;
      return taps(aligned ? part * (length - 1) : part * length - 0.5, length);
    });
    const summed = (axis: number, from: number): number => {
      if (axis === rank) return x.data[from];
      return perAxis[axis].reduce((total, [at, weight]) =>
        (at < 0 || at >= spatial[axis] || weight === 0 ? total : total + weight * summed(axis + 1, from + Math.round(at) * strides[2 + axis])), 0);
    };
    return summed(0, index[0] * strides[0] + index[1] * strides[1]);
  });
};

export const sampling: Operators = { GridSample: gridSample };
