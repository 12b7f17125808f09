/** Round to nearest: every value takes the closest code under a scale from the extreme value of its group. */
import type { EncodeOptions } from '../formats/format.ts';
import { encodeMatrix } from './encode-matrix.ts';
import type { Rounder } from './rounder.ts';

export const nearest: Rounder<EncodeOptions> = ({ values, rows, cols, name }, format, _statistics, options = {}) =>
  encodeMatrix(format, values, rows, cols, { name, ...options });
