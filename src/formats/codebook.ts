/** A fixed table of at most 256 ascending levels times an absmax scale; nearest entry, ties to the lower index. */
import { spellGranularity, type Granularity } from './granularity.ts';
import { tableGrid } from './grid.ts';
import { scaleTypes, type ScaleType } from './scale-type.ts';
import type { ScaledFormat } from './scaled.ts';
import { symmetricFormat } from './symmetric.ts';

/** `head` names the table; the spelling is `head/granularity`. The registry knows only tables listed there. */
export function tableFormat(head: string, table: readonly number[], granularity: Granularity, scaleType: ScaleType = scaleTypes.f32): ScaledFormat {
  const bits = Math.max(1, 32 - Math.clz32(table.length - 1));
  return symmetricFormat({
    name: `${head}/${spellGranularity(granularity)}${scaleType === scaleTypes.f32 ? '' : `@${scaleType.name}`}`,
    family: 'codebook', grid: tableGrid(bits, table), granularity, scaleType,
  });
}
