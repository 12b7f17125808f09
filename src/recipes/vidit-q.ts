/** Diffusion transformers with dynamic scales per token, balanced channels, and bits where the layers of each kind need them. */
import type { LayerGroup, Recipe, Step } from './recipe.ts';

const paper = { title: 'ViDiT-Q: Efficient and Accurate Quantization of Diffusion Transformers for Image and Video Generation', arxiv: '2406.02540' };
/** What the paper leaves float: embeddings of patches, time and classes, and the last layer. */
const float: Step = { step: 'protect', layers: ['x_embedder', 't_block', 't_embedder', 'y_embedder', 'final_layer'] };
/** One scale per channel for all time steps: windows with scales of their own would need a copy of the weights each. */
const balance: Step = { step: 'balance', alphas: [0.05, 0.11, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9] };
const groups: readonly LayerGroup[] = [
  { name: 'mlp', layers: ['mlp', 'ff'], measure: 'noise', widths: [4, 6, 8] },
  { name: 'modulation', layers: ['adaLN', 'scale_shift'], measure: 'ssim', widths: [4, 6, 8] },
  { name: 'attention', layers: [''], measure: 'noise', widths: [4, 6, 8] },
];

export const viditQ: Recipe = {
  name: 'vidit-q',
  summary: 'Keeps embeddings and the last layer float, balances channels at the strength that a sweep finds, and rounds weights per channel and inputs per token.',
  paper,
  needs: ['sample inputs'],
  steps: [float, balance, { step: 'round', rounder: 'nearest' }],
  formats: ['uint4/channel:uint8/token', 'uint8/channel:uint8/token'],
  exports: ['onnx'],
};

export const viditQMp: Recipe = {
  name: 'vidit-q-mp',
  summary: 'The same with 4, 6 or 8 bits per layer: attention, feed-forward and modulation are each judged by a measure of their own and share 0.6 more bits than were asked for.',
  paper,
  needs: ['sample inputs'],
  steps: [float, balance, { step: 'allocate-decoupled', groups, extraBits: 0.6, points: 3 }, { step: 'round', rounder: 'nearest' }],
  formats: ['uint4/channel:uint8/token'],
  exports: ['onnx'],
};
