/** Loader snippets in processes of their own: they run from the output folder, and what goes wrong is told. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFolder } from '../../src/files/fs-node.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { runSnippet, runSnippets } from '../../src/jobs/run-snippets-node.ts';
import { snippetFor } from '../../src/jobs/snippets.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { ggufFile, withFolder } from '../models/gguf-file.ts';

const assets = join(import.meta.dirname, '../../assets');
const folder = mkdtempSync(join(tmpdir(), 'fewbit snippets-'));
after(() => rmSync(folder, { recursive: true }));

test('a loader finds its file beside it and its package wherever the folder lies, and leaves nothing', async () => {
  copyFileSync(join(assets, 'kws-dscnn/kws-dscnn.onnx'), join(folder, "it's.onnx"));
  const [found, absent] = await runSnippets([{ file: "it's.onnx", target: 'onnx', label: 'fp32' }, { file: 'none.onnx', target: 'onnx', label: 'fp32' }], folder, silentProgress);
  assert.deepEqual([found.executed, found.printed, found.reason], [true, 'logits 1 × 12', undefined]);
  assert.match(found.code, /^import \* as ort from 'onnxruntime-node';/);
  assert.deepEqual([absent.executed, absent.printed], [false, undefined]);
  assert.match(absent.reason!, /^it failed \(.*Error.*none\.onnx/);
  assert.deepEqual(readdirSync(folder), ["it's.onnx"]);
});

test('a GGUF file is loaded and continued by llama.cpp', () => withFolder(async (place) => {
  const model = await openLanguageModel(await openFolder(join(assets, 'host-llama-shakespeare')));
  const path = await ggufFile(model, place, 'q4_0');
  await model.close();
  const [{ executed, printed, reason }] = await runSnippets([{ file: path.slice(place.length + 1), target: 'gguf', label: 'q4_0' }], place, silentProgress);
  assert.equal(reason, undefined);
  assert.ok(executed);
  assert.match(printed!, /^Once upon a time/);
}));

test('a package that is not there, an error, an exit code, a crash and a loader without end are told apart', async () => {
  assert.deepEqual(await runSnippet("import { load } from 'no-such-engine';\nload();\n", folder), { executed: false, reason: 'package no-such-engine is not installed' });
  assert.deepEqual(await runSnippet("console.log('so far');\nthrow new TypeError('bad file');\n", folder), { executed: false, reason: 'it failed (TypeError: bad file)', printed: 'so far' });
  assert.deepEqual(await runSnippet('process.exit(7);\n', folder), { executed: false, reason: 'it failed (exit code 7)' });
  assert.deepEqual(await runSnippet("process.kill(process.pid, 'SIGSEGV');\nawait new Promise(() => setInterval(() => {}, 1000));\n", folder), { executed: false, reason: 'it failed (SIGSEGV)' });
  assert.deepEqual(await runSnippet("console.log('\\n  one\\ntwo');\nsetInterval(() => {}, 1000);\n", folder, 5), { executed: false, reason: 'it did not end within 5 s', printed: 'one' });
});

test('transformers.js is told the dtype of a variant, and the name of a file that no dtype stands for', () => {
  const options = (file: string, label: string): string | undefined => /"name", (\{.*\})\);/.exec(snippetFor({ file: `name/onnx/${file}`, target: 'transformers.js', label }))?.[1];
  assert.equal(options('model.onnx', 'fp32'), '{ dtype: "fp32" }');
  assert.equal(options('model_quantized.onnx', 'q8'), '{ dtype: "q8" }');
  assert.equal(options('model_q4-gptq.onnx', 'q4'), '{ model_file_name: "model_q4-gptq", dtype: "fp32" }');
});
