import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizePlan } from '../../src/jobs/result.ts';
import { dataText } from '../../src/report/data-words.ts';
import { planText, resultText, verdictText } from '../../src/report/index.ts';
import { cellsOf, shorten, textTable } from '../../src/report/text-table.ts';
import { decibels, duration, figure, megabytes, percent } from '../../src/report/words.ts';
import { exampleResult } from './example.ts';
import type { DiagnoseResult } from '../../src/jobs/diagnose-node.ts';
import { diagnosisText } from '../../src/report/diagnosis-text.ts';

test('columns of a verdict line up, whatever stands in them', async () => {
  const result = await exampleResult(['int8/channel', 'uint4/channel']);
  const lines = verdictText(result.outputs.map(({ verdict }) => verdict)).split('\n');
  assert.equal(lines.length, 3);
  // Numbers end where their title ends; texts begin where it begins.
  const end = lines[0].indexOf('bits/weight') + 'bits/weight'.length;
  for (const [i, line] of lines.slice(1).entries()) {
    assert.equal(line.slice(0, end).trimEnd().length, end);
    assert.ok(line.slice(0, end).endsWith(result.outputs[i].verdict.bitsPerWeight.toFixed(2)));
    assert.equal(line.indexOf('onnxruntime-node'), lines[0].indexOf('runs in'));
  }
  const text = resultText(result);
  assert.ok(text.includes(`* recommended: ${result.recommendation.reason}`));
  assert.match(text, /^\* +kws-int8-channel\.onnx/m);
});

test('a plan shows every tensor with source, target and the reason of a fallback; escapes do nothing', async () => {
  const { model, outputs } = await exampleResult(['int8/channel']);
  const [output] = outputs;
  const plan: QuantizePlan = {
    model: { ...model, name: 'evil\u001b[2Jname', location: 'x' }, memory: { convert: 5e6, judge: 0 }, seconds: { low: 2, high: 200 }, inputs: [], warnings: ['a warning'],
    outputs: [{
      file: output.file, target: 'onnx', label: 'int8', format: 'int8/channel', recipe: 'rtn', bytes: 30_000, bitsPerWeight: 8.5, refusals: [],
      tensors: output.tensors.map((line, i) => (i === 0 ? { ...line, fallback: 'too narrow' } : line)),
    }],
  };
  const text = planText(plan);
  assert.ok(!text.includes('\u001b'));
  assert.match(text, /evil\\u001b\[2Jname/);
  assert.match(text, /conv2d\.weight .*f32 -> int8\/channel .*fallback: too narrow/);
  for (const { name } of output.tensors) assert.ok(text.includes(name));
  assert.match(text, /time +2\.0 s to 3 min/);
});

test('tables shrink names to a narrow terminal, then fall into blocks', () => {
  const columns = [{ title: 'name', align: 'left' }, { title: 'n', align: 'right' }] as const;
  const rows = [['model.layers.0.self_attn.q_proj.weight', '1'], ['b', '22']];
  const narrow = textTable(columns, rows, { width: 34 });
  assert.ok(narrow.every((line) => cellsOf(line) <= 34));
  assert.ok(narrow[1].startsWith('model.') && narrow[1].includes('…') && narrow[1].endsWith('weight   1'));
  assert.deepEqual(textTable(columns, rows, { width: 12 }).slice(-2), ['name  b', 'n     22']);
});

test('wide and combining signs take the cells that terminals give them', () => {
  assert.equal(cellsOf('漢字'), 4);
  assert.equal(cellsOf('e\u0301'), 1);
  assert.equal(shorten('abcdefgh', 5), 'ab…gh');
});

test('quantities read the way people write them', () => {
  assert.deepEqual([figure(0.012345), figure(1234.5), figure(1.5e-7), figure(0), figure(-Infinity)], ['0.0123', '1235', '1.50e-7', '0', '-∞']);
  assert.deepEqual([megabytes(1_500_000), megabytes(123_456_789), megabytes(640)], ['1.50', '123.5', '0.00064']);
  assert.deepEqual([percent(1), percent(0.99999), percent(0.5)], ['100 %', '99.9+ %', '50.0 %']);
  assert.deepEqual([decibels(Infinity), decibels(12.34), duration(3700)], ['exact', '12.3 dB', '62 min']);
});

test('data is named without its folders, and counted once', () => {
  assert.equal(dataText({ name: '/home/me/x (y)/inputs.npy (200 of 1000 samples, seed 0)', samples: 200 }), 'inputs.npy (200 of 1000 samples, seed 0)');
  assert.equal(dataText({ name: 'C:\\data\\heldout.txt', samples: 1, items: { count: 12_800, name: 'tokens' } }), 'heldout.txt, 1 sample, 12 800 tokens');
});

test('a diagnosis says where putting layers back does not help as a whole', () => {
  const guilty = [{ id: 'w_q', site: 'w', op: 'MatMul', weights: 64, bitsPerWeight: 4, weightError: 0.01, gain: 0.001, gainOfInput: 0 }];
  const text = (allBack: number): string => diagnosisText({
    quantized: 'low.onnx', against: 'float.onnx', data: { name: 'data.npy', samples: 4, sha256: '' }, distance: 'noise', asIs: 0.02, allBack, layers: 1,
    unmatched: [], unread: {}, guilty, few: { ids: [], distance: 0.02, recovered: 0 }, trials: 3, seconds: 1,
  } as unknown as DiagnoseResult);
  assert.match(text(0.03), /with all of them put back the outputs are no nearer, so that the loss lies between layers/);
  assert.match(text(0.01), /no layer stands out: putting these back/);
});
