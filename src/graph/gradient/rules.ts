/** Gradient rules by operator; contrib operators under `domain:name`. What has no row cannot be trained through. */
import { batchNormalisation } from './batchnorm.ts';
import { convolutionRules } from './convolution.ts';
import { elementwiseRules } from './elementwise.ts';
import { indexingRules } from './indexing.ts';
import { movementRules } from './movement.ts';
import { normalisationRules } from './normalisation.ts';
import { poolingRules } from './pooling.ts';
import { productRules } from './products.ts';
import { reductionRules } from './reductions.ts';
import { resamplingRules } from './resampling.ts';
import type { GradientRule } from './site.ts';

export const gradientRules: Readonly<Record<string, GradientRule>> = {
  ...elementwiseRules,
  ...movementRules,
  ...indexingRules,
  ...reductionRules,
  ...productRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalisationRules,
  ...resamplingRules,
  BatchNormalization: batchNormalisation,
};
