/** Cosine and sine by which rotary positions turn each pair of head dimensions. */
import type { LlamaConfig } from '../models/llama-config.ts';
import { inverseFrequencies } from '../models/rope.ts';

/** All of them in the order [context, headDim / 2]. */
export function eachTurn({ rope, headDim }: LlamaConfig, context: number, put: (at: number, cos: number, sin: number) => void): void {
  const half = headDim / 2;
  const scale = rope.kind === 'yarn' ? rope.attentionFactor : 1;
  const frequencies = inverseFrequencies(rope, headDim);
  for (let p = 0; p < context; p++) {
    for (let i = 0; i < half; i++) {
      // Turned by angles in float32, as in the exported graphs.
      const angle = Math.fround(Math.fround(frequencies[i]) * p);
      put(p * half + i, Math.cos(angle) * scale, Math.sin(angle) * scale);
    }
  }
}
