/** The everyday rounders as recipes: what every published method is measured against. */
import type { Recipe, Rounder } from './recipe.ts';

const everywhere = ['onnx', 'gguf', 'transformers.js', 'safetensors'] as const;

function baseline(
  name: string,
  rounder: Rounder,
  summary: string,
  rest: Partial<Pick<Recipe, 'needs' | 'paper' | 'exports'>> = {},
): Recipe {
  return { name, summary, needs: [], formats: [], exports: everywhere, steps: [{ step: 'round', rounder }], ...rest };
}

export const rtn = baseline('rtn', 'nearest', 'Round to nearest with scales from the extreme values.');

export const scaleSearch = baseline('scale-search', 'scale-search', 'Round to nearest with scales that minimise the squared error of the weights.');

export const importance = baseline(
  'importance', 'importance',
  'Round to nearest with scales that minimise the squared error weighted by the mean squared activation of each input.',
  { needs: ['sample inputs'] },
);

export const gptq = baseline(
  'gptq', 'gptq',
  'Rounds column by column and lets the columns to come make up for the error, on the second moments of the inputs.',
  { needs: ['sample inputs'], paper: { title: 'GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers', arxiv: '2210.17323' }, exports: ['onnx', 'transformers.js', 'safetensors'] },
);

export const awq = baseline(
  'awq', 'awq',
  'Scales the input channels that see large activations before rounding, by a grid search on the output error.',
  { needs: ['sample inputs'], paper: { title: 'AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration', arxiv: '2306.00978' }, exports: ['onnx', 'transformers.js', 'safetensors'] },
);

export const hqq = baseline(
  'hqq', 'hqq',
  'Solves for the zero point under a sparsity-promoting norm of the weight error (half-quadratic), without data.',
  { exports: ['onnx', 'transformers.js', 'safetensors'] },
);
