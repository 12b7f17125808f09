import { test } from 'node:test';
import { float } from '../../../src/graph/build.ts';
import { f32, i64, random, same } from './against-ort.ts';

const modes = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric'];
const up = f32(1, 1, 2, 1.5);
const down = f32(1, 1, 0.65, 0.5);
const none = undefined;

test('nearest Resize in every rounding and coordinate mode', async () => {
  for (const coordinate_transformation_mode of modes) {
    for (const nearest_mode of ['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil']) {
      const attributes = { mode: 'nearest', coordinate_transformation_mode, nearest_mode };
      await same('Resize', [random([1, 2, 5, 4]), none, up], attributes);
      await same('Resize', [random([1, 2, 10, 8]), none, down], attributes);
    }
  }
  await same('Resize', [random([1, 2, 5, 4]), none, none, i64(1, 2, 7, 9)], { mode: 'nearest' });
  // (1 + ½) / 0.6 − ½ is 2 in float32 and a little less in doubles, because 0.6 is rounded up.
  await same('Resize', [random([1, 1, 1, 8]), none, f32(1, 1, 1, 0.6)], { mode: 'nearest', nearest_mode: 'floor' });
});

test('linear and cubic Resize in every coordinate mode', async () => {
  for (const mode of ['linear', 'cubic']) {
    for (const coordinate_transformation_mode of modes) {
      await same('Resize', [random([1, 2, 5, 4]), none, up], { mode, coordinate_transformation_mode });
      await same('Resize', [random([1, 2, 7, 8]), none, none, i64(1, 2, 4, 5)], { mode, coordinate_transformation_mode });
    }
  }
  await same('Resize', [random([1, 1, 5, 4]), none, up], { mode: 'cubic', cubic_coeff_a: float(-0.5), exclude_outside: 1 });
});

test('Resize of chosen axes, keeping proportions, and of a crop', async () => {
  await same('Resize', [random([1, 2, 4, 6]), none, f32(1.5, 2)], { mode: 'linear', axes: [2, 3] });
  for (const keep_aspect_ratio_policy of ['not_larger', 'not_smaller']) {
    await same('Resize', [random([1, 2, 4, 6]), none, none, i64(7, 8)], { mode: 'nearest', axes: [2, 3], keep_aspect_ratio_policy });
  }
  await same('Resize', [random([1, 1, 4, 4]), f32(0, 0, 0.4, 0.6, 1, 1, 0.6, 1.2), none, i64(1, 1, 3, 3)],
    { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize', extrapolation_value: float(10) });
});

test('GridSample in every mode, padding and alignment', async () => {
  for (const mode of ['linear', 'nearest', 'cubic']) {
    for (const padding_mode of ['zeros', 'border', 'reflection']) {
      for (const align_corners of [0, 1]) await same('GridSample', [random([2, 2, 5, 4]), random([2, 3, 4, 2], -1.3, 1.3)], { mode, padding_mode, align_corners });
    }
  }
  await same('GridSample', [random([1, 2, 3, 4, 3]), random([1, 2, 2, 3, 3], -1.2, 1.2)], { mode: 'linear' });
});
