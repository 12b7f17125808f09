import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metric, type Metric, type OutputError } from '../../src/evaluate/score.ts';
import { errorOf, failingGates, onBackend, parseMaxDrop, parseSize, recommend, tolerances, type Gates, type Verdict } from '../../src/evaluate/verdict.ts';

const kl = (mean: number): OutputError => ({ kl: { count: 10, mean, standardError: 0, median: mean, p90: mean, p99: mean, max: mean }, agreement: 0.9 });

function verdict(file: string, size: number, error?: OutputError, metrics: readonly Metric[] = []): Verdict {
  const score = error === undefined ? undefined : { candidate: file, task: 'classify', data: 'd', samples: 10, error, metrics };
  return { file, target: 'onnx', format: 'int4/g32', size, bitsPerWeight: 4.5, latency: [], loads: [], ...(score === undefined ? { notJudged: 'no data' } : { score }) };
}
const top1 = (float: number, quantized: number) => metric('top-1', '%', 'higher', float, quantized);

test('a drop is how much worse the candidate is, whichever side is better', () => {
  assert.deepEqual(top1(80, 78), { name: 'top-1', unit: '%', better: 'higher', float: 80, quantized: 78, drop: 2 });
  assert.equal(metric('perplexity', '', 'lower', 10, 10.5).drop, 0.5);
  assert.equal(metric('perplexity', '', 'lower', 10, 9.5, 0.1).drop, -0.5);
  assert.equal(metric('perplexity', '', 'lower', 10, 9.5, 0.1).dropError, 0.1);
  assert.equal(metric('psnr-y', 'dB', 'higher', Infinity, Infinity).drop, 0);
});

test('--max-drop reads a metric and a number', () => {
  assert.deepEqual(parseMaxDrop('top-1=0.5'), { 'top-1': 0.5 });
  assert.deepEqual(parseMaxDrop(' mAP50=.25 '), { mAP50: 0.25 });
  assert.deepEqual(parseMaxDrop('nll=3'), { nll: 3 });
});

for (const text of ['top-1', '=0.5', 'top-1=', 'top-1=-1', 'top-1=half', 'top-1=1e3', 'top-1=.', '']) {
  test(`--max-drop refuses '${text}' and shows how it is written`, () => {
    assert.throws(() => parseMaxDrop(text), { code: 'gates.badDrop', message: `--max-drop ${text}: not METRIC=NUMBER`, wayOut: 'for example: --max-drop top-1=0.5' });
  });
}

test('--max-size reads decimal and binary units in any case, and plain bytes', () => {
  const sizes = { '1000': 1000, '25MB': 25e6, '300 KiB': 307200, '1.5gib': 1610612736, '2 kb': 2000, '7b': 7, '1GB': 1e9, ' 3mib ': 3145728 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize(text), bytes, text);
});

for (const text of ['MB', '-1MB', '25 TB', '1,5MB', '25MB per file', '5 constructor', '']) {
  test(`--max-size refuses '${text}' and shows how it is written`, () => {
    assert.throws(() => parseSize(text), { code: 'gates.badSize', message: `--max-size ${text}: not a size`, wayOut: 'for example: --max-size 25MB' });
  });
}

const failures = (gates: Gates, ...verdicts: Verdict[]) => failingGates(verdicts, gates).map(({ line }) => line);

test('gates hold at their limits', () => {
  const row = verdict('a.onnx', 1000, kl(0.02), [top1(80, 79.5)]);
  assert.deepEqual(failures({ maxKl: 0.02, minAgreement: 0.9, maxSize: 1000, maxDrop: { 'top-1': 0.5 } }, row), []);
  assert.deepEqual(failures({}, row, verdict('b.onnx', 1)), []);
});

test('every gate that a file misses is one failure with the limit and what was measured', () => {
  const row = verdict('a.onnx', 1001, kl(0.0212345), [top1(80, 79.25)]);
  assert.deepEqual(failingGates([row], { maxKl: 0.02, minAgreement: 0.95, maxSize: 1000, maxDrop: { 'top-1': 0.5 } }), [
    { file: 'a.onnx', gate: 'mean KL', limit: 0.02, measured: 0.0212345, line: 'a.onnx: mean KL is 0.02123 (gate: at most 0.02)' },
    { file: 'a.onnx', gate: 'agreement', limit: 0.95, measured: 0.9, line: 'a.onnx: agreement is 0.9 (gate: at least 0.95)' },
    { file: 'a.onnx', gate: 'size', limit: 1000, measured: 1001, line: 'a.onnx: size is 1001 (gate: at most 1000)' },
    { file: 'a.onnx', gate: 'drop of top-1', limit: 0.5, measured: 0.75, line: 'a.onnx: drop of top-1 is 0.75 (gate: at most 0.5)' },
  ]);
});

