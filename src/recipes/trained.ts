/** Recipes that train: those that `fewbit finetune --recipe` accepts. Training is their one step, so they list none. */
import type { Recipe } from './recipe.ts';

export const trainedRecipes = [
  {
    name: 'lsq',
    summary: 'Learns the step sizes of weights and activations together with the weights, by straight-through gradients.',
    paper: { title: 'Learned Step Size Quantization', arxiv: '1902.08153' },
    needs: ['training'], steps: [], formats: ['int4/channel'], exports: ['onnx'],
  },
  {
    name: 'quest-llm',
    summary: 'Rotates both operands of matrix products, fits a grid to each row and token, and trusts gradients of values that move little.',
    paper: { title: 'QuEST: Stable Training of LLMs with 1-Bit Weights and Activations', arxiv: '2502.05003' },
    needs: ['training'], steps: [], formats: ['int4/channel'], exports: ['onnx'],
  },
] as const satisfies readonly Recipe[];
