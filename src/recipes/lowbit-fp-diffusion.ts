/** Floating-point formats searched for every tensor, and the rounding of weights learned on them. */
import type { Recipe } from './recipe.ts';

export const lowbitFpDiffusion: Recipe = {
  name: 'lowbit-fp-diffusion',
  summary: 'Searches for every weight and every layer input how many bits the exponent takes and where the range ends, and learns the rounding of the weights block by block.',
  paper: { title: 'Low-Bitwidth Floating Point Quantization for Efficient High-Quality Diffusion Models', arxiv: '2408.06995' },
  needs: ['sample inputs'],
  steps: [
    { step: 'search-splits' },
    { step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, iterations: 500, batch: 16, push: 1, search: 'mse' },
    { step: 'fix-float-inputs', bits: 8 },
  ],
  formats: ['e2m1/channel', 'e4m3/channel'],
  exports: ['onnx'],
};
