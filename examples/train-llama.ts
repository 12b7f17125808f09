/**
 * Trains a small Llama on bytes of Shakespeare from nothing, with every matrix at 4 bits if asked, and saves it.
 *
 *     node --import tsx examples/train-llama.ts out/llama          # float32
 *     node --import tsx examples/train-llama.ts out/llama 4        # weights and activations at 4 bits (QuEST), as ONNX too
 *
 * At 4 bits a step took 0.34 s of processor time on a 2-core server: 1000 steps make about six minutes.
 * The folder is an ordinary Hugging Face model: fewbit quantize out/llama --to gguf --data assets/shakespeare/heldout.txt
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ortNode } from '../src/engine/ort-node.ts';
import { exportTrustQuantize } from '../src/export/onnx-trust-quantize.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import type { Graph } from '../src/graph/graph.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { byteTokenizer } from '../src/models/byte-tokenizer.ts';
import { initialLlama, withTrainedWeights } from '../src/models/llama-init.ts';
import { tokenWindows } from '../src/observe/data/index.ts';
import { fit } from '../src/train/fit.ts';
import { languageLoss, openLanguageTrainer } from '../src/train/language.ts';
import { insertTrustQuantize } from '../src/train/trust-quantization.ts';

const [folder = 'out/llama', bits] = process.argv.slice(2);
const [window, batch, steps, threads] = [128, 16, 1000, 2];
const text = (name: string) => readFile(join(import.meta.dirname, '../assets/shakespeare', name));
// Windows overlap by half, so that more of them differ.
const data = tokenWindows('train.txt', await text('train.txt'), { window, stride: window / 2 });
const heldout = tokenWindows('heldout.txt', await text('heldout.txt'), { window });

const model = initialLlama('llama-bytes', { vocabulary: 256, hidden: 128, intermediate: 384, layers: 4, heads: 4, context: window }, { seed: 0, tokenizer: byteTokenizer(window) });
const quantize = (graph: Graph): Graph => (bits === undefined ? graph : insertTrustQuantize(graph, () => true, { weights: Number(bits), activations: Number(bits), rotate: true }));
const training = await openLanguageTrainer(model.graph(), { quantize, engine: ortNode, batch, window, steps, rate: 2e-3, threads });

const started = performance.now();
const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(0)} s`;
await fit(training.trainer, {
  data, batch, steps, feed: training.feed,
  onStep: (step, loss, norm) => { if (step % 50 === 0) console.log(`step ${step}  loss ${loss.toFixed(3)}  gradient ${norm.toFixed(2)}  ${seconds()}`); },
});
const loss = await languageLoss(training, heldout, { engine: ortNode, batch, threads });
console.log(`held out: ${loss.toFixed(4)} nats per byte, ${(loss / Math.LN2).toFixed(3)} bits; trained in ${seconds()}`);

const trained = withTrainedWeights(model, training.trainer.graph());
await saveLanguageModel(trained, folder);
if (bits !== undefined) await writeFile(join(folder, `model-w${bits}a${bits}.onnx`), await onnxBytes(await exportTrustQuantize(quantize(trained.graph()))));
await training.trainer.dispose();
console.log(`saved ${folder}`);
