/**
 * Integers of 1 to 8 bits. `intB` symmetric restricted, −(2^(b−1)−1)..2^(b−1)−1, scale amax/qmax;
 * `intB-full` symmetric with all 2^b codes, scale amax/((2^b−1)/2) as compressed-tensors has it;
 * `uintB` asymmetric 0..2^b−1 with an integer zero point, as ONNX, AWQ and GPTQ have it.
 * Arithmetic in float32, x divided by the scale, ties as asked.
 */
import { asymmetricFormat } from './asymmetric.ts';
import { spellGranularity, type Granularity } from './granularity.ts';
import { uniformGrid } from './grid.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

export type IntegerKind = 'restricted' | 'full' | 'asymmetric';

export function integerFormat(
  bits: number, kind: IntegerKind, granularity: Granularity, scaleType: ScaleType = scaleTypes.f32,
): ScaledFormat {
  const head = kind === 'asymmetric' ? `uint${bits}` : `int${bits}${kind === 'full' ? '-full' : ''}`;
  const name = `${head}/${spellGranularity(granularity)}${scaleType === scaleTypes.f32 ? '' : `@${scaleType.name}`}`;
  if (kind === 'asymmetric') return asymmetricFormat(name, bits, granularity, scaleType);
  const qmax = 2 ** (bits - 1) - 1;
  const qmin = kind === 'full' ? -qmax - 1 : -qmax;
  return symmetricFormat({
    name, family: 'integer', grid: uniformGrid(bits, qmin, qmax), granularity, scaleType,
    ...(kind === 'full' ? { divisor: (2 ** bits - 1) / 2 } : {}),
    integer: { qmin, qmax, asymmetric: false },
  });
}
