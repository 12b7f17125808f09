/** Rotation first, then balancing in the turned space, learned together with the ranges of weights and inputs on well-chosen samples. */
import type { Recipe } from './recipe.ts';

export const quantvggt: Recipe = {
  name: 'quantvggt',
  summary: 'Spreads the extremes of special tokens over channels by Hadamard rotations, then learns channel factors and ranges block by block on samples without outliers.',
  paper: { title: 'Quantized Visual Geometry Grounded Transformer', arxiv: '2509.21302' },
  needs: ['sample inputs'],
  steps: [
    { step: 'choose-samples', clusters: 5, perCluster: 4 }, { step: 'rotate', where: 'online' },
    { step: 'learn-balance', factors: true, ranges: true, epochs: 15 },
  ],
  formats: ['int4/channel:int4/token', 'int8/channel:int8/token'],
  exports: ['onnx'],
};
