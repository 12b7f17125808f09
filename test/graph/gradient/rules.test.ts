import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradientRules } from '../../../src/graph/gradient/rules.ts';
import { check } from './check.ts';
import { cases } from './cases/index.ts';

for (const item of cases) test(`gradient of ${item.rule}: ${item.name}`, () => check(item));

test('every gradient rule has a case', () => {
  const covered = new Set(cases.map(({ rule }) => rule));
  assert.deepEqual(Object.keys(gradientRules).filter((rule) => !covered.has(rule)), []);
  assert.deepEqual([...covered].filter((rule) => !Object.hasOwn(gradientRules, rule)), []);
});
