/**
 * Training with gradients that are graphs: estimators, optimizers, schedules, losses, adapters.
 *
 *     import { Trainer, adamw, classification } from 'fewbit/train';
 *     const { graph: step, loss, feed } = classification(graph, { logits: 'logits' });
 *     const trainer = await Trainer.open(step, { engine, loss, groups: [{ names: ['w'], optimizer: adamw(), rate: 1e-3 }] });
 *     await trainer.step({ ...inputs, ...feed(labels, undefined) });
 */
export { gradient, type Differentiated, type GradientOptions } from '../graph/gradient/gradient.ts';
export { compositeDomain, lower, type Composite, type CompositeTable } from '../graph/composite.ts';
export { trainBatchNorm, type RunningStatistics } from '../graph/train-batchnorm.ts';
export { bindDimensions, bindToShapes } from '../graph/bind.ts';
export { extend } from '../graph/extend.ts';
export { composites } from './composites/index.ts';
export { Trainer, type ParameterGroup, type StepResult, type TrainerOptions } from './trainer.ts';
export { fit, type FitOptions, type Fitted } from './fit.ts';
export { adam, adamw, sgd, type Optimizer } from './optimizers.ts';
export { constant, cosine, exponential, linear, Plateau, warmupStableDecay, withWarmup, type Schedule } from './schedules.ts';
export { classification, type Objective } from './objective.ts';
export { crossEntropy, distillation, meanSquare } from './losses.ts';
export { trainableWeights, type Trainable } from './parameters.ts';
export { insertFakeQuantize, type ActivationSummary, type SiteBits } from './quantization-aware.ts';
export { observeSummaries } from './summaries.ts';
export { insertAdapters, mergeAdapters, type Adapter } from './adapters.ts';
export { augmentImages, type AugmentOptions } from './augment.ts';
export { distilImages, type Distilled } from './batchnorm-data.ts';
export { generateImages } from './generator-data.ts';
export { storedStatistics } from './statistics-loss.ts';
export { reconstruct, simulateReconstructed, type Reconstructed, type ReconstructOptions } from './reconstruct.ts';
export { quantizeFolded, type Folding, type FoldedTraining, type QuantizeFoldedOptions } from './batchnorm-correction.ts';
export { fitFolded, type FitFoldedOptions, type FittedFolded } from './fit-folded.ts';
export { adaptBits, atBits, type AdaptiveNetwork, type AdaptiveOptions } from './adaptive-bits.ts';
export { fitAdaptive, openAdaptive, type AdaptiveTrainer, type AdaptiveTraining, type FitAdaptiveOptions, type FittedAdaptive } from './adaptive-fit.ts';
export { insertTrustQuantize, type TrustQuantization } from './trust-quantization.ts';
export { languageLoss, openLanguageTrainer, type LanguageTrainer, type LanguageTraining } from './language.ts';
export { gradientsAt } from './gradients.ts';
