/** Any model: SQNR and cosine of every output with numbers, the worst output first. */
import { defineErrors } from '../../errors.ts';
import { numbersOf } from '../feeds.ts';
import { ratioInDecibels } from '../metrics/signal.ts';
import type { Task } from './task.ts';

const errors = defineErrors('generic', {
  differentShapes: (f: { output: string; float: string; candidate: string }) => `output ${f.output}: float [${f.float}], candidate [${f.candidate}]`,
  nothingShared: (f: { float: string; candidate: string }) => `no output in common: float has ${f.float}; candidate has ${f.candidate}`,
});

interface Sums { aa: number; bb: number; ab: number; noise: number }

export const generic: Task = {
  name: 'generic',
  summary: 'any model: SQNR and cosine similarity of the outputs to the float model',
  labels: undefined,
  outputs: 'all',
  judge: () => {
    const outputs = new Map<string, Sums>();
    return {
      add(_batch, float, candidate) {
        const shared = Object.keys(float).filter((name) => name in candidate);
        if (shared.length === 0) throw errors.nothingShared({ float: Object.keys(float).join(', '), candidate: Object.keys(candidate).join(', ') });
        for (const name of shared) {
          const [a, b] = [float[name], candidate[name]];
          if (a.data.length !== b.data.length) throw errors.differentShapes({ output: name, float: a.shape.join(', '), candidate: b.shape.join(', ') });
          const [x, y] = [numbersOf(a), numbersOf(b)];
          const sums = outputs.get(name) ?? { aa: 0, bb: 0, ab: 0, noise: 0 };
          for (let i = 0; i < x.length; i++) {
            sums.aa += x[i] * x[i];
            sums.bb += y[i] * y[i];
            sums.ab += x[i] * y[i];
            sums.noise += (y[i] - x[i]) ** 2;
          }
          outputs.set(name, sums);
        }
      },
      finish() {
        const all = [...outputs.values()];
        // An output is as wrong as its worst tensor: a sum over tensors would hide small ones.
        const sqnr = Math.min(...all.map(({ aa, noise }) => ratioInDecibels(aa, noise)));
        const cosine = Math.min(...all.map(({ aa, bb, ab }) => (aa === 0 && bb === 0 ? 1 : aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb))));
        return { error: { sqnr, cosine }, metrics: [] };
      },
    };
  },
};
