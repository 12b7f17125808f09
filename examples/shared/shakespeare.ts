/** Language models on bytes: trained on most of Shakespeare, judged on what they have not read. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ortNode } from '../../src/engine/ort-node.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import { withTrainedWeights } from '../../src/models/llama-init.ts';
import { tokenWindows } from '../../src/observe/data/index.ts';
import { fit } from '../../src/train/fit.ts';
import { languageLoss, openLanguageTrainer, type LanguageTraining } from '../../src/train/language.ts';
import { progress } from './progress.ts';

const text = (name: string) => readFile(join(import.meta.dirname, '../../assets/shakespeare', name));

/** The model as it is after training; tells how the loss falls, and the held-out loss. */
export async function trainOnShakespeare(model: LanguageModel, options: Omit<LanguageTraining, 'engine'>): Promise<LanguageModel> {
  const { window, batch, steps } = options;
  // Windows overlap by half, so that more of them differ.
  const data = tokenWindows('train.txt', await text('train.txt'), { window, stride: window / 2 });
  const heldout = tokenWindows('heldout.txt', await text('heldout.txt'), { window });
  const training = await openLanguageTrainer(model.graph(), { ...options, engine: ortNode });
  const { onStep, seconds } = progress(steps);
  await fit(training.trainer, { data, batch, steps, onStep, feed: (samples) => training.feed(samples) });
  const took = seconds();
  const loss = await languageLoss(training, heldout, { ...options, engine: ortNode });
  console.log(`held out: ${loss.toFixed(4)} nats per byte, ${(loss / Math.LN2).toFixed(3)} bits; trained in ${took}`);
  const trained = withTrainedWeights(model, training.trainer.graph());
  await training.trainer.dispose();
  return trained;
}
