/** Folders that the target writes, opened by transformers.js itself. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { fileSink, openFolder, writeFileAtomic } from '../../src/files/fs-node.ts';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { recipeRunner } from '../../src/jobs/recipe-runner.ts';
import { parseSettings } from '../../src/jobs/settings.ts';
import { languageSource } from '../../src/jobs/source.ts';
import type { Written } from '../../src/jobs/target.ts';
import { clientConfig, transformersJsTarget } from '../../src/jobs/targets/transformers-js.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { inlinePool } from '../../src/round/pool.ts';

const host = join(import.meta.dirname, '../../assets/host-llama-shakespeare');
const language = await openLanguageModel(await openFolder(host));
const model = languageSource(language, 'host', host, 'huggingface', []);
after(() => language.close());

/** Greedy continuation of "ROMEO:\n" by the float32 original. */
const greedy = [
  41, 458, 322, 305, 366, 12, 299, 292, 458, 322, 305, 366, 14, 199, 199, 46, 690, 26, 199, 41, 458, 322, 305, 366, 14, 199, 199, 814, 26, 199, 41, 458,
  305, 366, 14, 199, 199, 814, 26, 199, 41, 458, 305, 259, 269, 388, 263, 379, 14, 199, 199, 814, 26, 199, 41, 458, 305, 259, 269, 388, 263, 379, 14, 199,
];

let root: string;
const written = new Map<string, Written>();

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'fewbit-tjs-'));
  const settings = parseSettings({ model: host, output: root, to: 'transformers.js', weights: 'fp32,q8,fp16,q4,q4f16', verdict: false });
  const apply = recipeRunner(model, settings, { engine: ortNode });
  for (const spec of outputSpecs(model, settings)) {
    written.set(spec.scheme.label, await transformersJsTarget.write({
      model, spec, settings, plan: await transformersJsTarget.plan(model, spec, settings), pool: inlinePool(), progress: silentProgress,
      apply: () => apply(spec), importance: async () => new Map(),
      open: async (path) => {
        await mkdir(dirname(join(root, path)), { recursive: true });
        return fileSink(join(root, path));
      },
      share: async (path, content) => {
        const absolute = join(root, path);
        await writeFileAtomic(absolute, content(await readFile(absolute).catch(() => undefined)));
      },
    }));
  }
});
after(() => rm(root, { recursive: true }));

async function generate(dtype: string, count: number): Promise<number[]> {
  const { AutoModelForCausalLM, AutoTokenizer, env } = await import('@huggingface/transformers');
  env.allowRemoteModels = false;
  env.localModelPath = root;
  const name = 'host-transformers.js';
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const client = await AutoModelForCausalLM.from_pretrained(name, { dtype: dtype as 'fp32' });
  const output = await client.generate({ ...tokenizer(['ROMEO:\n']), max_new_tokens: count, do_sample: false }) as { tolist(): bigint[][] };
  await client.dispose();
  return output.tolist()[0].map(Number);
}

test('every variant lies in one folder, with its side files once', async () => {
  const folder = 'host-transformers.js';
  assert.deepEqual((await readdir(join(root, folder, 'onnx'))).sort(), ['model.onnx', 'model_fp16.onnx', 'model_q4.onnx', 'model_q4f16.onnx', 'model_quantized.onnx']);
  assert.deepEqual((await readdir(join(root, folder))).sort(), ['config.json', 'onnx', 'tokenizer.json', 'tokenizer_config.json']);
  for (const { files } of written.values()) {
    assert.match(files[0], /\.onnx$/);
    assert.deepEqual(files.slice(1), ['config.json', 'tokenizer.json', 'tokenizer_config.json'].map((name) => `${folder}/${name}`));
  }
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    assert.deepEqual(JSON.parse(await readFile(join(root, folder, name), 'utf8')), JSON.parse(await readFile(join(host, name), 'utf8')));
  }
  const { 'transformers.js_config': client, ...rest } = JSON.parse(await readFile(join(root, folder, 'config.json'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(rest, JSON.parse(await readFile(join(host, 'config.json'), 'utf8')));
  assert.deepEqual(client, { dtype: 'fp32' });
});

test('the embedding is in 8 bits beside low-bit layers, and lies in the file once', async () => {
  for (const label of ['q4', 'q4f16', 'q8']) {
    const { tensors, notes, files: [file] } = written.get(label)!;
    const line = tensors.find(({ name }) => name === 'model.embed_tokens.weight')!;
    assert.equal(line.target, 'int8/g128');
    assert.ok(Math.sqrt(line.squaredError! / line.sumOfSquares!) < 0.01);
    assert.match(notes.join(), /model\.embed_tokens\.weight: int8\/g128, one copy for the embedding and the head/);
    // What the plan counts, the graph and names: no second table of 1024 × 256 bytes.
    const planned = tensors.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0);
    assert.ok((await stat(join(root, file))).size < planned + 150_000, label);
  }
});

test('transformers.js continues from the float32 folder as the original does', async () => {
  assert.deepEqual(await generate('fp32', 64), [814, 26, 199, ...greedy]);
});

for (const dtype of ['q8', 'q4', 'fp16', 'q4f16']) {
  test(`transformers.js loads ${dtype} and generates`, async (t) => {
    const ids = await generate(dtype, 32);
    assert.equal(ids.length, 3 + 32);
    let same = 0;
    while (same < 32 && ids[3 + same] === greedy[same]) same++;
    t.diagnostic(`${dtype}: the first ${same} of 32 tokens are those of the float model`);
    assert.ok(ids.every((id) => id >= 0 && id < 1024));
    assert.ok(new Set(ids).size > 5, 'text, not one token over and over');
  });
}

test('files whose tensors lie beside them are named to the client, variant by variant', () => {
  const raw = { model_type: 'llama' };
  const first = clientConfig(raw, undefined, 'model.onnx', true);
  assert.deepEqual(first['transformers.js_config'], { dtype: 'fp32', use_external_data_format: { 'model.onnx': 1 } });
  const second = clientConfig(raw, first, 'model_q4.onnx', false);
  assert.deepEqual(second, first);
  const rewritten = clientConfig(raw, second, 'model.onnx', false);
  assert.deepEqual(rewritten['transformers.js_config'], { dtype: 'fp32' });
});
