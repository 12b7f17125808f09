import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOfLine, ofPlain, plainFront } from '../../src/evaluate/plain-line.ts';

const plain = [{ bits: 8, error: 0.001 }, { bits: 4, error: 0.1 }, { bits: 5, error: 0.2 }, { bits: 2, error: 10 }];

test('the line joins what no other plain file beats, straight in the logarithm of the error', () => {
  const front = plainFront(plain);
  assert.deepEqual(front.map(({ bits }) => bits), [2, 4, 8]);
  assert.ok(Math.abs(errorOfLine(front, 3)! - 1) < 1e-12);
  assert.ok(Math.abs(errorOfLine(front, 6)! - 0.01) < 1e-12);
  assert.ok(Math.abs(errorOfLine(front, 4)! - 0.1) < 1e-12);
});

test('above the largest plain file its error stands, below the smallest there is no line', () => {
  const front = plainFront(plain);
  assert.equal(errorOfLine(front, 12), 0.001);
  assert.equal(errorOfLine(front, 1.5), undefined);
  assert.equal(errorOfLine(front, 1.99), 10, 'the same size, but for what a recipe folds');
  assert.equal(ofPlain(front, { bits: 1.5, error: 3 }), undefined);
  assert.equal(ofPlain([], { bits: 4, error: 3 }), undefined);
  assert.ok(Math.abs(ofPlain(front, { bits: 3, error: 0.5 })! - 0.5) < 1e-12);
});
