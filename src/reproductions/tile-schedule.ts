/** Tiles of two costs over processors, as COMET's cost model has them: 4-bit tiles take 1, 8-bit tiles 2. */

export interface Tiles { readonly narrow: number; readonly wide: number }

/** No schedule is shorter: the work shared out evenly, or one wide tile. */
export const leastSpan = ({ narrow, wide }: Tiles, workers: number): number => Math.max(Math.ceil((narrow + 2 * wide) / workers), wide > 0 ? 2 : Math.min(1, narrow));

/** Each tile, wide ones first, to the worker that is free earliest. */
export function balancedSpan({ narrow, wide }: Tiles, workers: number): number {
  const busy = new Float64Array(workers);
  for (const cost of Array.from({ length: wide + narrow }, (_, i) => (i < wide ? 2 : 1))) busy[busy.indexOf(Math.min(...busy))] += cost;
  return Math.max(...busy);
}

/** Workers for each width apart. */
export const apartSpan = ({ narrow, wide }: Tiles, forNarrow: number, forWide: number): number => Math.max(Math.ceil(narrow / forNarrow), 2 * Math.ceil(wide / forWide));
