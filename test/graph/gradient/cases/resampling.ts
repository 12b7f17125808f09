import { int, type Case } from '../check.ts';
import { float, ints, string, type GraphBuilder } from '../../../../src/graph/build.ts';
import type { Attribute } from '../../../../src/graph/graph.ts';

interface How { readonly scales?: readonly number[]; readonly sizes?: readonly number[]; readonly roi?: readonly number[] }
const resize = (name: string, x: readonly number[], { scales, sizes, roi }: How, attributes: Readonly<Record<string, Attribute>> = {}, noEngine?: string): Case => ({
  rule: 'Resize', name, inputs: { x }, noEngine,
  build: (g: GraphBuilder) => g.op('Resize', ['x', roi === undefined ? '' : g.floats(roi), scales === undefined ? '' : g.floats(scales), ...(sizes === undefined ? [] : [g.ints(sizes)])], attributes),
});
const linear = { mode: string('linear') };
const cubic = { mode: string('cubic') };

export const resamplingCases: readonly Case[] = [
  resize('nearest, twice', [1, 2, 3, 2], { scales: [1, 1, 2, 2] }, { coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') }),
  ...['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'].map((mode) =>
    resize(`nearest, ${mode}`, [1, 1, 5, 4], { scales: [1, 1, 1.6, 0.5] }, { nearest_mode: string(mode), coordinate_transformation_mode: string('half_pixel') })),
  ...['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric'].map((mode) =>
    resize(`linear, ${mode}`, [1, 2, 3, 4], { scales: [1, 1, 2, 1.5] }, { ...linear, coordinate_transformation_mode: string(mode) })),
  resize('linear, smaller', [1, 1, 6, 5], { sizes: [1, 1, 4, 2] }, linear),
  resize('linear, one pixel', [1, 1, 4, 4], { sizes: [1, 1, 1, 1] }, { ...linear, coordinate_transformation_mode: string('align_corners') }),
  resize('linear, antialiased', [1, 1, 6, 6], { sizes: [1, 1, 3, 2] }, { ...linear, antialias: int(1) }),
  resize('linear, cropped with extrapolation', [1, 1, 4, 4], { sizes: [1, 1, 3, 3], roi: [0, 0, -0.3, 0.2, 1, 1, 0.9, 1.4] }, { ...linear, coordinate_transformation_mode: string('tf_crop_and_resize'), extrapolation_value: float(3) }),
  resize('cubic', [1, 1, 4, 4], { scales: [1, 1, 2, 1.5] }, cubic),
  resize('cubic, another coefficient, nothing beyond the edge', [1, 1, 4, 5], { scales: [1, 1, 1.7, 0.8] }, { ...cubic, cubic_coeff_a: float(-0.5), exclude_outside: int(1) }),
  resize('cubic, antialiased', [1, 1, 7, 6], { sizes: [1, 1, 3, 4] }, { ...cubic, antialias: int(1) }),
  resize('sizes of some axes, aspect ratio kept', [1, 1, 4, 6], { sizes: [8, 9] }, { ...linear, axes: ints([2, 3]), keep_aspect_ratio_policy: string('not_larger') }),
  resize('one axis', [2, 3, 5], { scales: [1, 1, 2] }, linear),
];
