/** Every reproduction, by the name of its recipe. */
import { adaround } from './adaround.ts';
import { doubleRounding } from './double-rounding.ts';
import { genie } from './genie.ts';
import { krishnamoorthiInt8 } from './krishnamoorthi-int8.ts';
import { questLlm } from './quest-llm.ts';
import type { Reproduction } from './reproduction.ts';
import { zeroq } from './zeroq.ts';

export const reproductions: readonly Reproduction[] = [adaround, doubleRounding, genie, krishnamoorthiInt8, questLlm, zeroq];
