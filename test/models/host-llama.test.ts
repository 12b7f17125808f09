/** The trained model of the repository: figures of its float32 PyTorch original, and greedy text in a real client. */
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { fileSink, openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes, writeOnnx } from '../../src/files/onnx-write.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';

const assets = join(import.meta.dirname, '../../assets');
const folder = join(assets, 'host-llama-shakespeare');
const model = await openLanguageModel(await openFolder(folder));
after(() => model.close());

/** Mean negative log-likelihood in nats per token of held-out windows of 256 tokens, by window. */
const windows: readonly (readonly [window: number, nll: number])[] = [[0, 2.247754030065685], [1, 2.985743086022265], [100, 2.658540538755227], [192, 3.6157158320683367]];
const greedy = [
  41, 458, 322, 305, 366, 12, 299, 292, 458, 322, 305, 366, 14, 199, 199, 46, 690, 26, 199, 41, 458, 322, 305, 366, 14, 199, 199, 814, 26, 199, 41, 458,
  305, 366, 14, 199, 199, 814, 26, 199, 41, 458, 305, 259, 269, 388, 263, 379, 14, 199, 199, 814, 26, 199, 41, 458, 305, 259, 269, 388, 263, 379, 14, 199,
];

test('held-out windows have the likelihood that training measured', async () => {
  const tokenizer = openTokenizer(model.tokenizer!);
  const text = await readFile(join(assets, 'shakespeare/heldout.txt'), 'utf8');
  const ids = tokenizer.encode(text);
  assert.equal(ids.length, 49_414);
  assert.equal(tokenizer.decode(ids), text);
  const session = await ortNode.open({ bytes: await onnxBytes(model.graph()) });
  const vocabulary = model.config.vocabSize;
  for (const [window, expected] of windows) {
    const { logits } = await session.run({ input_ids: i64([1, 256], ids.slice(window * 256, window * 256 + 256)) });
    let sum = 0;
    for (let at = 0; at < 256; at++) {
      const row = (logits.data as Float32Array).subarray(at * vocabulary, (at + 1) * vocabulary);
      const top = row.reduce((a, b) => Math.max(a, b));
      sum += top + Math.log(row.reduce((total, logit) => total + Math.exp(logit - top), 0)) - row[ids[window * 256 + at + 1]];
    }
    assert.ok(Math.abs(sum / 256 - expected) < 2e-6, `window ${window}: ${sum / 256}`);
  }
  await session.dispose();
});

test('transformers.js loads the graph with a cache and continues as the original does, padded or not', async () => {
  const root = await mkdtemp(join(tmpdir(), 'fewbit-models-'));
  try {
    await mkdir(join(root, 'host/onnx'), { recursive: true });
    for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) await cp(join(folder, file), join(root, 'host', file));
    const sink = await fileSink(join(root, 'host/onnx/model.onnx'));
    await writeOnnx(model.graph({ cache: true, lastLogits: true }), sink);
    await sink.commit();

    const { AutoModelForCausalLM, AutoTokenizer, env } = await import('@huggingface/transformers');
    env.allowRemoteModels = false;
    env.localModelPath = root;
    const tokenizer = await AutoTokenizer.from_pretrained('host');
    tokenizer.padding_side = 'left';
    const client = await AutoModelForCausalLM.from_pretrained('host', { dtype: 'fp32' });
    const generate = async (prompts: string[], count: number): Promise<number[][]> => {
      const inputs = tokenizer(prompts, { padding: true });
      const output = await client.generate({ ...inputs, max_new_tokens: count, do_sample: false }) as { tolist(): bigint[][] };
      return output.tolist().map((row) => row.map(Number));
    };
    const [alone] = await generate(['ROMEO:\n'], 64);
    assert.deepEqual(alone, [814, 26, 199, ...greedy]);
    const [padded] = await generate(['ROMEO:\n', 'JULIET:\nWhat man art thou that, thus bescreened in night,'], 16);
    assert.deepEqual(padded.slice(-19), alone.slice(0, 19));
    await client.dispose();
  } finally {
    await rm(root, { recursive: true });
  }
});
