/** SVDQuant: outliers move from inputs into weights and from there into a float branch of low rank; what is left is easy to round. */
import type { Recipe, Step } from './recipe.ts';

const reshape: readonly Step[] = [
  { step: 'shift' },
  { step: 'smooth-search', grid: 20, rank: 32, samples: 256 },
  { step: 'low-rank', rank: 32, rounds: 100, samples: 256 },
];
const rest: Pick<Recipe, 'paper' | 'needs' | 'formats' | 'exports'> = {
  paper: { title: 'SVDQuant: Absorbing Outliers by Low-Rank Components for 4-Bit Diffusion Models', arxiv: '2411.05007' },
  needs: ['sample inputs'], formats: ['int4/g64:int4/g64', 'nvfp4:nvfp4'], exports: ['onnx', 'transformers.js'],
};

export const svdquant: Recipe = {
  name: 'svdquant',
  summary: 'Weights and inputs of 4 bits: smoothing searched on the output error moves outliers into the weights, a float branch of low rank takes them.',
  steps: [...reshape, { step: 'round', rounder: 'nearest' }],
  ...rest,
};

export const svdquantGptq: Recipe = {
  name: 'svdquant-gptq',
  summary: 'SVDQuant with the rest rounded column by column, later columns making up for the error of earlier ones.',
  steps: [...reshape, { step: 'round', rounder: 'gptq' }],
  ...rest,
};
