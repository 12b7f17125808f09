/**
 * Block-scaled formats along the reduction axis: OCP MX v1.0 (blocks of 32, power-of-two scales) and NVFP4
 * (blocks of 16, E4M3 scales, one float32 multiplier per tensor). The last block of a row may be short:
 * padding is logical and never touches the extreme value.
 */
import { floatGrid, uniformGrid } from './grid.ts';
import { e2m1, e2m3, e3m2, e4m3, e5m2, type MiniFloat } from './minifloat-code.ts';
import { scaleTypes } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

const mx = (name: string, type: MiniFloat): ScaledFormat => symmetricFormat({
  name, family: 'microscaling', grid: floatGrid(type), granularity: { kind: 'group', size: 32 }, scaleType: scaleTypes.e8m0,
});

const nvfp4 = (name: string, scaleRule?: 'fourOverSix'): ScaledFormat => symmetricFormat({
  name, family: 'microscaling', grid: floatGrid(e2m1), granularity: { kind: 'group', size: 16 }, scaleType: scaleTypes.e4m3,
  tensorScale: true, scaleRule,
});

export const microscalingFormats = {
  mxfp4: mx('mxfp4', e2m1),
  mxfp6_e2m3: mx('mxfp6_e2m3', e2m3),
  mxfp6_e3m2: mx('mxfp6_e3m2', e3m2),
  mxfp8_e4m3: mx('mxfp8_e4m3', e4m3),
  mxfp8_e5m2: mx('mxfp8_e5m2', e5m2),
  /** Codes −127..127 in units of 2⁻⁶; −128 stays unused so that the code is symmetric. */
  mxint8: symmetricFormat({
    name: 'mxint8', family: 'microscaling', grid: uniformGrid(8, -127, 127, 2 ** -6),
    granularity: { kind: 'group', size: 32 }, scaleType: scaleTypes.e8m0,
  }),
  nvfp4: nvfp4('nvfp4'),
  /** Each block takes amax/6 or amax/4, whichever errs less (arXiv:2512.02010), under NVFP4's usual tensor scale. */
  'nvfp4-4over6': nvfp4('nvfp4-4over6', 'fourOverSix'),
} as const satisfies Record<string, ScaledFormat>;
