/**
 * Trains a small Mamba-2 with four state groups, or a Mamba-1, on bytes of Shakespeare from nothing, and saves it as a
 * Hugging Face folder.
 *
 *     node --import tsx examples/train-mamba2.ts out/mamba2            # 300 steps
 *     node --import tsx examples/train-mamba2.ts out/mamba2 1000
 *     node --import tsx examples/train-mamba2.ts out/mamba1 150 mamba1
 *
 * Then: fewbit quantize out/mamba2 --to onnx --recipe quamba2 --data assets/shakespeare/train.txt
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ortNode } from '../src/engine/ort-node.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { byteTokenizer } from '../src/models/byte-tokenizer.ts';
import { withTrainedWeights } from '../src/models/llama-init.ts';
import { initialMamba1 } from '../src/models/mamba1-init.ts';
import { initialMamba2 } from '../src/models/mamba2-init.ts';
import { tokenWindows } from '../src/observe/data/index.ts';
import { fit } from '../src/train/fit.ts';
import { languageLoss, openLanguageTrainer } from '../src/train/language.ts';

const [folder = 'out/mamba2', count = '300', family = 'mamba2'] = process.argv.slice(2);
// The scan of Mamba-1 keeps the states of all tokens: its batches are smaller.
const [window, batch] = family === 'mamba1' ? [64, 8] : [128, 16];
const [steps, threads] = [Number(count), 2];
const text = (name: string) => readFile(join(import.meta.dirname, '../assets/shakespeare', name));
// Windows overlap by half, so that more of them differ.
const data = tokenWindows('train.txt', await text('train.txt'), { window, stride: window / 2 });
const heldout = tokenWindows('heldout.txt', await text('heldout.txt'), { window });

const options = { seed: 0, tokenizer: byteTokenizer(window) };
const model = family === 'mamba1'
  ? initialMamba1('mamba1-bytes', { vocabulary: 256, hidden: 64, layers: 4, state: 8, stepRank: 4 }, options)
  : initialMamba2('mamba2-bytes', { vocabulary: 256, hidden: 128, layers: 4, headDim: 16, state: 16, groups: 4, chunk: 32 }, options);
const training = await openLanguageTrainer(model.graph(), { engine: ortNode, batch, window, steps, rate: 4e-3, threads });

const started = performance.now();
const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(0)} s`;
await fit(training.trainer, {
  data, batch, steps, feed: training.feed,
  onStep: (step, loss, norm) => { if (step % 50 === 0) console.log(`step ${step}  loss ${loss.toFixed(3)}  gradient ${norm.toFixed(2)}  ${seconds()}`); },
});
const loss = await languageLoss(training, heldout, { engine: ortNode, batch, threads });
console.log(`held out: ${loss.toFixed(4)} nats per byte, ${(loss / Math.LN2).toFixed(3)} bits; trained in ${seconds()}`);
await saveLanguageModel(withTrainedWeights(model, training.trainer.graph()), folder);
await training.trainer.dispose();
console.log(`saved ${folder}`);
