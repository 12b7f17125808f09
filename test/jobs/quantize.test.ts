import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FewbitError } from '../../src/errors.ts';
import { planQuantize, quantize, writeBeside } from '../../src/jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const assets = new URL('../../assets/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const keywords: QuantizeRequest = {
  model: `${assets}kws-dscnn/kws-dscnn.onnx`, to: 'onnx', output: join(folder, 'kws'),
  data: `${assets}kws-dscnn/inputs.npy`, labels: `${assets}kws-dscnn/labels.npy`, calibrationSamples: 200, evaluationSamples: 800,
};

test('keyword spotting: the written int8 file is within half a point of float on samples that calibrated nothing', async () => {
  const result = await quantize({ ...keywords, bits: '16,8' });
  const [half, int8] = result.outputs;
  assert.deepEqual(readdirSync(join(folder, 'kws')).sort(), ['kws-dscnn-fp16.onnx', 'kws-dscnn-int8.onnx'], 'nothing but the files');
  for (const { verdict, files, snippet } of [half, int8]) {
    assert.equal(verdict.score!.samples, 800);
    assert.equal(verdict.score!.metrics[0].name, 'top-1');
    assert.match(verdict.loads[0], /^onnxruntime-node \d/);
    assert.ok(verdict.latency[0].ratio > 0);
    assert.deepEqual([snippet.executed, snippet.reason, snippet.printed], [true, undefined, 'logits 1 × 12']);
    assert.equal(files[0].bytes, readFileSync(join(folder, 'kws', files[0].path)).length);
  }
  const { float, drop } = int8.verdict.score!.metrics[0];
  assert.ok(float > 88 && float < 92, `float accuracy ${float}`);
  assert.ok(drop <= 0.5, `drop of ${drop} points`);
  assert.ok(half.verdict.score!.error.kl!.mean < 1e-4);
  assert.ok(result.recommendation.choice !== undefined && result.recommendation.reason.includes('smaller than float'));
  const beside = await writeBeside(result, join(folder, 'kws'));
  assert.ok(beside.includes('report.html') && beside.includes('kws-dscnn-int8.onnx.manifest.json'));
  const manifest = JSON.parse(readFileSync(join(folder, 'kws', 'kws-dscnn-int8.onnx.manifest.json'), 'utf8')) as object;
  assert.ok(JSON.stringify(manifest).includes(result.model.files[0].sha256), 'the manifest names its source by hash');
});

test('the same request gives the same bytes with one thread and with two', async () => {
  const bytes: Buffer[] = [];
  for (const threads of [1, 2]) {
    const output = join(folder, `threads-${threads}`);
    await quantize({ model: keywords.model, to: 'onnx', weights: 'int4/channel', output, threads, verdict: false });
    bytes.push(readFileSync(join(output, 'kws-dscnn-int4-channel.onnx')));
  }
  assert.ok(bytes[0].equals(bytes[1]));
});

test('without a verdict nothing is executed, and the result says so', async () => {
  const { outputs: [{ snippet }] } = await quantize({ model: keywords.model, to: 'onnx', weights: 'fp16', output: join(folder, 'unjudged'), verdict: false });
  assert.deepEqual([snippet.executed, snippet.reason], [false, 'the verdict was skipped']);
});

test('a dry run plans every tensor and writes nothing', async () => {
  const output = join(folder, 'dry');
  const plan = await planQuantize({ ...keywords, output, bits: '8', dryRun: true });
  assert.ok(!existsSync(output));
  const [planned] = plan.outputs;
  assert.equal(planned.tensors.length, 20);
  assert.equal(planned.tensors.filter(({ target }) => target === 'int8/channel').length, 10);
  assert.deepEqual(plan.inputs[0].name, 'input');
  assert.ok(plan.inputs[0].low! < -50 && plan.inputs[0].high! > 10, 'the range of the input is told');
  assert.equal(plan.calibration!.samples + plan.evaluation!.samples, 1000);
});

test('a finished file is not replaced unless asked', async () => {
  const request = { model: keywords.model, to: 'onnx', weights: 'int8/channel', output: join(folder, 'twice'), verdict: false };
  await quantize(request);
  await assert.rejects(quantize(request), /exists already/);
  await quantize({ ...request, overwrite: true });
});

test('what cannot be done is said in one line before anything is written', async () => {
  const cases: [QuantizeRequest, RegExp][] = [
    [{ ...keywords, model: `${assets}nothing.onnx` }, /no such file or folder/],
    [{ ...keywords, model: `${assets}README.md` }, /not a model that can be read/],
    [{ ...keywords, to: 'gguf', bits: '4' }, /gguf files are written of language models/],
    [{ ...keywords, bits: '7' }, /onnx has no default for 7 bits/],
    [{ ...keywords, weights: 'int9/g32' }, /unknown format: int9\/g32/],
    [{ ...keywords, data: undefined, labels: undefined, bits: '8' }, /static activation ranges for onnx need sample inputs/],
    [{ ...keywords, weights: 'int4/g32', recipe: 'gptq', data: undefined, labels: undefined }, /recipe gptq needs sample inputs/],
    [{ ...keywords, recipe: 'best' }, /unknown recipe: best/],
    [{ ...keywords, task: 'guess' }, /unknown task: guess/],
    [{ ...keywords, calibrationSamples: 0 }, /--calibration-samples/],
  ];
  const output = join(folder, 'refused');
  for (const [request, line] of cases) {
    await assert.rejects(quantize({ ...request, output }), (error) => {
      assert.ok(error instanceof FewbitError, String(error));
      assert.match(error.message, line);
      assert.ok(!error.message.includes('\n'));
      return true;
    });
  }
  assert.ok(!existsSync(output));
});

test('gates name the row that fails', async () => {
  const result = await quantize({ ...keywords, output: join(folder, 'gates'), bits: '8', evaluationSamples: 100, maxKl: 1e-9, maxSize: '1MB' });
  assert.equal(result.gates.length, 1);
  assert.match(result.gates[0].line, /kws-dscnn-int8\.onnx: mean KL is .* \(gate: at most 1e-9\)/);
});
