/** One distribution per sample: KL and agreement with the float model, accuracy where classes are known. */
import { defineErrors } from '../../errors.ts';
import { numbersOf } from '../feeds.ts';
import { argMax, areProbabilities, inTopK, klDivergence, logProbabilities, logSoftmax } from '../../numeric/distribution.ts';
import { cosine, sqnr } from '../metrics/signal.ts';
import { pairedDifference, summarize } from '../metrics/summary.ts';
import { metric, type Metric } from '../score.ts';
import type { Task } from './task.ts';

const errors = defineErrors('classify', {
  differentShapes: (f: { float: string; candidate: string }) => `outputs differ in shape: float [${f.float}], candidate [${f.candidate}]`,
  badLabel: (f: { label: number; width: number }) => `label ${f.label} is not one of the model's ${f.width} classes`,
});

export const classify: Task = {
  name: 'classify',
  summary: 'class scores: KL and agreement with the float model, top-1 and top-5 accuracy where labels are known',
  labels: 'classes',
  outputs: 'main',
  judge: () => {
    const kl: number[] = [];
    const equal: number[] = [];
    const right = { float1: [] as number[], other1: [] as number[], float5: [] as number[], other5: [] as number[] };
    const signal: number[] = [];
    const output: number[] = [];
    let classes = 0;
    return {
      add(batch, floatOutputs, candidateOutputs, main) {
        const [a, b] = [floatOutputs[main.float], candidateOutputs[main.candidate]];
        if (a.data.length !== b.data.length) throw errors.differentShapes({ float: a.shape.join(', '), candidate: b.shape.join(', ') });
        const rows = a.shape.length > 1 ? a.shape[0] : 1;
        const width = a.data.length / rows;
        const [x, y] = [numbersOf(a), numbersOf(b)];
        const logs = areProbabilities(x, width) ? logProbabilities : logSoftmax;
        classes = width;
        for (let row = 0; row < rows; row++) {
          const at = row * width;
          for (let i = 0; i < width; i++) { signal.push(x[at + i]); output.push(y[at + i]); }
          kl.push(klDivergence(logs(x, at, width), logs(y, at, width)));
          equal.push(argMax(x, at, width) === argMax(y, at, width) ? 1 : 0);
          if (batch.labels?.kind !== 'classes') continue;
          const label = batch.labels.values[row];
          if (label < 0 || label >= width) throw errors.badLabel({ label, width });
          right.float1.push(inTopK(x, at, width, label, 1) ? 100 : 0);
          right.other1.push(inTopK(y, at, width, label, 1) ? 100 : 0);
          right.float5.push(inTopK(x, at, width, label, 5) ? 100 : 0);
          right.other5.push(inTopK(y, at, width, label, 5) ? 100 : 0);
        }
      },
      finish() {
        const metrics: Metric[] = [];
        if (right.float1.length > 0) {
          metrics.push(accuracy('top-1', right.float1, right.other1));
          // Five guesses among few classes say little.
          if (classes >= 20) metrics.push(accuracy('top-5', right.float5, right.other5));
        }
        return {
          error: { kl: summarize(kl), agreement: summarize(equal).mean, sqnr: sqnr(signal, output), cosine: cosine(signal, output) },
          metrics,
        };
      },
    };
  },
};

function accuracy(name: string, float: readonly number[], candidate: readonly number[]): Metric {
  return metric(name, '%', 'higher', summarize(float).mean, summarize(candidate).mean, pairedDifference(float, candidate).standardError);
}
