/**
 * Trains a small Llama to write what a larger one of the same tokenizer would: a draft for speculative decoding.
 *
 *     node --import tsx examples/train-draft.ts out/draft          # 3000 steps
 *     node --import tsx examples/train-draft.ts out/draft 300
 *
 * It learns from the scores of assets/host-llama-shakespeare over the training text, not from the text itself. 3000 steps
 * took 12 minutes on one thread of a busy 2-core server, and gave assets/draft-llama-shakespeare. Then:
 * fewbit run assets/host-llama-shakespeare --draft out/draft --prompt 'ROMEO:'
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ortNode } from '../src/engine/ort-node.ts';
import { i64 } from '../src/engine/tensor.ts';
import { openFolder } from '../src/files/fs-node.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { openLanguageModel } from '../src/models/language-model.ts';
import { initialLlama, withTrainedWeights } from '../src/models/llama-init.ts';
import { openTokenizer } from '../src/models/tokenizer.ts';
import { argMax, logSoftmax } from '../src/numeric/distribution.ts';
import { tokenWindows } from '../src/observe/data/index.ts';
import { openGraph } from '../src/observe/taps.ts';
import { fit } from '../src/train/fit.ts';
import { openLanguageTrainer } from '../src/train/language.ts';
import { progress } from './shared/progress.ts';

const [folder = 'out/draft', count = '3000'] = process.argv.slice(2);
const [window, batch, steps, threads] = [64, 16, Number(count), 1];
const asset = (path: string): string => join(import.meta.dirname, '../assets', path);

const teacher = await openLanguageModel(await openFolder(asset('host-llama-shakespeare')));
const tokenizer = openTokenizer(teacher.tokenizer!);
const [train, heldout] = await Promise.all(['train', 'heldout'].map(async (part) => tokenizer.encode(await readFile(asset(`shakespeare/${part}.txt`), 'utf8'))));
const data = tokenWindows('train.txt', train, { window, stride: window / 2 });
const model = initialLlama('draft-llama-shakespeare', { vocabulary: 1024, hidden: 128, intermediate: 256, layers: 2, heads: 4, kvHeads: 2, context: 256 }, { seed: 0, tokenizer: teacher.tokenizer! });
const training = await openLanguageTrainer(model.graph(), { engine: ortNode, batch, window, steps, rate: 3e-3, distill: 1, threads });
const scores = await openGraph(teacher.graph(), ortNode, { threads });

const { onStep, seconds } = progress(steps);
await fit(training.trainer, {
  data, batch, steps, onStep,
  feed: async (samples) => training.feed({ ...samples, teacher: (await scores.run(samples.feeds, ['logits'])).logits }),
});

const trained = withTrainedWeights(model, training.trainer.graph());
await saveLanguageModel(trained, folder);
await training.trainer.dispose();

/** Mean over held-out positions of Σ min(p, q), which is how often a drawn token would be accepted, and of equal first choices. */
const judged = await openGraph(trained.graph(), ortNode, { threads });
let [accepted, equal, positions] = [0, 0, 0];
for (let at = 0; at + window < Math.min(heldout.length, 100 * window); at += window) {
  const input = { input_ids: i64([1, window], heldout.slice(at, at + window)) };
  const [p, q] = await Promise.all([scores, judged].map(async (session) => (await session.run(input, ['logits'])).logits.data as Float32Array));
  for (let t = 0; t < window; t++, positions++) {
    const [a, b] = [p, q].map((logits) => logSoftmax(logits, t * 1024, 1024));
    a.forEach((value, id) => { accepted += Math.min(Math.exp(value), Math.exp(b[id])); });
    equal += argMax(a) === argMax(b) ? 1 : 0;
  }
}
console.log(`held out: ${(accepted / positions).toFixed(3)} of drawn tokens accepted, ${(equal / positions).toFixed(3)} first choices equal; trained in ${seconds()}`);
await scores.dispose();
await judged.dispose();
await teacher.close();
console.log(`saved ${folder}`);
