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
  {
    name: 'qlora',
    summary: 'Rounds the matrices once and trains low-rank adapters beside them, which stay in the file in half precision.',
    paper: { title: 'QLoRA: Efficient Finetuning of Quantized LLMs', arxiv: '2305.14314' },
    needs: ['training'], steps: [], formats: ['nf4/b64@bf16+nested8x256'], exports: ['onnx'],
  },
  {
    name: 'lq-lora',
    summary: 'Splits every matrix into a low-bit part, which stays, and a product of low rank, which is trained and stays in the file in half precision.',
    paper: { title: 'LQ-LoRA: Low-rank Plus Quantized Matrix Decomposition for Efficient Language Model Finetuning', arxiv: '2311.12023' },
    needs: ['training'], steps: [], formats: ['nf4/b64@bf16+nested8x256'], exports: ['onnx'],
  },
  {
    name: 'double-rounding',
    summary: 'One network at many widths: integers of 8 bits that are read at fewer by rounding again, every width trained in turn.',
    paper: { title: 'Nearly Lossless Adaptive Bit Switching', arxiv: '2502.01199' },
    needs: ['training'], steps: [], formats: ['int8/channel'], exports: ['onnx'],
  },
] as const satisfies readonly Recipe[];
