/** State-space blocks whose channels get one variance before they are rounded, by rotations in the weights and around the scan. */
import type { Recipe } from './recipe.ts';

export const mambaquant: Recipe = {
  name: 'mambaquant',
  summary: 'Turns the residual stream by eigenvectors and a Hadamard matrix, smooths and turns what the readout and the scan read, and rounds weights per channel and activations on fixed grids.',
  paper: { title: 'MambaQuant: Quantizing the Mamba Family with Variance Aligned Rotation Methods', arxiv: '2501.13484' },
  needs: ['sample inputs'],
  steps: [
    { step: 'rotate-klt' }, { step: 'rotate-step' }, { step: 'smooth-readout', alpha: 0.5 }, { step: 'rotate-readout' }, { step: 'rotate-scan', smooth: true },
    { step: 'round', rounder: 'nearest' }, { step: 'ssm-scales', bits: 8, clip: 'percentile', channels: 'tensor', groups: 'tensor' },
  ],
  formats: ['int4/channel:int8/token', 'int8/channel:int8/token'],
  exports: ['onnx'],
};
