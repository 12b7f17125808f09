import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Linear } from '../../src/graph/linear.ts';
import { isTooShort, keepsFloat, matches } from '../../src/jobs/keep.ts';

test('stars stand for anything, everything else for itself', () => {
  assert.ok(matches('model.layers.*.down_proj.weight', 'model.layers.12.mlp.down_proj.weight'));
  assert.ok(matches('*', ''));
  assert.ok(matches('a*b*c', 'a-b-b-c'));
  assert.ok(!matches('a*b*c', 'a-c-b'));
  assert.ok(!matches('ab*ba', 'aba'), 'head and tail may not overlap');
  assert.ok(!matches('conv.1', 'convx1'), 'a dot is a dot');
});

test('a pattern with many stars answers at once', () => {
  const started = performance.now();
  assert.ok(!matches('*a'.repeat(200), 'a'.repeat(20_000) + 'b'));
  assert.ok(performance.now() - started < 500);
});

test('a layer is kept by the name of its weight or of its node', () => {
  assert.ok(keepsFloat('head.weight', 'Gemm_7', ['Gemm_*']));
  assert.ok(keepsFloat('head.weight', '', ['head.*']));
  assert.ok(!keepsFloat('head.weight', '', ['']));
});

test('taps of a convolution over time stay float where a scale takes as much as they do', () => {
  const site = { kind: 'Conv', kernel: [4], groups: 640, rows: 640, cols: 4 } as unknown as Linear;
  assert.ok(isTooShort(site, { bits: 4 }));
  assert.ok(!isTooShort(site, { bits: 8 }));
  assert.ok(!isTooShort({ ...site, kernel: [3, 3], cols: 9 }, { bits: 2 }), 'images have few channels and need every layer');
  assert.ok(!isTooShort({ ...site, groups: 1, cols: 160 }, { bits: 4 }));
});
