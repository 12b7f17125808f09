/**
 * Nearest plus one idea: the scale of each group is the one with the least error, squared (`mse`) or to the
 * power 2.4 (`p2.4`), instead of the one that reaches the extreme value.
 */
import type { EncodeOptions } from '../formats/format.ts';
import { nearest } from './nearest.ts';
import { required, type Rounder } from './rounder.ts';

export const scaleSearch: Rounder<EncodeOptions> = (weight, format, statistics, options = {}) =>
  nearest(weight, format, statistics, { search: 'mse', ...options });

/** Scale search whose errors are weighted by the mean squared activation of their column. Needs `meanSquare`. */
export const importance: Rounder<EncodeOptions> = (weight, format, statistics, options = {}) => scaleSearch(weight, format, statistics, {
  ...options,
  importance: required('importance', weight, 'mean squared activations', statistics?.meanSquare, weight.cols),
});
