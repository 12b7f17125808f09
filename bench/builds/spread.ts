import { median } from '../../src/numeric/statistics.ts';

/** A median, and the least and the most. */
export const spread = (list: readonly number[]): string => `${median(list).toFixed(2)} (${Math.min(...list).toFixed(2)}–${Math.max(...list).toFixed(2)})`;
