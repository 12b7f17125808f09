/** The reference that 8-bit methods are compared with: everything 8-bit, weights per channel, activations per tensor. */
import type { Recipe } from './recipe.ts';

export const krishnamoorthiInt8: Recipe = {
  name: 'krishnamoorthi-int8',
  summary: 'Folds batch normalization, rounds weights per channel to nearest and takes the extremes of the activations, averaged over batches, as their ranges.',
  paper: { title: 'Quantizing deep convolutional networks for efficient inference: A whitepaper', arxiv: '1806.08342' },
  needs: ['sample inputs'],
  steps: [{ step: 'fold-batchnorm' }, { step: 'observe-ranges', method: 'ema' }, { step: 'round', rounder: 'nearest' }],
  formats: ['int8/channel:static'],
  exports: ['onnx'],
};
