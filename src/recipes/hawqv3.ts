/** HAWQ-V3: whole convolutional networks in integers alone, uniform at 8 bits, or at 4 and 8 by the Hessian. */
import type { Recipe, Step } from './recipe.ts';

const paper = { title: 'HAWQV3: Dyadic Neural Network Quantization', arxiv: '2011.10680' };
const integers: readonly Step[] = [{ step: 'round', rounder: 'nearest' }, { step: 'observe-ranges', method: 'ema' }, { step: 'integer-only' }];

export const hawqv3: Recipe = {
  name: 'hawqv3',
  summary: 'Computes in integers alone: products, additions and dyadic rescaling from the quantized input to the scores. Layers take 4 or 8 bits by an integer program over the traces of the Hessian.',
  paper,
  needs: ['sample inputs'],
  steps: [{ step: 'fold-batchnorm' }, { step: 'allocate-by-trace', formats: ['int4/channel', 'int8/channel'], budget: 'size', share: 0.5 }, ...integers],
  formats: ['int8/channel:static'],
  exports: ['onnx'],
};

export const hawqv3Int8: Recipe = {
  name: 'hawqv3-int8',
  summary: 'Computes in integers alone, as hawqv3 does, with 8 bits in every layer.',
  paper,
  needs: ['sample inputs'],
  steps: [{ step: 'fold-batchnorm' }, ...integers],
  formats: ['int8/channel:static'],
  exports: ['onnx'],
};
