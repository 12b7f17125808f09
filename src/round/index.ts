/** Rounders by name, and what they take and give. */
export { awq, channelScales, scaleColumns, type AwqOptions, type AwqResult } from './awq.ts';
export { factorHessian, gptq, outputError, type GptqOptions, type HessianFactor } from './gptq.ts';
export { hqq, normError, type HqqOptions } from './hqq.ts';
export { nearest } from './nearest.ts';
export type { InputStatistics, Matrix, Rounder } from './rounder.ts';
export { importance, scaleSearch } from './scale-search.ts';
