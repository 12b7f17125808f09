/**
 * FP8, FP6, FP4 and any other floating-point code of up to 8 bits, times a scale per tensor, channel, group or block.
 * Scale = amax / largest value, in the chosen scale type; codes saturate.
 */
import { spellGranularity, type Granularity } from './granularity.ts';
import { floatGrid } from './grid.ts';
import type { MiniFloat } from './minifloat-code.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

export function miniFloatFormat(type: MiniFloat, granularity: Granularity, scaleType: ScaleType = scaleTypes.f32): ScaledFormat {
  const plain = scaleType === scaleTypes.f32;
  return symmetricFormat({
    name: `${type.name}/${spellGranularity(granularity, plain ? 'g' : 'b')}${plain ? '' : `@${scaleType.name}`}`,
    family: 'minifloat', grid: floatGrid(type), granularity, scaleType,
  });
}
