/** Eight bits without data: activation ranges from images that match the statistics of batch normalization. */
import type { Recipe } from './recipe.ts';

export const zeroq: Recipe = {
  name: 'zeroq',
  summary: 'Makes images whose batch-normalization statistics are those of the training data, and takes the ranges of activations from them: no data is needed.',
  paper: { title: 'ZeroQ: A Novel Zero Shot Quantization Framework', arxiv: '2001.00281' },
  needs: ['batch normalization'],
  steps: [
    { step: 'distil', from: 'pixels', count: 32, iterations: 500 }, { step: 'fold-batchnorm' },
    { step: 'observe-ranges', method: 'minmax' }, { step: 'round', rounder: 'nearest' },
  ],
  formats: ['int8/channel:static'],
  exports: ['onnx'],
};
