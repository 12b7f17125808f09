import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonLines } from '../../src/observe/data/jsonl.ts';

const lines = (...samples: readonly object[]): Uint8Array => new TextEncoder().encode(samples.map((sample) => JSON.stringify(sample)).join('\n'));

test('whole-number inputs of JSON lines refuse fractions and what an exact integer cannot hold', () => {
  for (const value of [1.5, 2 ** 60]) {
    assert.throws(
      () => jsonLines('d.jsonl', lines({ x: [[1, 2]] }, { x: [[3, value]] }), new Set(['x'])),
      { message: `d.jsonl: line 2: x holds ${value}, the model takes whole numbers there` },
    );
    assert.equal(jsonLines('d.jsonl', lines({ x: [[1, value]] })).count, 1);
  }
});
