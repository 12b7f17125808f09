/** Trellis-coded weights behind Hadamard rotations, a fractional width for each layer by its sensitivity to noise, and error feedback between blocks of columns. */
import type { Recipe } from './recipe.ts';

/** Halves by one trellis, quarters by two side by side. */
export const palette: readonly string[] = Array.from({ length: 15 }, (_, i) => `tcq${1.5 + i / 4}+had`);

export const qPalette: Recipe = {
  name: 'q-palette',
  summary: 'Turns weights until they look normal, codes them with trellises of 1.5 to 5 bits in quarters, and chooses the width of each layer by an integer program over its sensitivity to noise.',
  paper: { title: 'Q-Palette: Fractional-Bit Quantizers Toward Optimal Bit Allocation for Efficient LLM Deployment', arxiv: '2509.20214' },
  needs: ['sample inputs'],
  steps: [{ step: 'allocate-palette', formats: palette }, { step: 'round', rounder: 'ldlq' }],
  formats: ['tcq2.5+had', 'tcq3.25+had', 'tcq4.25+had'],
  exports: ['onnx'],
};
