import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { catalogue } from '../../src/cli/commands/recipes.ts';
import { storedResults, storeResult, type StoredResult } from '../../src/cli/reproduction-results.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { recipeText } from '../../src/report/recipe-text.ts';
import { reproductions } from '../../src/reproductions/registry.ts';

const folder = mkdtempSync(join(tmpdir(), 'fewbit-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const result: StoredResult = {
  recipe: 'gptq', paper: { title: 'GPTQ', arxiv: '2210.17323' }, claim: 'three bits at little loss', experiment: 'a small model', full: false, seeds: [0, 1], threads: 2, seconds: 61.23456789,
  protocol: { windows: 16 }, notes: ['a note'], arms: [{ name: 'nearest', metrics: { 'KL nats': { mean: 0.123456789, spread: 0.01, runs: 2 } } }],
  checks: [{ name: 'gptq below nearest', expected: 'lower', measured: '0.1 against 0.2', paper: '8.45 against 22.1 perplexity', holds: true }],
  notApplicable: [{ arm: 'state groups of 4', reason: 'the host has one group' }], environment: { fewbit: '0', node: 'v20', platform: 'linux x64', cpu: 'a processor' },
};

test('a result that is kept is shown beside the claim, arms that do not apply with their reason', async () => {
  await storeResult(result, folder);
  await storeResult({ ...result, full: true, seconds: 6000 }, folder);
  const kept = storedResults('gptq', folder);
  assert.deepEqual(kept.map(({ full, seconds }) => [full, seconds]), [[false, 61.23457], [true, 6000]]);
  const [entry] = catalogue(['gptq']).filter(({ name }) => name === 'gptq');
  const text = recipeText(entry, findRecipe('gptq'), kept);
  assert.match(text, /What we measured \(the reduced protocol, a processor, Node v20\); claims are the paper's/);
  assert.match(text, /claim +three bits at little loss/);
  assert.match(text, /protocol +reduced: windows 16/);
  assert.match(text, /holds +gptq below nearest: expected lower; measured 0\.1 against 0\.2; the paper 8\.45 against 22\.1 perplexity/);
  assert.match(text, /not applicable: state groups of 4: the host has one group/);
});

test('results in the repository belong to reproductions, and every failing check says what was found', () => {
  for (const { recipe } of reproductions) {
    for (const kept of storedResults(recipe)) {
      assert.equal(kept.recipe, recipe);
      assert.ok(kept.seconds > 0 && kept.checks.length > 0, recipe);
      for (const { name, holds, finding } of kept.checks) assert.ok(holds || finding !== undefined, `${recipe}: ${name} fails without a finding`);
    }
  }
});
