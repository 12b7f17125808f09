/** Speculative decoding on models that are tables: texts and chances are those of the model alone, whoever guesses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniform } from '../../src/numeric/random.ts';
import { ChainDrafter } from '../../src/runtime/draft-chain.ts';
import { NgramDrafter } from '../../src/runtime/draft-ngram.ts';
import { TreeDrafter } from '../../src/runtime/draft-tree.ts';
import { pathsOf, type BranchingDecoder, type Draft, type Drafter } from '../../src/runtime/draft.ts';
import { distribution, likeliest, sample, type SampleOptions } from '../../src/runtime/sample.ts';
import { acceptedLength, SpeculativeDecoder } from '../../src/runtime/speculate.ts';
import { chainAcceptedLength, chanceOf, predictedSpeedUp, timePerToken } from '../../src/runtime/speculation-cost.ts';

const near = (found: number, expected: number, within = 5e-7): void => assert.ok(Math.abs(found - expected) < within, `${found} for ${expected}`);

/** Logits after a text, by its last two tokens. */
type Table = (before: number, last: number) => Float32Array;
const table = (seed: number, vocabulary: number): Table => {
  const rows = new Map<number, Float32Array>();
  return (before, last) => {
    const key = before * vocabulary + last;
    let row = rows.get(key);
    if (row === undefined) rows.set(key, row = Float32Array.from({ length: vocabulary }, (_, id) => 4 * uniform(seed, key, id)));
    return row;
  };
};
/** Another opinion on the same: `share` of it is noise. */
const blurred = (of: Table, seed: number, vocabulary: number, share: number): Table => {
  const noise = table(seed, vocabulary);
  return (before, last) => of(before, last).map((logit, id) => (1 - share) * logit + share * noise(before, last)[id]);
};

class TableDecoder implements BranchingDecoder {
  readonly context: number = 200;
  readonly together = 32;
  readonly vocabulary: number;
  readonly passes: number[] = [];
  readonly #of: Table;
  #text: number[] = [];
  #tree: readonly number[] = [];

  constructor(of: Table, vocabulary: number) {
    this.#of = of;
    this.vocabulary = vocabulary;
  }

