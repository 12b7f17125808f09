/** Eight-bit state-space blocks with scales where channels, heads and states differ; four-bit weights. */
import type { Recipe } from './recipe.ts';

export const quamba2: Recipe = {
  name: 'quamba2',
  summary: 'Sorts and clusters the channels of a Mamba-2 scan, turns what projections read by Hadamard matrices, rounds weights with error feedback, and fixes 8-bit scales by cluster and state group.',
  paper: { title: 'Quamba2: A Robust and Scalable Post-training Quantization Framework for Selective State Space Models', arxiv: '2503.22879' },
  needs: ['sample inputs'],
  steps: [
    { step: 'sort-and-cluster', heads: 4, channels: 4 }, { step: 'rotate', where: 'both' }, { step: 'round', rounder: 'gptq' },
    { step: 'ssm-scales', bits: 8, clip: 'largest', channels: 'cluster', groups: 'group' },
  ],
  formats: ['int4-full/g128:int8/token', 'int8/channel:int8/token'],
  exports: ['onnx'],
};
