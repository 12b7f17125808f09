/** One bit: sign(x) times the mean magnitude, which is the least-squares scale of a sign code; sign(0) = +1. */
import { spellGranularity, type Granularity } from './granularity.ts';
import { signGrid } from './grid.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

export function binaryFormat(granularity: Granularity, scaleType: ScaleType = scaleTypes.f32): ScaledFormat {
  return symmetricFormat({
    name: `binary/${spellGranularity(granularity)}${scaleType === scaleTypes.f32 ? '' : `@${scaleType.name}`}`,
    family: 'binary', grid: signGrid, granularity, scaleType, absMean: true,
  });
}
