import type { Case } from '../check.ts';
import { convolutionCases } from './convolution.ts';
import { elementwiseCases } from './elementwise.ts';
import { indexingCases } from './indexing.ts';
import { movementCases } from './movement.ts';
import { normalisationCases } from './normalisation.ts';
import { poolingCases } from './pooling.ts';
import { productCases } from './products.ts';
import { reductionCases } from './reductions.ts';
import { resamplingCases } from './resampling.ts';

export const cases: readonly Case[] = [
  ...elementwiseCases, ...movementCases, ...indexingCases, ...reductionCases, ...productCases,
  ...convolutionCases, ...poolingCases, ...resamplingCases, ...normalisationCases,
];
