/**
 * The decoder of `fewbit run` against llama.cpp with keys and values in float32, on GGUF files of the model of this
 * repository: log probabilities over held-out text, and 64 greedy tokens. Both round what enters matrices to 8 bits, with
 * scales of different precision, so that a code may turn into its neighbour; how far rounding moves our own decoder is
 * printed beside it and bounds the mean. Greedy tokens are equal up to the first step whose two likeliest lie closer than
 * the largest difference: `npm run bench decoder-agreement`.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantize } from '../src/jobs/quantize-node.ts';
import { openSource } from '../src/jobs/source-node.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { openTokenizer } from '../src/models/tokenizer.ts';
import { argMax, logSoftmax } from '../src/numeric/distribution.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';
import { exactLogProbabilities } from './clients/llama-cpp.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'fewbit-agreement-'));
const [tokens, written] = [192, 64];
await quantize({ model: join(root, 'assets/host-llama-shakespeare'), to: 'gguf', weights: 'q8_0,q4_0,q4_k', output: folder, verdict: false });
let failed = false;

/** ln p of the tokens of a text, [position, vocabulary], in float32 or rounded inputs. */
async function ours(path: string, text: readonly number[], inputs: 'int8' | 'float'): Promise<{ readonly values: Float32Array; readonly vocabulary: number }> {
  const source = await openSource(path);
  const decoder = await LlamaDecoder.open(source.language!.config as LlamaConfig, source.language!.tensors, { context: 512, inputs });
  const logits = decoder.feed(text, { all: true });
  decoder.dispose();
  await source.close();
  const { vocabulary } = decoder;
  const values = new Float32Array(logits.length);
  for (let at = 0; at < logits.length; at += vocabulary) values.set(logSoftmax(logits, at, vocabulary), at);
  return { values, vocabulary };
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): { readonly mean: number; readonly max: number } {
  let [sum, max] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i] - b[i]);
    sum += d;
    max = Math.max(max, d);
  }
  return { mean: sum / a.length, max };
}

for (const type of ['Q8_0', 'Q4_0', 'Q4_K']) {
  const path = join(folder, `host-llama-shakespeare-${type}.gguf`);
  const source = await openSource(path);
  const text = openTokenizer(source.language!.tokenizer!).encode(await readFile(join(root, 'assets/shakespeare/heldout.txt'), 'utf8')).slice(0, tokens);
  const decoder = await LlamaDecoder.open(source.language!.config as LlamaConfig, source.language!.tensors, { context: 512 });
  const greedy = text.slice(0, 16);
  let logits = decoder.feed(greedy);
  for (let i = 0; i < written; i++) {
    greedy.push(argMax(logits, 0, decoder.vocabulary));
    logits = decoder.feed(greedy.slice(-1));
  }
  decoder.dispose();
  await source.close();

  const rounded = await ours(path, text, 'int8');
  const theirs = await exactLogProbabilities(path, [text], rounded.vocabulary);
  const found = difference(rounded.values, theirs);
  const moved = difference(rounded.values, (await ours(path, text, 'float')).values);
  const beside = await exactLogProbabilities(path, [greedy], rounded.vocabulary);
  const { vocabulary } = rounded;
  let [equal, gap] = [0, Infinity];
  for (; equal < written; equal++) {
    const at = (15 + equal) * vocabulary;
    const best = argMax(beside, at, vocabulary);
    if (best === greedy[16 + equal]) continue;
    gap = beside[at + best] - beside[at + greedy[16 + equal]];
    break;
  }
  const holds = found.mean <= 2 * moved.mean && (equal === written || gap <= 2 * found.max);
  failed ||= !holds;
  console.log(`${type}: |Δ ln p| mean ${found.mean.toFixed(4)}, largest ${found.max.toFixed(3)}; rounding of inputs moves ours by ${moved.mean.toFixed(4)}, ${moved.max.toFixed(3)}; greedy tokens equal: ${equal} of ${written}${equal === written ? '' : `, then the two likeliest lie ${gap.toFixed(4)} apart`}${holds ? '' : '  DOES NOT HOLD'}`);
}
await rm(folder, { recursive: true });
process.exit(failed ? 1 : 0);