test('a gate whose figure was not measured fails', () => {
  const unjudged = verdict('a.onnx', 10);
  assert.deepEqual(failingGates([unjudged], { maxKl: 1 }), [{ file: 'a.onnx', gate: 'mean KL', limit: 1, line: 'a.onnx: mean KL was not measured (gate: at most 1)' }]);
  assert.deepEqual(failures({ minAgreement: 0 }, unjudged), ['a.onnx: agreement was not measured (gate: at least 0)']);
  assert.deepEqual(failures({ maxDrop: { 'top-1': 100 } }, unjudged), ['a.onnx: drop of top-1 was not measured (gate: at most 100)']);
  assert.deepEqual(failures({ maxDrop: { 'top-5': 100 } }, verdict('b.onnx', 10, kl(0), [top1(80, 80)])), ['b.onnx: drop of top-5 was not measured (gate: at most 100)']);
  assert.deepEqual(failures({ maxKl: 1, minAgreement: 0 }, verdict('c.onnx', 10, { sqnr: 40 })), [
    'c.onnx: mean KL was not measured (gate: at most 1)', 'c.onnx: agreement was not measured (gate: at least 0)',
  ]);
});

test('a figure that is not a number fails, and one that is better than the float model holds', () => {
  assert.equal(failures({ maxKl: 1 }, verdict('a.onnx', 1, kl(NaN))).length, 1);
  assert.deepEqual(failures({ maxDrop: { 'top-1': 0 } }, verdict('a.onnx', 1, kl(0), [top1(80, 81)])), []);
});

test('files rank by KL, else by the share of noise', () => {
  assert.equal(errorOf({ ...kl(0.3), sqnr: 10 }), 0.3);
  assert.equal(errorOf({ sqnr: 20 }), 0.01);
  assert.equal(errorOf({ cosine: 1 }), undefined);
});

test('a latency enters a verdict with its backend', () => {
  const latency = { name: 'a', median: 2, p10: 1, p90: 3, ratio: 0.5, ratioP10: 0.4, ratioP90: 0.6, rounds: 30 };
  assert.deepEqual(onBackend('cpu', latency), { backend: 'cpu', ratio: 0.5, ratioP10: 0.4, ratioP90: 0.6, median: 2 });
});

const chosen = (verdicts: readonly Verdict[], gates?: Gates) => {
  const { choice, reason } = recommend(verdicts, 4000, gates);
  return [choice?.file, reason];
};

test('nothing is recommended where nothing was judged', () => {
  assert.deepEqual(chosen([]), [undefined, 'nothing was judged, so nothing is recommended']);
  assert.deepEqual(chosen([verdict('a', 1), verdict('b', 1, { cosine: 1 })]), [undefined, 'nothing was judged, so nothing is recommended']);
});

test('the smallest file that keeps the behaviour is chosen, not the smallest and not the nearest', () => {
  assert.deepEqual(chosen([verdict('q8', 1000, kl(0.001)), verdict('q4', 500, kl(0.015)), verdict('q2', 250, kl(0.5)), verdict('q1', 100)]), [
    'q4', 'q4 is the smallest file that keeps the float model\'s behaviour: 8.0 times smaller than float, mean KL 0.015, 90.0 % equal first choices',
  ]);
});

test('where all files are close the smallest is chosen and the sentence says so', () => {
  assert.deepEqual(chosen([verdict('q8', 1000, kl(0.001)), verdict('q4', 300, kl(0.015))]), [
    'q4', 'q4 is the smallest file, and all are close to the float model: 13 times smaller than float, mean KL 0.015, 90.0 % equal first choices',
  ]);
  assert.deepEqual(chosen([verdict('q8', 8000, { sqnr: 30.04 })]), [
    'q8', 'q8 is the only file that keeps the float model\'s behaviour: 2.0 times larger than float, SQNR 30.0 dB',
  ]);
  assert.match(chosen([verdict('same', 4000, { sqnr: Infinity })])[1]!, /: no smaller than float, SQNR infinite$/);
});

test('where no file keeps the behaviour the nearest is named, with what it costs', () => {
  assert.deepEqual(chosen([verdict('q2', 250, kl(0.5)), verdict('q3', 300, kl(0.25))]), [
    'q3', 'no file keeps the float model\'s behaviour; q3 comes nearest: 13 times smaller than float, mean KL 0.25, 90.0 % equal first choices',
  ]);
});

