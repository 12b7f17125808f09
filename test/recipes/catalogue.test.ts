/** The catalogue of papers says of each what it claims, and what was measured of it or why nothing was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogue } from '../../src/cli/commands/recipes.ts';
import { storedResults } from '../../src/cli/reproduction-results.ts';
import { papers, publishedOf } from '../../src/recipes/catalogue.ts';
import { compared, effectOf, effectText } from '../../src/recipes/catalogue-effects.ts';
import { unmeasured } from '../../src/recipes/catalogue-unmeasured.ts';
import type { Arm } from '../../src/reproductions/reproduction.ts';
import { atomFeed } from '../../studio/feed.ts';

const kept = new Map(papers.map(({ name }) => [name, storedResults(name)]));

test('every paper has a claim, and either a measurement or the reason why there is none', () => {
  assert.equal(papers.length, 56);
  for (const { name } of papers) {
    const entry = catalogue([name]).find((one) => one.name === name)!;
    assert.ok((entry.claim ?? '').length > 40, `${name}: no claim`);
    const measured = kept.get(name)!.length > 0;
    assert.ok(measured !== name in unmeasured, measured ? `${name} is measured now: take it out of catalogue-unmeasured.ts` : `${name}: neither measured nor a reason in catalogue-unmeasured.ts`);
    assert.equal(entry.reason === undefined, measured, name);
  }
  assert.deepEqual(Object.keys(unmeasured).filter((name) => !papers.some((paper) => paper.name === name)), []);
});

test('reasons are sentences of their own', () => {
  const reasons = Object.values(unmeasured).map(({ reason }) => reason);
  assert.equal(new Set(reasons).size, reasons.length);
  for (const { claim, reason } of Object.values(unmeasured)) for (const text of [claim, reason]) assert.match(text, /^[A-Z].{30,}\.$/);
});

test('every measured paper has an effect, of arms that its result holds', () => {
  for (const { name } of papers) {
    if (kept.get(name)!.length === 0) continue;
    for (const result of kept.get(name)!) {
      const effect = effectOf(name, result.arms);
      assert.ok(effect !== undefined && Number.isFinite(effect.share), `${name}: catalogue-effects.ts names no arms of its result`);
    }
  }
  assert.deepEqual(Object.keys(compared).filter((name) => (kept.get(name) ?? []).length === 0), []);
});

test('an effect is the share of the plain loss that is taken back, or of its time', () => {
  const arms = (recipe: string, ours: number, plain: number, float?: number): Arm[] => {
    const { metric, arm, plain: other, float: reference } = compared[recipe];
    const one = (name: string, key: string, mean: number): Arm => ({ name, metrics: { [key]: { mean, spread: 0, runs: 1 } } });
    return [one(arm, metric, ours), one(other, metric, plain), ...(float === undefined ? [] : [one(reference!.arm, reference!.metric ?? metric, float)])];
  };
  // 1 − 0.05 / 0.2; of accuracies 1 − (80 − 78) / (80 − 70); at half the speed as much time again.
  const [error, accuracy, speed] = [effectOf('arcquant', arms('arcquant', 0.05, 0.2))!, effectOf('genie', arms('genie', 78, 70, 80))!, effectOf('specmquant', arms('specmquant', 50, 100))!];
  for (const [effect, share] of [[error, 0.75], [accuracy, 0.8], [speed, -1]] as const) assert.ok(Math.abs(effect.share - share) < 1e-12);
  assert.match(effectText(error), /^KL, nats 0\.05 instead of 0\.2 .*: takes back 75 % of the loss$/);
  assert.match(effectText(accuracy), /78 instead of 70, float 80 .*: takes back 80 % of the loss$/);
  assert.match(effectText(speed), /: 100 % more time$/);
  assert.equal(effectOf('arcquant', []), undefined);
});

test('papers whose day is unknown have the month of their number', () => {
  assert.equal(publishedOf({ published: '2025-01-23', arxiv: '2501.13484' }), '2025-01-23');
  assert.equal(publishedOf({ published: null, arxiv: '2602.02110' }), '2026-02');
  assert.equal(publishedOf({ published: null, arxiv: null }), '');
});

test('the feed says of every paper what it claims and what came of it', () => {
  const feed = atomFeed([...kept.values()].flatMap((results) => results.slice(-1)));
  const entries = feed.split('<entry>').slice(1);
  assert.equal(entries.length, 56);
  for (const entry of entries) assert.match(entry, /The claim: .*(checks held in our reproduction|Not measured here: )/);
  const dates = entries.map((entry) => /<updated>([^<]*)/.exec(entry)![1]);
  assert.deepEqual(dates, dates.toSorted().reverse());
  assert.match(dates.join(), /^(\d{4}-\d\d-\d\dT00:00:00Z,?)+$/);
  // Where both protocols were run, in whatever order they are read, that of the paper speaks.
  for (const order of [[...kept.values()].flat(), [...kept.values()].flatMap((results) => results.toReversed())]) assert.equal(atomFeed(order), feed);
});
