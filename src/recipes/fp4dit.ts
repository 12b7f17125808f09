/** 4-bit floating-point weights whose rounding is learned on their own, uneven levels; inputs of layers are measured as they come. */
import type { Recipe, Step } from './recipe.ts';

const rounding: Step = { step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, iterations: 2500, push: 1, search: 'amax', scaleAware: true };
const rest: Pick<Recipe, 'paper' | 'needs' | 'formats' | 'exports'> = {
  paper: { title: 'FP4DiT: Towards Effective Floating Point Quantization for Diffusion Transformers', arxiv: '2503.15465' },
  needs: ['sample inputs'], formats: ['e2m1/g128'], exports: ['onnx'],
};

export const fp4dit: Recipe = {
  name: 'fp4dit',
  summary: 'Learns for every floating-point weight, in units of its own step, whether it is rounded up or down, so that each transformer block gives what the float block gives.',
  steps: [rounding], ...rest,
};

export const fp4ditE3m0: Recipe = {
  name: 'fp4dit-e3m0',
  summary: 'The same with powers of two for the weights before each GELU, as published; it helps where those crowd around zero.',
  steps: [{ step: 'before-gelu', element: 'e3m0' }, rounding], ...rest,
};
