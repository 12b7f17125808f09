import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import type { Output } from '../../src/jobs/result.ts';
import { requestedSchemes, weightsText } from '../../src/jobs/schemes.ts';
import { parseSettings, type QuantizeRequest } from '../../src/jobs/settings.ts';
import { openModern } from '../../src/jobs/source-node.ts';
import { recipes } from '../../src/recipes/registry.ts';
import { activationBits, comparisons } from '../../src/report/comparison.ts';
import { comparisonMarkdown, comparisonText } from '../../src/report/comparison-text.ts';
import { comparisonFigure } from '../../src/report/plot-comparison.ts';

function output(recipe: string, format: string, bits: number, kl: number, activations = 'float'): Output {
  const score = { candidate: '', task: 'lm', data: 'text', samples: 1, error: { kl: { mean: kl } as never }, metrics: [] };
  return {
    file: `${recipe}-${format}`, files: [], target: 'onnx', label: format, recipe, activations, seconds: 2, tensors: [], histograms: [], notes: [], snippet: { language: 'js', code: '', executed: false },
    verdict: { file: '', target: 'onnx', format, size: 1, bitsPerWeight: bits, score, latency: [], loads: [] },
  };
}

const outputs = [
  output('rtn', 'int4/g128', 4.25, 0.1), output('rtn', 'int2/g128', 2.25, 10), output('gptq', 'int3/g128', 3.25, 0.5),
  output('rtn', 'int4/g64', 4.5, 0.2, 'int4/g64'), output('rtn', 'int5/channel', 5.5, 0.05, 'int4/token'), output('svdquant', 'int4/g64', 5, 0.05, 'int4/g64'), output('gptq', 'int8/channel', 8, 0.01, 'int8/token'),
];

test('recipes stand beside the plain line of their own activation bits', () => {
  const [alone, both] = comparisons({ outputs });
  assert.deepEqual(alone.files.map(({ ofPlain }) => ofPlain?.toFixed(3)), [undefined, undefined, '0.500']);
  assert.deepEqual(both.files.map(({ ofPlain }) => ofPlain?.toFixed(3)), [undefined, undefined, '0.500', undefined], 'no plain file has 8-bit inputs');
  assert.deepEqual(both.lines.map(({ activationBits: bits }) => bits), [4]);
  assert.deepEqual(['float', 'static', 'int4/token', 'nvfp4', undefined].map(activationBits), [32, 8, 4, 4, 32]);
});

test('tables say bits, error, distance to plain and time, in the terminal and in Markdown', () => {
  const text = comparisonText({ outputs });
  assert.match(text, /Weights alone\n\nrecipe +weights +bits\/weight +KL +of plain +made in/);
  assert.match(text, /svdquant +int4\/g64 +int4\/g64 +5\.00 +4 +0\.0500 +0\.50× +2\.0 s/);
  assert.match(comparisonMarkdown({ outputs }, (title) => `![${title}](x.svg)`), /### Weights and activations\n\n!\[Weights and activations\]\(x\.svg\)\n\n\| recipe \| weights \| inputs \| bits\/weight \| bits\/input \| KL \| of plain \|/);
  assert.equal(comparisonFigure(comparisons({ outputs })[0]).match(/<svg/g)!.length, 2);
});

test('only plain files are no comparison', () => assert.deepEqual(comparisons({ outputs: outputs.slice(0, 2) }), []));

test('a recipe that names its own formats takes them alone', async () => {
  const root = new URL('../../assets/', import.meta.url).pathname;
  const model = await openModern(`${root}kws-dscnn/kws-dscnn.onnx`);
  const settings = parseSettings({ model: 'kws', output: '.', data: 'x', recipe: 'rtn,gptq:int3/channel,scale-search:uint4/channel:int8/tensor,gptq:5.5', weights: 'int4/channel,int8/channel' });
  const specs = outputSpecs(model, settings);
  await model.close();
  assert.deepEqual(specs.map(({ recipe, scheme }) => `${recipe!.name} ${scheme.budget?.bits ?? scheme.weights} ${scheme.activations}`), [
    'rtn int4/channel float', 'rtn int8/channel float', 'gptq int3/channel float', 'scale-search uint4/channel int8/tensor', 'gptq 5.5 float',
  ]);
});

test('a budget says in its name and its row what it was made of beside plain formats', () => {
  const [{ scheme }] = requestedSchemes({ to: ['onnx'], bits: [2.5], candidates: ['plain', 'trellis'] }, 'lm');
  assert.equal(scheme.label, '2.5bit-trellis');
  assert.equal(weightsText(scheme), '2.5 bits with trellis, a format per layer');
  assert.ok(['uint2/g64', 'tcq1.5+had', 'tcq4+had'].every((name) => scheme.budget!.formats.includes(name)));
  assert.throws(() => requestedSchemes({ to: ['gguf'], bits: [2.5], candidates: ['plain', 'trellis'] }, 'lm'), /gguf files cannot hold tcq1\.5\+had, which --candidates names/);
});

test('a recipe that was made for formats takes the first of them where none is asked for', async () => {
  const model = await openModern(new URL('../../assets/kws-dscnn/kws-dscnn.onnx', import.meta.url).pathname);
  const asked = (request: Partial<QuantizeRequest>): string[] =>
    outputSpecs(model, parseSettings({ model: 'kws', output: '.', data: 'x', ...request })).map(({ recipe, scheme }) => `${recipe!.name} ${scheme.weights} ${scheme.activations}`);
  assert.deepEqual(asked({ recipe: 'svdquant,hawqv3,q-palette' }), ['svdquant int4/g64 int4/g64', 'hawqv3 int8/channel static', 'q-palette tcq2.5+had float']);
  assert.deepEqual(asked({ recipe: 'svdquant', activations: 'float' }), ['svdquant int4/g64 float']);
  assert.deepEqual(asked({ recipe: 'svdquant', bits: '4' }), ['svdquant int4/channel float']);
  assert.deepEqual(asked({ recipe: 'rtn' }), ['rtn int8/channel static', 'rtn int4/channel float']);
  await model.close();
  for (const { name, formats, exports } of recipes) {
    for (const point of formats) assert.doesNotThrow(() => requestedSchemes({ to: [exports[0]], weights: [point.split(':')[0]], activations: point.split(':')[1] ?? 'float' }, 'lm'), name);
  }
});
