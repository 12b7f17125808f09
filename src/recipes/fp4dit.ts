/**
 * 4-bit floating-point weights whose rounding is learned on their own, uneven levels; inputs of layers are measured as they
 * come. The paper's powers of two for weights before a GELU are a step to put in front: `before-gelu+fp4dit`.
 */
import type { Recipe } from './recipe.ts';

export const fp4dit: Recipe = {
  name: 'fp4dit',
  summary: 'Learns for every floating-point weight, in units of its own step, whether it is rounded up or down, so that each transformer block gives what the float block gives.',
  paper: { title: 'FP4DiT: Towards Effective Floating Point Quantization for Diffusion Transformers', arxiv: '2503.15465' },
  needs: ['sample inputs'],
  steps: [{ step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, iterations: 500, batch: 16, push: 1, search: 'amax', scaleAware: true }],
  formats: ['e2m1/g128'],
  exports: ['onnx'],
};
