/**
 * Trains a small Llama on bytes of Shakespeare from nothing, with every matrix at 4 bits if asked, and saves it.
 *
 *     node --import tsx examples/train-llama.ts out/llama          # float32
 *     node --import tsx examples/train-llama.ts out/llama 4        # weights and activations at 4 bits (QuEST), as ONNX too
 *
 * At 4 bits a step took 0.34 s of processor time on a 2-core server: 1000 steps make about six minutes.
 * The folder is an ordinary Hugging Face model: fewbit quantize out/llama --to gguf --data assets/shakespeare/heldout.txt
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportTrustQuantize } from '../src/export/onnx-trust-quantize.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import type { Graph } from '../src/graph/graph.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { byteTokenizer } from '../src/models/byte-tokenizer.ts';
import { initialLlama } from '../src/models/llama-init.ts';
import { insertTrustQuantize } from '../src/train/trust-quantization.ts';
import { trainOnShakespeare } from './shared/shakespeare.ts';

const [folder = 'out/llama', bits] = process.argv.slice(2);
const window = 128;

const model = initialLlama('llama-bytes', { vocabulary: 256, hidden: 128, intermediate: 384, layers: 4, heads: 4, context: window }, { seed: 0, tokenizer: byteTokenizer(window) });
const quantize = (graph: Graph): Graph => (bits === undefined ? graph : insertTrustQuantize(graph, () => true, { weights: Number(bits), activations: Number(bits), rotate: true }));
const trained = await trainOnShakespeare(model, { window, batch: 16, steps: 1000, rate: 2e-3, threads: 2, quantize });

await saveLanguageModel(trained, folder);
if (bits !== undefined) await writeFile(join(folder, `model-w${bits}a${bits}.onnx`), await onnxBytes(await exportTrustQuantize(quantize(trained.graph()))));
console.log(`saved ${folder}`);
