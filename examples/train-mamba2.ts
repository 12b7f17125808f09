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
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { byteTokenizer } from '../src/models/byte-tokenizer.ts';
import { initialMamba1 } from '../src/models/mamba1-init.ts';
import { initialMamba2 } from '../src/models/mamba2-init.ts';
import { trainOnShakespeare } from './shared/shakespeare.ts';

const [folder = 'out/mamba2', count = '300', family = 'mamba2'] = process.argv.slice(2);
// The scan of Mamba-1 keeps the states of all tokens: its batches are smaller.
const [window, batch] = family === 'mamba1' ? [64, 8] : [128, 16];

const options = { seed: 0, tokenizer: byteTokenizer(window) };
const model = family === 'mamba1'
  ? initialMamba1('mamba1-bytes', { vocabulary: 256, hidden: 64, layers: 4, state: 8, stepRank: 4 }, options)
  : initialMamba2('mamba2-bytes', { vocabulary: 256, hidden: 128, layers: 4, headDim: 16, state: 16, groups: 4, chunk: 32 }, options);
await saveLanguageModel(await trainOnShakespeare(model, { window, batch, steps: Number(count), rate: 4e-3, threads: 2 }), folder);
console.log(`saved ${folder}`);
