/** Low-rank products beside low-bit weights, found in turn; formats chosen by an integer program; ready for fine-tuning the products alone. */
import type { Recipe } from './recipe.ts';

/** Widths and block sizes of the paper's grid that small models can pay for; scales are 8-bit codes. */
export const configurations: readonly string[] = [2, 3, 4].flatMap((bits) => [32, 64].map((block) => `nf${bits}/b${block}@bf16+nested8x256`));

export const lqLora: Recipe = {
  name: 'lq-lora',
  summary: 'Splits every matrix into a low-bit part and a float product of low rank, weighed by how much the loss depends on each weight, with the width of each matrix from an integer program.',
  paper: { title: 'LQ-LoRA: Low-rank Plus Quantized Matrix Decomposition for Efficient Language Model Finetuning', arxiv: '2311.12023' },
  needs: ['sample inputs'],
  steps: [{ step: 'decompose', rank: 8, rounds: 20, sequences: 32, formats: configurations }, { step: 'round', rounder: 'nearest' }],
  formats: ['nf3/b64@bf16+nested8x256', 'nf2/b64@bf16+nested8x256', 'nf4/b64@bf16+nested8x256'],
  exports: ['onnx'],
};
