/** Next-token distributions over windows of text: KL, agreement, perplexity with paired differences per window. */
import { defineErrors } from '../../errors.ts';
import { numbersOf } from '../feeds.ts';
import { argMax, deltaPRms, klDivergence, logSoftmax } from '../../numeric/distribution.ts';
import { pairedDifference, summarize } from '../metrics/summary.ts';
import { metric, type Metric } from '../score.ts';
import type { Task } from './task.ts';

const errors = defineErrors('lm', {
  badShape: (f: { float: string; candidate: string }) => `logits must be [batch, tokens, vocabulary] and alike: float [${f.float}], candidate [${f.candidate}]`,
  badTarget: (f: { target: number; vocabulary: number }) => `token ${f.target} is not in the model's vocabulary of ${f.vocabulary}`,
});

export const lm: Task = {
  name: 'lm',
  summary: 'language models: KL per token, agreement of the most likely token, perplexity on windows of text',
  labels: 'tokens',
  outputs: 'main',
  judge: () => {
    const kl: number[] = [];
    let equal = 0;
    // Mean negative log-likelihood of each window: tokens of one window are not independent.
    const windows = { float: [] as number[], candidate: [] as number[] };
    const right = { float: [] as number[], candidate: [] as number[] };
    return {
      add(batch, floatOutputs, candidateOutputs, main) {
        const [a, b] = [floatOutputs[main.float], candidateOutputs[main.candidate]];
        if (a.shape.length !== 3 || a.shape.join() !== b.shape.join()) throw errors.badShape({ float: a.shape.join(', '), candidate: b.shape.join(', ') });
        const [count, tokens, vocabulary] = a.shape;
        const [x, y] = [numbersOf(a), numbersOf(b)];
        for (let window = 0; window < count; window++) {
          let floatNll = 0;
          let candidateNll = 0;
          for (let token = 0; token < tokens; token++) {
            const row = window * tokens + token;
            const [p, q] = [logSoftmax(x, row * vocabulary, vocabulary), logSoftmax(y, row * vocabulary, vocabulary)];
            kl.push(klDivergence(p, q));
            if (argMax(p) === argMax(q)) equal++;
            if (batch.labels?.kind !== 'tokens') continue;
            const target = batch.labels.values[row];
            if (target < 0 || target >= vocabulary) throw errors.badTarget({ target, vocabulary });
            floatNll -= p[target];
            candidateNll -= q[target];
            right.float.push(Math.exp(p[target]));
            right.candidate.push(Math.exp(q[target]));
          }
          if (batch.labels?.kind === 'tokens') {
            windows.float.push(floatNll / tokens);
            windows.candidate.push(candidateNll / tokens);
          }
        }
      },
      finish() {
        const metrics: Metric[] = [];
        const judged = windows.float.length > 0;
        if (judged) {
          const [float, candidate] = [summarize(windows.float).mean, summarize(windows.candidate).mean];
          const { standardError } = pairedDifference(windows.float, windows.candidate);
          metrics.push(metric('perplexity', '', 'lower', Math.exp(float), Math.exp(candidate), Math.exp(candidate) * standardError));
          metrics.push(metric('nll', 'nats', 'lower', float, candidate, standardError));
        }
        return {
          items: { count: kl.length, name: 'tokens' },
          error: { kl: summarize(kl), agreement: equal / kl.length, ...(judged ? { deltaP: deltaPRms(right.float, right.candidate) } : {}) },
          metrics,
        };
      },
    };
  },
};
