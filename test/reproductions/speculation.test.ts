/** The cost model as the reproduction of SpecMQuant uses it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arms, passTime, predicted } from '../../src/reproductions/speculation-arms.ts';
import type { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';

test('times of passes lie on lines between those that were measured, and end with the last', () => {
  const times = new Map([[1, 2], [4, 5], [8, 13]]);
  assert.deepEqual([1, 2, 4, 6, 8, 9].map((tokens) => passTime(times, tokens)), [2, 3, 5, 9, 13, 13]);
});

test('a chain of four at the figures of the card', () => {
  const nothing = {} as LlamaDecoder;
  // Three tokens per pass; a step of the draft takes a twentieth.
  const counts = { rounds: 10, right: 20, guessed: 40, draft: 0, verify: 0 };
  const said = (verify: number): number => predicted(arms['chain of 4'](nothing, nothing), new Map([[1, 1], [5, verify]]), new Map([[1, 0.05]]), counts, undefined);
  assert.ok(Math.abs(said(1) - 2.5) < 1e-12);
  assert.ok(Math.abs(said(2) - 1.3636363636) < 1e-9);
});
