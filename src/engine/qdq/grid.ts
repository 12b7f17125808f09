/** Numbers of grids, one at a time. */
import { rne } from '../../numeric/rounding.ts';
import type { Grid, Into } from './network.ts';

/** Whether two grids are one. */
export const same = (a: Grid, b: Grid): boolean => a.scale === b.scale && a.zero === b.zero;

/** (code − zero) · scale in float32. */
export const realOf = (code: number, { scale, zero }: Grid): number => Math.fround((code - zero) * scale);

/** The code of a number, by a division in float32. */
export const codeOf = (x: number, { scale, zero }: Grid): number => (Number.isNaN(x) ? Math.max(0, Math.min(255, zero)) : Math.max(0, Math.min(255, rne(Math.fround(x / scale)) + zero)));

/** Codes of one grid as codes of another, through a function. */
export const tableOf = (from: Grid, { grid, low, high }: Into, apply: (x: number) => number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, code) => Math.min(high, Math.max(low, codeOf(Math.fround(apply(realOf(code, from))), grid))));
