/** ARCQuant: the largest channels of each input are multiplied once more, with what rounding took from them. */
import type { Recipe } from './recipe.ts';

export const arcquant: Recipe = {
  name: 'arcquant',
  summary: 'NVFP4 weights and inputs; what rounding takes from the largest input channels follows as more channels of the same product.',
  paper: { title: 'ARCQuant: Boosting NVFP4 Quantization with Augmented Residual Channels for LLMs', arxiv: '2601.07475' },
  needs: ['sample inputs'],
  steps: [{ step: 'sort-channels' }, { step: 'round', rounder: 'nearest' }, { step: 'residual-channels', channels: 'rule', samples: 256 }],
  formats: ['nvfp4', 'mxfp4', 'int4/g128'], exports: ['onnx', 'transformers.js'],
};
