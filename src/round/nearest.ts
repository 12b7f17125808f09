/** Round to nearest: every value takes the closest code under a scale from the extreme value of its group. */
import type { EncodeOptions } from '../formats/format.ts';
import type { Rounder } from './rounder.ts';

export const nearest: Rounder<EncodeOptions> = ({ values, rows, cols, name }, format, _statistics, options = {}) =>
  format.encode(values, rows, cols, { name, ...options });
