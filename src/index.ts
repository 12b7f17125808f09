/**
 * fewbit: makes trained networks small, in Node.
 *
 *     import { quantize } from 'fewbit';
 *     const result = await quantize({ model: 'model/', to: 'gguf,transformers.js', bits: '8,4', data: 'train.txt', output: 'small' });
 *     console.log(result.recommendation.reason);
 */
export { FewbitError } from './errors.ts';
export { convert, planConvert, type ConvertHooks } from './jobs/convert-node.ts';
export type { ConvertedTensor, ConvertPlan, ConvertRequest, ConvertResult } from './jobs/convert.ts';
export { finetune, type FinetuneHooks, type FinetuneResult } from './jobs/finetune-node.ts';
export type { FinetuneRequest, FinetuneSettings } from './jobs/finetune-settings.ts';
export { evaluateModel, type EvaluateRequest } from './jobs/evaluate-node.ts';
export { planQuantize, quantize, writeBeside, type QuantizeHooks } from './jobs/quantize-node.ts';
export type { Progress } from './jobs/progress.ts';
export type { DataUse, Output, PlannedOutput, QuantizePlan, QuantizeResult, TensorLine, WeightHistogram } from './jobs/result.ts';
export { quantizeSettings, type QuantizeRequest, type QuantizeSettings } from './jobs/settings.ts';
export { run, type RunRequest, type RunResult } from './jobs/run-node.ts';
export { serve, type Served, type ServeRequest } from './jobs/serve-node.ts';
export { openSource } from './jobs/source-node.ts';
export type { SourceModel } from './jobs/source.ts';
export { exportAtBits, exportSwitchable, switchableKey } from './export/onnx-switchable.ts';
export { papers, type Paper } from './recipes/catalogue.ts';
export { nodeTeam } from './engine/kernels/lowbit-team-node.ts';
export { attention, causal, type AttentionInputs, type AttentionOptions, type LowBitAttention, type Visible } from './engine/kernels/attention.ts';
export { findRecipe, recipes } from './recipes/registry.ts';
export type { Recipe, Step } from './recipes/recipe.ts';
export { parseFormat } from './formats/registry.ts';
export type { GateFailure, Gates, Recommendation, Verdict } from './evaluate/verdict.ts';
export type { Score } from './evaluate/score.ts';
