/** Every reproduction, by the name of its recipe. */
import type { Reproduction } from './reproduction.ts';
import { zeroq } from './zeroq.ts';

export const reproductions: readonly Reproduction[] = [zeroq];
