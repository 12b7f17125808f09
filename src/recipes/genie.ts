/** Low bits without data: images from a generator, and rounding learned on them block by block together with the scales. */
import type { Recipe } from './recipe.ts';

export const genie: Recipe = {
  name: 'genie',
  summary: 'Trains a generator to the statistics of batch normalization, and learns the rounding and the scales of each block on its images: no data is needed.',
  paper: { title: 'Genie: Show Me the Data for Quantization', arxiv: '2212.04780' },
  needs: ['batch normalization'],
  steps: [
    { step: 'distil', from: 'generator', count: 128, iterations: 500 }, { step: 'fold-batchnorm' },
    { step: 'reconstruct', unit: 'block', scales: 'learned', drop: true, iterations: 1000, push: 1 }, { step: 'observe-ranges', method: 'minmax' },
  ],
  formats: ['int4/channel', 'int8/channel'],
  exports: ['onnx'],
};