  get position(): number { return this.#text.length; }
  feed(tokens: readonly number[]): Float32Array {
    this.passes.push(tokens.length);
    this.#text.push(...tokens);
    return this.#after(this.#text);
  }
  rewind(position: number): number { return (this.#text.length = Math.min(position, this.#text.length)); }
  branch(tokens: readonly number[], parents: readonly number[]): Float32Array {
    this.passes.push(tokens.length);
    this.#tree = tokens;
    const rows = pathsOf(parents).map((path) => this.#after([...this.#text, ...path.map((at) => tokens[at])]));
    return Float32Array.from(rows.flatMap((row) => [...row]));
  }
  keep(path: readonly number[]): void { for (const at of path) this.#text.push(this.#tree[at]); }
  #after(text: readonly number[]): Float32Array { return this.#of(text.at(-2) ?? 0, text.at(-1)!).slice(); }
}

async function write(decoder: { feed(tokens: readonly number[]): Float32Array | Promise<Float32Array>; prepare?(sampling: SampleOptions): void; readonly offer?: SpeculativeDecoder['offer']; rewind(position: number): number }, prompt: readonly number[], count: number, sampling: SampleOptions = {}): Promise<number[]> {
  decoder.rewind(0);
  decoder.prepare?.(sampling);
  let logits = await decoder.feed(prompt);
  const ids: number[] = [];
  for (;;) {
    ids.push(sample(logits, sampling, ids.length, [], decoder.offer));
    if (ids.length === count) return ids;
    logits = await decoder.feed(ids.slice(-1));
  }
}

test('the cost model gives the values of the card', () => {
  near(timePerToken({ acceptedLength: 3, passes: 4, draft: 0.05, verify: 1 }), 0.4);
  near(predictedSpeedUp({ acceptedLength: 3, passes: 4, draft: 0.05, verify: 1 }), 2.5);
  near(timePerToken({ acceptedLength: 3, passes: 4, draft: 0.05, verify: 2 }), 0.7333333);
  near(predictedSpeedUp({ acceptedLength: 3, passes: 4, draft: 0.05, verify: 2 }), 1.3636364);
  near(chainAcceptedLength(0.8, 6), 3.951424);
  near(chainAcceptedLength(0.6, 4), 2.3056);
  assert.equal(chainAcceptedLength(1, 4), 5);
  near(chanceOf(3.951424, 6), 0.8);
});

test('the paths of trees are the rows of their masks', () => {
  const masks = (parents: readonly number[]): number[] => pathsOf(parents).map((path) => path.reduce((bits, at) => bits | (1 << at), 0));
  assert.deepEqual(masks([-1, 0, 0, 1]), [0b0001, 0b0011, 0b0101, 0b1011]);
  assert.deepEqual(masks([-1, 0, 1, 2, 3]), [0, 1, 2, 3, 4].map((i) => 2 ** (i + 1) - 1));
});

test('n-grams: what followed before, the longest match and the latest place first, merged into a tree', () => {
  const text = [1, 2, 3, 4, 9, 2, 3, 5, 6, 1, 2, 3];
  const options = { tokens: 8, sampling: {} };
  assert.deepEqual(new NgramDrafter({ depth: 3 }).draft(text, options), { tokens: [4, 9, 2], parents: [-1, 0, 1] });
  assert.deepEqual(new NgramDrafter({ depth: 2, places: 2 }).draft(text, options), { tokens: [4, 9, 5, 6], parents: [-1, 0, -1, 2] });
  assert.deepEqual(new NgramDrafter({ depth: 9, places: 2 }).draft(text, { ...options, tokens: 5 }).tokens.length, 5);
  assert.deepEqual(new NgramDrafter().draft([1, 2, 3], options), { tokens: [], parents: [] });
});

/** Guesses what the model will say for a list of lengths, then something else. */
class Oracle implements Drafter {
  readonly #truth: readonly number[];
  readonly #lengths: number[];
  constructor(truth: readonly number[], lengths: readonly number[]) { this.#truth = truth; this.#lengths = [...lengths]; }
  draft(text: readonly number[]): Draft {
    const right = this.#truth.slice(text.length, text.length + (this.#lengths.shift() ?? 0));
    const tokens = [...right, (this.#truth[text.length + right.length] + 1) % 8];
    return { tokens, parents: tokens.map((_, i) => i - 1) };
  }
}

test('two levels: rounds of 3, 2 and 2 tokens make a draft of 7 that the model reads in a pass of 8; 2 tokens or 1 are pending then', async () => {
  const of = table(1, 8);
  const truth = [1, ...await write(new TableDecoder(of, 8), [1], 40)];
  for (const [wrongAt, accepted, pending] of [[undefined, 7, 2], [3, 3, 1]] as const) {
    // The small model says what the large one says, but for one place.
    let asked = 0;
    const small = new TableDecoder(of, 8);
    const draft = new SpeculativeDecoder(small, new Oracle(truth, [2, 1, 1]));
    const chain = new ChainDrafter(draft, 6);
    const target = new TableDecoder(of, 8);
    const outer = new SpeculativeDecoder(target, {
      async draft(text, options) {
        if (asked++ > 0) return chain.draft(text, options);
        const found = await chain.draft(text, options);
        assert.equal(found.tokens.length, 7);
        assert.equal(draft.counts.rounds, 3);
        near(acceptedLength(draft.counts), 7 / 3);
        return wrongAt === undefined ? found : { ...found, tokens: found.tokens.map((id, i) => (i === wrongAt ? (id + 1) % 8 : id)) };
      },
    }, { tokens: 9 });
    let fed = 0;
    await outer.feed([truth[fed++]]);
    assert.equal(target.passes.at(-1), 8);
    let right = 0;
    while (outer.holds(truth[fed])) {
      await outer.feed([truth[fed++]]);
      right++;
    }
    assert.equal(right, accepted);
    // With the token of the model itself: 8 new ones, or 4. The next draft begins with what the small model has not read.
    const before = small.passes.length;
    await outer.feed([truth[fed++]]);
    assert.equal(small.passes[before], pending + 1, 'what is pending, and one guess of the oracle');
    assert.equal(outer.position, fed);
  }
});

const drafters = (of: Table, vocabulary: number, share: number): Record<string, () => Drafter> => {
  const small = (seed = 7): TableDecoder => new TableDecoder(blurred(of, seed, vocabulary, share), vocabulary);
  return {
    'n-grams': () => new NgramDrafter({ least: 1 }),
    'a tree of n-grams': () => new NgramDrafter({ least: 1, places: 3 }),
    'a chain': () => new ChainDrafter(small(), 4),
    'a tree': () => new TreeDrafter(small(), { passes: 3, width: 3 }),
    'two levels, n-grams below': () => new ChainDrafter(new SpeculativeDecoder(small(), new NgramDrafter({ least: 1, places: 2 })), 5),
    'two levels, a tree below': () => new ChainDrafter(new SpeculativeDecoder(small(), new TreeDrafter(small(8), { passes: 2, width: 2 })), 5),
    'two levels, a chain below': () => new ChainDrafter(new SpeculativeDecoder(small(), new ChainDrafter(small(8), 3, 2)), 5),
  };
};

test('the likeliest tokens: the text of the model alone, token for token, in fewer passes', async () => {
  const [of, count] = [table(3, 20), 150];
  const expected = await write(new TableDecoder(of, 20), [4, 5], count);
  for (const [name, make] of Object.entries(drafters(of, 20, 0.2))) {
    const target = new TableDecoder(of, 20);
    const decoder = new SpeculativeDecoder(target, make());
    assert.deepEqual(await write(decoder, [4, 5], count), expected, name);
    assert.ok(target.passes.length < count && acceptedLength(decoder.counts) > 1.2, `${name}: ${target.passes.length} passes`);
  }
});

test('a draft that chance does not choose leaves even drawn texts as they were', async () => {
  const of = table(3, 20);
  for (const name of ['n-grams', 'a tree of n-grams', 'a tree']) {
    for (let seed = 0; seed < 5; seed++) {
      const sampling = { temperature: 0.8, topP: 0.9, seed };
      assert.deepEqual(await write(new SpeculativeDecoder(new TableDecoder(of, 20), drafters(of, 20, 0.3)[name]()), [4, 5], 60, sampling), await write(new TableDecoder(of, 20), [4, 5], 60, sampling));
    }
  }
});

test('drawn texts follow the chances of the model: χ² of 20,000 texts of three tokens, guessed by one model, and by one that is guessed for itself', async () => {
  const [vocabulary, draws] = [4, 20_000];
  const of = table(5, vocabulary);
  const sampling = { temperature: 0.9 };
  const chances = (before: number, last: number): number[] => {
    const found = new Array<number>(vocabulary).fill(0);
    for (const { id, probability } of distribution(of(before, last), sampling)) found[id] = probability;
    return found;
  };
  for (const name of ['a chain', 'two levels, a chain below']) {
    const decoder = new SpeculativeDecoder(new TableDecoder(of, vocabulary), drafters(of, vocabulary, 0.5)[name]());
    const counts = new Array<number>(vocabulary ** 3).fill(0);
    for (let seed = 0; seed < draws; seed++) {
      const [a, b, c] = await write(decoder, [0, 1, 2, 1], 3, { ...sampling, seed });
      counts[(a * vocabulary + b) * vocabulary + c]++;
    }
    let statistic = 0;
    for (let a = 0; a < vocabulary; a++) {
      for (let b = 0; b < vocabulary; b++) {
        for (let c = 0; c < vocabulary; c++) {
          const expected = draws * chances(2, 1)[a] * chances(1, a)[b] * chances(a, b)[c];
          statistic += (counts[(a * vocabulary + b) * vocabulary + c] - expected) ** 2 / expected;
        }
      }
    }
    assert.ok(statistic < 103.4, `${name}: χ² ${statistic} at 63 degrees of freedom; 103.4 is passed once in a thousand`);
    assert.ok(decoder.counts.right > 0.2 * draws, `${name}: ${decoder.counts.right} guesses taken`);
  }
});

test('likeliest and drawn guesses go back over the end of the context', async () => {
  const of = table(3, 20);
  const decoder = new SpeculativeDecoder(new TableDecoder(of, 20), new ChainDrafter(new TableDecoder(of, 20), 6));
  const expected = await write(new TableDecoder(of, 20), [4], 200);
  assert.deepEqual(await write(decoder, [4], 200), expected);
  decoder.rewind(50);
  assert.equal(likeliest(await decoder.feed([expected[49]])), expected[50]);
});
