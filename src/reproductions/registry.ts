/** Every reproduction, by the name of its recipe. */
import { adaround } from './adaround.ts';
import { arcquantReproduction } from './arcquant.ts';
import { comet } from './comet.ts';
import { doubleRounding } from './double-rounding.ts';
import { fp4dit } from './fp4dit.ts';
import { genie } from './genie.ts';
import { hawqv3 } from './hawqv3.ts';
import { krishnamoorthiInt8 } from './krishnamoorthi-int8.ts';
import { lowbitFpDiffusion } from './lowbit-fp-diffusion.ts';
import { mambaquant } from './mambaquant.ts';
import { lqLoraReproduction } from './lq-lora.ts';
import { qPaletteReproduction } from './q-palette.ts';
import { quamba2 } from './quamba2.ts';
import { quantvggt } from './quantvggt.ts';
import { mixdqReproduction } from './mixdq.ts';
import { questLlm } from './quest-llm.ts';
import type { Reproduction } from './reproduction.ts';
import { sageattention2Reproduction } from './sageattention2.ts';
import { specmquant } from './specmquant.ts';
import { svdquantReproduction } from './svdquant.ts';
import { viditQReproduction } from './vidit-q.ts';
import { vidkvReproduction } from './vidkv.ts';
import { zeroq } from './zeroq.ts';

export const reproductions: readonly Reproduction[] = [adaround, arcquantReproduction, comet, doubleRounding, fp4dit, genie, hawqv3, krishnamoorthiInt8, lowbitFpDiffusion, mambaquant, mixdqReproduction, lqLoraReproduction, qPaletteReproduction, quamba2, quantvggt, questLlm, sageattention2Reproduction, specmquant, svdquantReproduction, viditQReproduction, vidkvReproduction, zeroq];
