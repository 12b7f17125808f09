/** Every reproduction, by the name of its recipe. */
import type { Reproduction } from './reproduction.ts';
import { doubleRounding } from './double-rounding.ts';
import { krishnamoorthiInt8 } from './krishnamoorthi-int8.ts';
import { questLlm } from './quest-llm.ts';
import { zeroq } from './zeroq.ts';

export const reproductions: readonly Reproduction[] = [doubleRounding, krishnamoorthiInt8, questLlm, zeroq];
