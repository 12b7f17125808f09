/** Floating-point formats of as many bits that divide them otherwise between exponent and mantissa. */
import { parseFormat } from './registry.ts';
import type { ScaledFormat } from './scaled.ts';

/** Splits of sign, exponent and mantissa with the granularity of a spelling such as `e2m1/g128`: 4 bits take 1 to 3 exponent bits, more bits 2 to 5. */
export function floatSplits(bits: number, granularity: string): ScaledFormat[] {
  const least = bits > 4 ? 2 : 1;
  const most = Math.min(5, bits - 1);
  return Array.from({ length: most - least + 1 }, (_, i) => parseFormat(`e${least + i}m${bits - 1 - least - i}/${granularity}`) as ScaledFormat);
}
