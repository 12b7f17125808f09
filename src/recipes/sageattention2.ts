/** SageAttention2: attention in low bits after smoothing queries and keys; layers that lose most take eight. Weights stay what they are asked to be. */
import type { Recipe } from './recipe.ts';

export const sageattention2: Recipe = {
  name: 'sageattention2',
  summary: 'Attention with 4-bit queries and keys, 8-bit where a layer needs them, after means are taken out; E4M3 probabilities and values. Float weights may stay float.',
  paper: { title: 'SageAttention2 Technical Report: Accurate 4 Bit Attention for Plug-and-play Inference Acceleration', arxiv: '2411.10958' },
  needs: ['sample inputs'],
  steps: [{ step: 'round', rounder: 'nearest' }, { step: 'low-bit-attention', bits: 4, least: 0.99 }],
  formats: ['f32'], exports: ['onnx', 'transformers.js'],
};
