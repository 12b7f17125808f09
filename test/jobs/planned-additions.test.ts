import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFile } from '../../src/files/fs-node.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { planQuantize, quantize } from '../../src/jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';
import { planText } from '../../src/report/table.ts';

const assets = new URL('../../assets/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
process.env.FEWBIT_CACHE = join(folder, 'cache');

const request = (recipe: string): QuantizeRequest => ({
  model: `${assets}draft-llama-shakespeare`, to: 'onnx', recipe, output: folder, overwrite: true, verdict: false,
  data: `${assets}shakespeare/train.txt`, calibrationSamples: 2, evaluationSamples: 2,
});

test('plans count the branches and copies that a recipe adds, and say what only data can tell', async () => {
  const bits = async (recipe: string): Promise<number> => (await planQuantize(request(recipe))).outputs[0].bitsPerWeight;
  const [plain, eighth, all] = [await bits('arcquant'), await bits('arcquant-eighth'), await bits('arcquant-all')];
  assert.ok(plain < eighth && eighth < all && all < 2 * plain, `${plain}, ${eighth}, ${all}`);
  assert.match(planText(await planQuantize(request('arcquant'))), /\nnot counted {2}channels that the recipe copies/);
  assert.doesNotMatch(planText(await planQuantize(request('arcquant-all'))), /not counted/);
  const branches = (await planQuantize(request('lq-lora'))).outputs[0].tensors.filter(({ source }) => source === 'none');
  assert.ok(branches.length > 0 && branches.every(({ target, bytesAfter, shape }) => target === 'f16' && bytesAfter === 2 * shape[0] * shape[1]));
});

test('a written file with branches has the tensors and, within a twentieth, the bytes that the plan said', async () => {
  const plan = (await planQuantize(request('svdquant'))).outputs[0];
  const [made] = (await quantize(request('svdquant'))).outputs;
  const lines = (tensors: typeof made.tensors): string[] => tensors.filter(({ source }) => source === 'none' || source === 'f32').map(({ name }) => name);
  const planned = plan.tensors.filter(({ source }) => source === 'none');
  assert.ok(planned.length > 0);
  for (const { name, shape, bytesAfter } of planned) {
    const line = made.tensors.find((one) => one.name === name);
    assert.deepEqual(line === undefined ? undefined : [line.shape, line.bytesAfter, line.target], [shape, bytesAfter, 'f16'], name);
  }
  assert.ok(lines(plan.tensors).every((name) => lines(made.tensors).includes(name)));
  const source = await openFile(join(folder, made.file));
  try {
    const written = [...(await openOnnx(source)).weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.ok(Math.abs(written - plan.bytes) < 0.05 * plan.bytes, `${written} bytes of tensors written, ${plan.bytes} planned`);
  } finally {
    await source.close();
  }
});
