/** The catalogue in Chromium: found by words, sorted by what was measured, used by keyboard; and experiments that run in the page, whose checks are those of the kept results. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { storedResults } from '../src/cli/reproduction-results.ts';
import { papers } from '../src/recipes/catalogue.ts';
import { effectOf } from '../src/recipes/catalogue-effects.ts';
import { unmeasured } from '../src/recipes/catalogue-unmeasured.ts';
import { openStudio, seriousFindings, type Studio } from './studio-page.ts';

let studio: Studio;
before(async () => { studio = await openStudio(); });
after(async () => { await studio?.close(); });

async function opened(): Promise<{ readonly page: Page; close(): Promise<void> }> {
  const { page, close } = await studio.page();
  await page.getByRole('link', { name: 'Methods', exact: true }).click();
  await page.getByRole('heading', { name: 'Methods', exact: true }).waitFor();
  return { page, close };
}

const entries = (page: Page): Locator => page.locator('ul.papers > li');

test('papers are sorted by measured effect, filtered by kind, and found by words of claims and reasons', async () => {
  const { page, close } = await opened();
  const shares = new Map(papers.flatMap(({ name, title }) => {
    const result = storedResults(name).at(-1);
    return result === undefined ? [] : [[title, effectOf(name, result.arms)!.share] as const];
  }));
  await page.getByLabel('Order').selectOption('effect');
  const titles = await entries(page).locator('h2').allTextContents();
  const found = titles.slice(0, shares.size).map((title) => shares.get(title)!);
  assert.deepEqual(found, found.toSorted((a, b) => b - a));
  await page.getByLabel('Order').selectOption('date');
  const dates = (await entries(page).locator('p.hint:first-of-type, p.hint').allTextContents()).flatMap((text) => /\d{4}-\d\d(-\d\d)?/.exec(text)?.[0] ?? []);
  assert.deepEqual(dates, dates.toSorted().reverse());
  await page.getByLabel('Show').selectOption('rest');
  assert.equal(await entries(page).count(), Object.keys(unmeasured).length);
  await page.getByLabel('Show').selectOption('all');
  await page.getByRole('searchbox').fill('four roots of unity bitnet');
  assert.equal(await entries(page).count(), 1);
  await page.getByText(unmeasured.ifairy.reason).waitFor();
  await close();
});

test('by keyboard alone: search, open what was measured, choose a metric; and nothing serious for screen readers', async () => {
  const { page, close } = await opened();
  await page.getByRole('searchbox').focus();
  await page.keyboard.type('arcquant');
  const tabTo = async (wanted: () => Promise<boolean>): Promise<void> => {
    for (let presses = 0; presses < 12; presses++) {
      await page.keyboard.press('Tab');
      if (await wanted()) return;
    }
    assert.fail('not reached by the Tab key');
  };
  const focused = (expression: string): () => Promise<boolean> => () => page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, expression);
  await tabTo(focused('details.measured > summary'));
  await page.keyboard.press('Enter');
  await page.getByRole('img', { name: /of the arms of arcquant/ }).locator('svg').waitFor();
  await tabTo(focused('ul.papers select'));
  const before = await page.locator('ul.papers select').inputValue();
  await page.keyboard.press('ArrowDown');
  assert.notEqual(await page.locator('ul.papers select').inputValue(), before);
  await tabTo(focused('.scroll'));
  await tabTo(async () => (await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))) === 'Run it here: arcquant');
  await page.getByText('Measured effects of those found').click();
  await page.getByRole('searchbox').fill('4 bit');
  await page.getByRole('img', { name: /^measured effects: / }).locator('svg').waitFor();
  await page.locator('details.measured:not([open]) > summary').first().click();
  await page.getByRole('img', { name: /of the arms of/ }).first().locator('svg').waitFor();
  assert.deepEqual(await seriousFindings(page), []);
  await close();
});

/** By name of check: what the page measured, and whether it holds. */
async function ranHere(page: Page, name: string): Promise<ReadonlyMap<string, { readonly measured: string; readonly holds: boolean }>> {
  await page.getByRole('searchbox').fill(name);
  await page.getByRole('button', { name: `Run it here: ${name}` }).click();
  const table = page.getByRole('region', { name: `checks of ${name} in this page` });
  await table.waitFor({ timeout: 900_000 });
  const rows = await table.locator('tbody tr').evaluateAll((all) => all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.firstChild?.textContent ?? '')));
  return new Map(rows.map(([check, , measured, holds]) => [check, { measured, holds: holds === 'yes' }]));
}

for (const { name, least } of [{ name: 'quantvggt', least: 3 }, { name: 'svdquant', least: 8 }, { name: 'q-palette', least: 12 }]) {
  test(`${name} runs in the page: its checks hold and fail as the kept ones do`, async () => {
    const { page, close } = await opened();
    const here = await ranHere(page, name);
    const kept = storedResults(name)[0].checks;
    assert.ok(here.size >= least, `${here.size} checks`);
    for (const [check, { measured, holds }] of here) {
      const other = kept.find((one) => one.name === check);
      assert.ok(other !== undefined, `${check} is not among the kept checks`);
      assert.equal(holds, other.holds, `${check}: ${measured} here, ${other.measured} kept`);
      // What is drawn from seeds and rounded alike is the same to the last digit that is shown.
      if (name === 'quantvggt') assert.equal(measured, other.measured, check);
    }
    await page.getByText('short protocol of this page').waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    await close();
  });
}
