import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHTML } from 'linkedom';
import { averaged, trainingFigure } from '../../src/report/plot-training.ts';

const curve = (file: string, losses: readonly number[]) => ({ file, losses, stepsPerEpoch: 100, seconds: 1 });

test('long curves are means of neighbours, each at the middle of its steps', () => {
  const { points, over } = averaged([4, 2, 3, 1, 5], 2);
  assert.equal(over, 3);
  assert.deepEqual(points, [{ step: 2, loss: 3 }, { step: 4.5, loss: 3 }]);
  assert.deepEqual(averaged([4, 2]).points, [{ step: 1, loss: 4 }, { step: 2, loss: 2 }]);
});

test('the figure holds a line for each network and tells where it began and ended', () => {
  const html = trainingFigure([curve('low.onnx', Array.from({ length: 1000 }, (_, i) => 3 - i / 500)), curve('<float>.onnx', [2, 1, 0.5])]);
  const { document } = parseHTML(html);
  assert.equal(document.querySelectorAll('svg').length, 2);
  assert.equal(document.querySelector('svg')!.querySelectorAll('g[aria-label=line] path').length, 2);
  const caption = document.querySelector('figcaption')!.textContent!;
  assert.match(caption, /means over 5 steps/);
  assert.match(caption, /low\.onnx: 3\.00 at the start, 1\.01 after 1\s000 steps; <float>\.onnx: 2\.00 at the start, 0\.500 after 3 steps/);
  assert.equal(document.querySelectorAll('float').length, 0);
});

test('without two steps there is no figure', () => {
  assert.equal(trainingFigure([]), '');
  assert.equal(trainingFigure([curve('a.onnx', [1])]), '');
});