test('gates replace the tolerances: within them the smallest, and none where none is', () => {
  const rows = [verdict('q8', 1000, kl(0.001)), verdict('q4', 500, kl(0.015)), verdict('q2', 250, kl(0.5))];
  assert.deepEqual(chosen(rows, { maxKl: 0.01 }), [
    'q8', 'q8 is the smallest file within the gates: 4.0 times smaller than float, mean KL 0.001, 90.0 % equal first choices',
  ]);
  assert.deepEqual(chosen(rows, { maxKl: 1 }), [
    'q2', 'q2 is the smallest file, and all are within the gates: 16 times smaller than float, mean KL 0.5, 90.0 % equal first choices',
  ]);
  assert.deepEqual(chosen(rows, { maxKl: 0.0001 }), [
    undefined, 'no file is within the gates; q8 comes nearest: 4.0 times smaller than float, mean KL 0.001, 90.0 % equal first choices',
  ]);
});

test('a metric stands before the distance of the outputs', () => {
  assert.match(chosen([verdict('q8', 1000, { sqnr: 12 }, [top1(81.25, 80.75)])])[1]!,
    /^q8 is the only file .*: 4\.0 times smaller than float, top-1 80\.75 % against 81\.25 %, SQNR 12\.0 dB$/);
  assert.match(chosen([verdict('q8', 1000, { sqnr: 12 }, [metric('perplexity', '', 'lower', 12.3456, 12.3512)])])[1]!, /perplexity 12\.35 against 12\.35, /);
});

const keeps = (error: OutputError, ...metrics: Metric[]) => !recommend([verdict('a', 1, error, metrics)], 4000).reason.startsWith('no file');

test('a file keeps the behaviour within the tolerances and not beyond', () => {
  assert.deepEqual([keeps(kl(tolerances.kl)), keeps(kl(tolerances.kl + 1e-6))], [true, false]);
  assert.deepEqual([keeps({ sqnr: 20 }), keeps({ sqnr: 19.99 })], [true, false]);
  assert.deepEqual([keeps({ sqnr: 5 }, top1(80, 79)), keeps({ sqnr: 50 }, top1(80, 78.9))], [true, false]);
  const quality = (drop: number) => metric('psnr-y', 'dB', 'higher', 30, 30 - drop);
  assert.deepEqual([keeps({ sqnr: 5 }, quality(0.25)), keeps({ sqnr: 50 }, quality(0.35))], [true, false]);
  // Two per cent of 50.
  const perplexity = (rise: number) => metric('perplexity', '', 'lower', 50, 50 + rise);
  assert.deepEqual([keeps(kl(0.01), perplexity(1)), keeps(kl(0.01), perplexity(1.01))], [true, false]);
});

test('one metric that drops is enough, and labels leave twice the divergence', () => {
  assert.equal(keeps(kl(0.01), top1(80, 80), metric('top-5', '%', 'higher', 95, 93)), false);
  assert.deepEqual([keeps(kl(0.04), top1(80, 80)), keeps(kl(0.041), top1(80, 80))], [true, false]);
});

test('of equal sizes the nearer is chosen, and of equal files the first by name', () => {
  assert.equal(chosen([verdict('a', 500, kl(0.015)), verdict('b', 500, kl(0.01))])[0], 'b');
  assert.equal(chosen([verdict('b', 500, kl(0.01)), verdict('a', 500, kl(0.01))])[0], 'a');
});

test('a model that was trained further is judged by its task, not by how unlike the float model it answers', () => {
  const better = verdict('w3a3', 100, kl(0.46), [top1(80.45, 83.55)]);
  assert.match(recommend([better], 600).reason, /^no file keeps the float model's behaviour; w3a3 comes nearest/);
  const { choice, reason } = recommend([better, verdict('float', 600, kl(0.48), [top1(80.45, 85.5)])], 600, {}, { trained: true });
  assert.equal(choice, better);
  assert.equal(reason, 'w3a3 is the smallest file, and all are as good: 6.0 times smaller than float, top-1 83.55 % against 80.45 %, mean KL 0.46, 90.0 % equal first choices');
  const worse = recommend([verdict('w2a2', 80, kl(1), [top1(80.45, 70)])], 600, {}, { trained: true });
  assert.match(worse.reason, /^no file does the task as well as the float model; w2a2 comes nearest/);
  // Without labels there is nothing but the float model to be like.
  assert.match(recommend([verdict('w3a3', 100, kl(0.46))], 600, {}, { trained: true }).reason, /^no file keeps the float model's behaviour/);
});
