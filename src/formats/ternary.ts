/**
 * {−1, 0, +1} times a scale: the mean magnitude (`ternary`, BitNet b1.58: arXiv:2402.17764) or the extreme
 * value (`ternary-amax`, as ggml's TQ types have it). Two bits a code.
 */
import { spellGranularity, type Granularity } from './granularity.ts';
import { uniformGrid } from './grid.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

export function ternaryFormat(granularity: Granularity, scaleType: ScaleType = scaleTypes.f32, amax = false): ScaledFormat {
  return symmetricFormat({
    name: `ternary${amax ? '-amax' : ''}/${spellGranularity(granularity)}${scaleType === scaleTypes.f32 ? '' : `@${scaleType.name}`}`,
    family: 'binary', grid: uniformGrid(2, -1, 1), granularity, scaleType, absMean: !amax,
    integer: { qmin: -1, qmax: 1, asymmetric: false },
  });
}
