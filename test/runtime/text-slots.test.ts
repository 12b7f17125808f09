/** Drafts and parallel texts on trained models: every text is the one that the model writes alone. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/jobs/run-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import { byteTokenizer } from '../../src/models/byte-tokenizer.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import { initialLlama } from '../../src/models/llama-init.ts';
import { jsonConstraint } from '../../src/runtime/constrain.ts';
import type { Generated, GenerateOptions } from '../../src/runtime/generate.ts';
import { anyObject } from '../../src/runtime/json-schema.ts';
import { inBlocks, openTextModel, type TextModel, type TextModelOptions } from '../../src/runtime/text-model.ts';
import { memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { all } from './outputs.ts';

const asset = (name: string): string => fileURLToPath(new URL(`../../assets/${name}`, import.meta.url));
const [host, small] = [await openSource(asset('host-llama-shakespeare')), await openSource(asset('draft-llama-shakespeare'))];
after(() => Promise.all([host.close(), small.close()]));

/** Encoded once for all that open it. */
async function inMemory(model: LanguageModel): Promise<LanguageModel> {
  const encoded = [...model.tensors].map(async ([name, tensor]): Promise<[string, TensorRef]> => {
    const { type, shape, read } = inBlocks(tensor, 'q4_0');
    return [name, memoryTensor(name, type, shape, await read())];
  });
  return { ...model, tensors: new Map(await Promise.all(encoded)) };
}

const [large, little] = [await inMemory(host.language!), await inMemory(small.language!)];
const open = (options: TextModelOptions = {}): Promise<TextModel> => openTextModel(large, { context: 96, ...options });

const cases: readonly (readonly [prompt: string, options: GenerateOptions])[] = [
  ['ROMEO:\n', { maxTokens: 60 }], ['ROMEO:\nWhat', { maxTokens: 40, stop: ['the'] }], ['KING RICHARD III:\n', { maxTokens: 500 }], ['O', { maxTokens: 30, repetitionPenalty: 1.3 }],
];
const plain = await open();
const expected: Generated[] = [];
for (const [prompt, options] of cases) expected.push(await all(plain.write(prompt, options)));

const drafts: Record<string, TextModelOptions> = {
  'n-grams': { drafts: ['ngram'] }, 'a small model': { drafts: [little] }, 'a tree of the small model': { drafts: [little], draftTree: true },
  'a small model guessed for by n-grams': { drafts: [little, 'ngram'], draftTokens: 5 }, 'a small model guessed for by itself': { drafts: [little, little], draftTokens: 3 },
};

for (const [name, options] of Object.entries(drafts)) {
  test(`guesses of ${name} change no token of a text, and need fewer passes`, async () => {
    const model = await open(options);
    for (const [i, [prompt, given]] of cases.entries()) {
      const found = await all(model.write(prompt, given));
      assert.deepEqual([found.ids, found.text, found.end], [expected[i].ids, expected[i].text, expected[i].end]);
      const report = (await model.speculation())!;
      if (i === 0) assert.ok(report.acceptedLength > (name === 'n-grams' ? 1.1 : 1.8) && report.passes < 55 && report.seconds.step > 0, JSON.stringify(report));
    }
    assert.deepEqual((await all(model.write(...cases[0]))).ids, expected[0].ids);
  });
}

for (const cache of ['int8', 'int4'] as const) {
  test(`the same with a cache of ${cache}`, async () => {
    const [alone, guessed] = [await open({ cache }), await open({ cache, ...drafts['a small model guessed for by n-grams'] })];
    for (const [prompt, given] of cases.slice(2)) assert.deepEqual((await all(guessed.write(prompt, given))).ids, (await all(alone.write(prompt, given))).ids);
  });
}

test('drawn texts under a constraint keep their form', async () => {
  const model = await open({ drafts: [little] });
  for (let seed = 0; seed < 3; seed++) {
    const { text, end } = await all(model.write('ROMEO:', { maxTokens: 40, temperature: 1, seed, constraint: jsonConstraint(model.tokenizer, anyObject) }));
    assert.equal(end, 'complete');
    assert.equal(typeof JSON.parse(text), 'object');
  }
});

test('texts that are written at the same time share products, and are those of each alone; one that is cancelled leaves the others whole', async () => {
  for (const options of [{}, drafts['a small model']]) {
    const model = await open({ sequences: 3, ...options });
    for (let round = 0; round < 2; round++) {
      const found = await Promise.all(cases.slice(0, 3).map(([prompt, given]) => all(model.write(prompt, given))));
      assert.deepEqual(found.map(({ ids }) => ids), expected.slice(0, 3).map(({ ids }) => ids));
      if (round === 1) assert.deepEqual(found.map(({ promptTokens, cachedTokens }) => promptTokens - cachedTokens), [1, 1, 1], 'each goes where its beginning is held');
    }
    const abort = new AbortController();
    const pieces = model.write('O', { maxTokens: 100, signal: abort.signal });
    const others = Promise.all(cases.slice(0, 2).map(([prompt, given]) => all(model.write(prompt, given))));
    await pieces.next();
    abort.abort();
    assert.equal((await all(pieces)).end, 'cancelled');
    assert.deepEqual((await others).map(({ ids }) => ids), expected.slice(0, 2).map(({ ids }) => ids));
    await assert.rejects(Promise.all([all(model.generate([1, 9999])), all(model.write('word '.repeat(200)))]), /outside of the vocabulary|do not fit/);
    assert.deepEqual((await all(model.write(...cases[0]))).ids, expected[0].ids);
  }
});

test('one text more than there are places takes that of the oldest, which is told so and writes nothing wrong', async () => {
  for (const sequences of [1, 2]) {
    const model = await open({ sequences });
    const texts = cases.slice(0, sequences + 1);
    const found = await Promise.allSettled(texts.map(([prompt, given]) => all(model.write(prompt, given))));
    assert.equal(found[0].status === 'rejected' ? found[0].reason.code : 'written', 'texts.taken');
    assert.deepEqual(found.slice(1).map((one) => (one.status === 'fulfilled' ? one.value.ids : one.reason)), expected.slice(1, sequences + 1).map(({ ids }) => ids));
    // One that was left in the middle keeps its place from nobody.
    const left = Array.from({ length: sequences }, (_, i) => model.write(...cases[i]));
    for (const one of left) await one.next();
    assert.deepEqual((await all(model.write(...cases[0]))).ids, expected[0].ids);
    await assert.rejects(all(left[0]), { code: 'texts.taken' });
    assert.deepEqual((await all(model.write(...cases[1]))).ids, expected[1].ids);
  }
});

test('fewbit run tells what guesses brought; drafts that cannot guess are refused in one line', async () => {
  const request = { model: asset('host-llama-shakespeare'), prompt: 'ROMEO:\n', threads: 1, weights: 'q4_0', context: 96, maxTokens: 40 };
  const { ids, speculation } = await run({ ...request, draft: [asset('draft-llama-shakespeare'), 'ngram'] });
  assert.deepEqual(ids, expected[0].ids.slice(0, 40));
  assert.ok(speculation!.acceptedLength > 1.5 && speculation!.innerAcceptedLengths.length === 1 && speculation!.speedUp > 0);
  await assert.rejects(run({ ...request, draft: ['ngram', asset('draft-llama-shakespeare')] }), /n-grams need no guesses/);
  const other = initialLlama('bytes', { vocabulary: 256, hidden: 32, intermediate: 32, layers: 1, heads: 1, context: 64 }, { tokenizer: byteTokenizer(64) });
  await assert.rejects(open({ drafts: [other] }), /bytes cannot guess for host-llama-shakespeare: their tokens differ/);
});
