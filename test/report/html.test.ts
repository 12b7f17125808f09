import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { parseHTML } from 'linkedom';
import type { QuantizeResult } from '../../src/jobs/result.ts';
import { resultHtml } from '../../src/report/index.ts';
import { placeLabels } from '../../src/report/labels.ts';
import { paretoFront, sizeErrors } from '../../src/report/plot-size-error.ts';
import { exampleResult } from './example.ts';

const formats = ['int8/channel', 'uint4/channel', 'int2/channel'];
let result: QuantizeResult;
before(async () => { result = await exampleResult(formats); });

test('holds the recommendation, the verdict of every file, its plots and its tensors', () => {
  const { document } = parseHTML(resultHtml(result));
  const text = document.body.textContent!;
  assert.ok(text.includes(result.recommendation.reason));
  const [verdicts] = [...document.querySelectorAll('table')];
  assert.equal(verdicts.querySelectorAll('tbody tr').length, formats.length);
  assert.equal(verdicts.querySelectorAll('tr.strong').length, 1);
  for (const { file, files } of result.outputs) {
    assert.ok(text.includes(file));
    assert.ok(text.includes(files[0].sha256));
  }
  // Size against error once, layers and three histograms per output, each for screens and for phones.
  assert.equal(document.querySelectorAll('svg').length, 2 * (1 + formats.length * 4));
  for (const svg of document.querySelectorAll('svg')) assert.ok(svg.getAttribute('aria-label')!.length > 20);
  for (const table of document.querySelectorAll('table')) assert.ok(table.querySelector('caption')!.textContent!.length > 0);
});

test('every output is labelled in the plot of size against error', () => {
  const { document } = parseHTML(resultHtml(result));
  const labels = [...document.querySelector('figure svg')!.querySelectorAll('text')].map((text) => text.textContent);
  for (const { label } of result.outputs) assert.ok(labels.includes(label), label);
});

test('needs nothing from outside: no script, no address, no font', () => {
  const html = resultHtml(result);
  assert.doesNotMatch(html, /https?:/);
  assert.doesNotMatch(html, /<(script|link|img|iframe|object|embed|base)\b/i);
  assert.doesNotMatch(html, /url\(|@import|@font-face|\bsrc=|\bhref=/i);
});

test('markup in names stays text', async () => {
  const hostile = `"><script>alert('x')</script><img src=x onerror=alert(1)>&amp;`;
  const html = resultHtml(await exampleResult(['int4/channel', 'int8/channel'], (name) => `${name}${hostile}`));
  assert.doesNotMatch(html, /<script|<img/i);
  const { document } = parseHTML(html);
  assert.equal(document.querySelectorAll('script, img').length, 0);
  assert.ok(document.querySelector('h1')!.textContent!.includes(hostile));
});

test('the same result gives the same bytes', () => {
  assert.equal(resultHtml(result), resultHtml(result));
});

test('a result without a judged file has no plot and says so', () => {
  const unjudged: QuantizeResult = {
    ...result, recommendation: { choice: undefined, reason: 'nothing was judged, so nothing is recommended' },
    outputs: result.outputs.map((output) => {
      const { score: _score, ...verdict } = output.verdict;
      return { ...output, histograms: [], verdict: { ...verdict, notJudged: 'the verdict was skipped' } };
    }),
  };
  const html = resultHtml(unjudged);
  assert.doesNotMatch(html, /Size against error/);
  assert.match(html, /No recommendation/);
  assert.match(html, /Not judged: the verdict was skipped/);
});

test('the front holds what no other beats on both, by rising size', () => {
  const points = [{ bytes: 4, error: 1 }, { bytes: 2, error: 3 }, { bytes: 3, error: 3 }, { bytes: 5, error: 0.5 }, { bytes: 6, error: 0.7 }];
  assert.deepEqual(paretoFront(points).map(({ bytes }) => bytes), [2, 4, 5]);
  assert.equal(sizeErrors(result).length, formats.length);
});

test('labels of crowded points neither cover each other nor leave the frame', () => {
  const spots = Array.from({ length: 8 }, (_, i) => ({ x: 200 + 6 * i, y: 150 + 3 * (i % 3), text: `format${i}` }));
  const font = 13;
  const boxes = placeLabels(spots, { left: 0, top: 0, right: 500, bottom: 300 }, font).map(({ dx, dy, anchor }, i) => {
    const width = spots[i].text.length * font * 0.58;
    const left = spots[i].x + dx - { start: 0, middle: width / 2, end: width }[anchor];
    return { left, right: left + width, top: spots[i].y + dy - font / 2, bottom: spots[i].y + dy + font / 2 };
  });
  for (const [i, a] of boxes.entries()) {
    assert.ok(a.left >= 0 && a.right <= 500 && a.top >= 0 && a.bottom <= 300);
    for (const b of boxes.slice(i + 1)) assert.ok(a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top);
  }
});
