/** Films of moving digits and the caches that their model is judged with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { klDivergence, logSoftmax } from '../../src/numeric/distribution.ts';
import { cacheArms, held } from '../../src/reproductions/cache-arms.ts';
import { openFilms } from '../../src/reproductions/data/films.ts';
import { film, filmTokens, visualTokens, vocabulary } from '../../src/reproductions/data/moving-digits.ts';

test('a film is 512 patches, three questions and their answers; the same seed draws the same film', () => {
  const { tokens, answers } = film(1, 5);
  assert.equal(visualTokens, 512);
  assert.equal(tokens.length, filmTokens() + 1);
  assert.ok(tokens.every((id) => Number.isInteger(id) && id < vocabulary));
  assert.deepEqual(film(1, 5), { tokens, answers });
  assert.notDeepEqual(film(1, 6).tokens, tokens);
  // Column at the last frame follows from where the digit is at first: a shorter film ends elsewhere, unless it moves up or down.
  assert.deepEqual(film(1, 5, 3).tokens.slice(0, 3 * 64), tokens.slice(0, 3 * 64));
});

test('the film model reads digits, with its cache in float and put back from two bits; one bit changes what it says more', async () => {
  const { watched, cases, close } = await openFilms(4, 0.2);
  const { decoder } = watched;
  let right = 0;
  const moved = { '2 bits': 0, '1 and 1 bit': 0 };
  for (const { tokens, cached, asked: [{ row, among, right: answer }], matching } of cases) {
    decoder.rewind(0);
    decoder.feed(tokens.slice(0, cached));
    const rows = watched.rows(cached);
    const logs = (): Float64Array => {
      decoder.rewind(cached);
      const logits = decoder.feed(tokens.slice(cached), { all: true });
      return logSoftmax(among.map((id) => logits[row * decoder.vocabulary + id]), 0, among.length);
    };
    const float = logs();
    if (among[float.indexOf(Math.max(...float))] === answer) right++;
    assert.equal(matching.length, 96);
    for (const name of ['2 bits', '1 and 1 bit'] as const) {
      watched.put(held(rows, watched.rowShape(cached), cacheArms[name], matching, 0).rows);
      moved[name] += klDivergence(float, logs()) / cases.length;
    }
    watched.put(rows);
    assert.deepEqual(logs(), float);
  }
  await close();
  assert.ok(right >= 3, `${right} of 4`);
  assert.ok(moved['2 bits'] < moved['1 and 1 bit'], JSON.stringify(moved));
});
