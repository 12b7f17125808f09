/** Every reproduction, by the name of its recipe. */
import type { Reproduction } from './reproduction.ts';

export const reproductions: readonly Reproduction[] = [];
