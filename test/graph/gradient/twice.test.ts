import { test } from 'node:test';
import { checkTwice, type Case } from './check.ts';
import { cases } from './cases/index.ts';

/** First and last case of each rule: each is slower than the gradient itself by far. */
const sound = cases.filter(({ noSecond }) => noSecond === undefined);
const chosen = sound.filter((item: Case) => {
  const same = sound.filter(({ rule }) => rule === item.rule);
  return item === same[0] || item === same.at(-1);
});

for (const item of chosen) test(`second derivative of ${item.rule}: ${item.name}`, () => checkTwice(item));
