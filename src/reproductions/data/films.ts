/** Hosts whose caches are judged: the film model that comes with the repository, with films and questions, and the language model with windows of text. */
import { readFloats } from '../../files/values.ts';
import { openLanguageModel } from '../../models/language-model.ts';
import type { LlamaConfig } from '../../models/llama-config.ts';
import { embeddingName } from '../../models/llama-weights.ts';
import { openTokenizer } from '../../models/tokenizer.ts';
import { matchingTokens } from '../../runtime/vidkv.ts';
import { openWatched, type WatchedDecoder } from '../watched-caches.ts';
import { answersOf, film, filmTokens, questions, questionTokens, visualTokens } from './moving-digits.ts';
import { openFolder, own, readText } from './own-node.ts';

/** Tokens of which the first `cached` go into the cache that is judged, and what is asked of those after them. */
export interface CacheCase {
  readonly tokens: readonly number[];
  readonly cached: number;
  /** Cached tokens to protect, where a text asks for some. */
  readonly matching: readonly number[];
  /** Rows after the cached ones whose logits count, the ids that may answer, and which of them is right. */
  readonly asked: readonly { readonly row: number; readonly among: readonly number[]; readonly right: number }[];
}

export interface CacheHost {
  readonly watched: WatchedDecoder;
  readonly cases: readonly CacheCase[];
  close(): Promise<void>;
}

/** Films that training did not see, with all questions. */
export async function openFilms(count: number, share: number): Promise<CacheHost> {
  const model = await openLanguageModel(await openFolder(own('moving-digits')));
  const config = model.config as LlamaConfig;
  const table = await readFloats(model.tensors.get(embeddingName)!);
  const embedding = (id: number): Float32Array => table.subarray(id * config.hiddenSize, (id + 1) * config.hiddenSize);
  const text = questionTokens.map(embedding);
  return {
    watched: await openWatched(config, model.tensors, filmTokens()),
    cases: Array.from({ length: count }, (_, i) => {
      const { tokens, answers } = film(3, i);
      return {
        tokens: tokens.slice(0, filmTokens()), cached: visualTokens, matching: matchingTokens(tokens.slice(0, visualTokens).map(embedding), text, share),
        asked: questions.map((_, q) => ({ row: 2 * q, among: answersOf(q), right: answersOf(q)[answers[q]] })),
      };
    }),
    close: () => model.close(),
  };
}

/** Held-out windows of 256 tokens, the last 32 of which are judged; any token may follow. */
export async function openText(count: number): Promise<CacheHost> {
  const model = await openLanguageModel(await openFolder(own('host-llama-shakespeare')));
  const config = model.config as LlamaConfig;
  const ids = openTokenizer(model.tokenizer!).encode(await readText(own('shakespeare/heldout.txt')), { addSpecialTokens: false });
  const [window, judged] = [256, 32];
  const vocabulary = Array.from({ length: config.vocabSize }, (_, id) => id);
  const there = Math.floor((ids.length - 1) / window);
  return {
    watched: await openWatched(config, model.tensors, window),
    cases: Array.from({ length: count }, (_, i) => {
      const at = Math.floor((i * there) / count) * window;
      return {
        tokens: ids.slice(at, at + window), cached: window - judged, matching: [],
        asked: Array.from({ length: judged }, (_, row) => ({ row, among: vocabulary, right: ids[at + window - judged + row + 1] })),
      };
    }),
    close: () => model.close(),
  };
}
