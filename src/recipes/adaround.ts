/** Learned rounding: layer by layer as AdaRound has it, and block by block as BRECQ has it. */
import type { Recipe } from './recipe.ts';

const rest: Pick<Recipe, 'needs' | 'formats' | 'exports'> = { needs: ['sample inputs'], formats: ['int4/channel', 'int3/channel', 'int8/channel'], exports: ['onnx', 'transformers.js', 'safetensors'] };

export const adaround: Recipe = {
  name: 'adaround',
  summary: 'Learns for every weight whether it is rounded up or down, so that each layer gives what the float layer gives.',
  paper: { title: 'Up or Down? Adaptive Rounding for Post-Training Quantization', arxiv: '2004.10568' },
  steps: [{ step: 'fold-batchnorm' }, { step: 'reconstruct', unit: 'layer', scales: 'fixed', drop: false, iterations: 1000, push: 1 }],
  ...rest,
};

export const brecq: Recipe = {
  name: 'brecq',
  summary: 'Learns the rounding of all weights of a block together, so that each residual block gives what the float block gives.',
  paper: { title: 'BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction', arxiv: '2102.05426' },
  steps: [{ step: 'fold-batchnorm' }, { step: 'reconstruct', unit: 'block', scales: 'fixed', drop: false, iterations: 1000, push: 1 }],
  ...rest,
};
