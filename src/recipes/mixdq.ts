/** Few-step diffusion with 2, 4 or 8 bits per layer: what shapes the content and what makes the quality are judged apart. */
import type { Recipe } from './recipe.ts';

export const mixdq: Recipe = {
  name: 'mixdq',
  summary: 'Measures content layers (feed-forward, cross-attention) by structural similarity and all others by signal to noise, gives each group its share of the bits, and takes the plan whose outputs lie nearest.',
  paper: { title: 'MixDQ: Memory-Efficient Few-Step Text-to-Image Diffusion Models with Metric-Decoupled Mixed Precision Quantization', arxiv: '2405.17873' },
  needs: ['sample inputs'],
  steps: [
    {
      step: 'allocate-decoupled', extraBits: 0, points: 10,
      groups: [{ name: 'content', layers: ['mlp', 'ff', 'attn2'], measure: 'ssim', widths: [2, 4, 8] }, { name: 'quality', layers: [''], measure: 'sqnr', widths: [4, 8] }],
    },
    { step: 'round', rounder: 'nearest' },
    // The paper averages ranges over batches of its one time step; along a trajectory averages cut off the steps with the largest values.
    { step: 'round-inputs', protect: 0.01 },
  ],
  formats: ['int4/channel', 'int8/channel'],
  exports: ['onnx'],
};
