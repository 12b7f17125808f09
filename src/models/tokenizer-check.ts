/**
 * tokenizer.json from files nobody vouches for: the shape that the library relies on, and limits on what would make
 * it hang or run out of memory. Whether the parts fit together is the library's business.
 */
import { defineErrors } from '../errors.ts';

/** The largest published vocabularies have about 260 000 entries. */
const maxTokens = 1 << 22;
/** Published patterns stay below 500 characters. */
const maxPattern = 2000;
/** Repetitions without a bound in one alternative: n of them take up to the n-th power of a text's length; published patterns have two. */
const maxRepetitions = 3;
/** Published normalizers have up to five steps. */
const maxSteps = 64;
/** Product of the lengths that replacements may multiply a text by. */
const maxGrowth = 4096;

const errors = defineErrors('tokenizer', {
  part: (f: { part: string; expected: string }) => `tokenizer.json: ${f.part} must be ${f.expected}`,
  configPart: (f: { part: string; expected: string }) => `tokenizer_config.json: ${f.part} must be ${f.expected}`,
  model: (f: { type: string }) => [`tokenizer.json: unknown model type ${f.type}`, 'known: BPE, Unigram, WordPiece'] as const,
  id: (f: { token: string; id: string }) => `tokenizer.json: token ${f.token} has id ${f.id}, must be a whole number below ${maxTokens}`,
  sharedId: (f: { token: string; id: number }) => `tokenizer.json: token ${f.token} has id ${f.id}, which another token has too`,
  merge: (f: { index: number; found: string }) => `tokenizer.json: merge ${f.index}, ${f.found}, is not a pair of tokens of the vocabulary`,
  pattern: (f: { pattern: string; reason: string }) => `tokenizer.json: pattern ${f.pattern} ${f.reason}`,
  steps: (f: { part: string; steps: number }) => `tokenizer.json: ${f.part} has ${f.steps} steps, at most ${maxSteps} are allowed`,
  growth: (f: { part: string }) => `tokenizer.json: ${f.part} lengthens a text more than ${maxGrowth} times`,
});

type Part = Readonly<Record<string, unknown>>;
const isPart = (value: unknown): value is Part => typeof value === 'object' && value !== null && !Array.isArray(value);
const shown = (value: unknown): string => (JSON.stringify(value) ?? 'undefined').slice(0, 60);
const isId = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < maxTokens;

/** Throws one `tokenizer.*` error for the first thing that is wrong; gives the largest token id + 1. */
export function checkTokenizer(tokenizer: Part, config: Part = {}): number {
  const { model } = tokenizer;
  const also = config.additional_special_tokens ?? [];
  if (!Array.isArray(also)) throw errors.configPart({ part: 'additional_special_tokens', expected: 'a list' });
  if (!isPart(model)) throw errors.part({ part: 'model', expected: 'an object' });
  const type = model.type ?? (Array.isArray(model.vocab) ? 'Unigram' : 'BPE');
  let size: number;
  switch (type) {
    case 'BPE': size = checkVocabulary(model.vocab); checkMerges(model); break;
    case 'WordPiece': size = checkVocabulary(model.vocab); break;
    case 'Unigram': size = checkPieces(model); break;
    default: throw errors.model({ type: shown(type) });
  }
  for (const part of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder']) {
    const step = tokenizer[part] ?? null;
    if (step !== null) checkSteps(part, step);
  }
  return Math.max(size, checkAdded(tokenizer.added_tokens ?? []));
}

function checkVocabulary(vocab: unknown): number {
  if (!isPart(vocab)) throw errors.part({ part: 'model.vocab', expected: 'an object of tokens and ids' });
  const taken = new Set<number>();
  let size = 0;
  for (const token in vocab) {
    const id = vocab[token];
    if (!isId(id)) throw errors.id({ token: shown(token), id: shown(id) });
    if (taken.has(id)) throw errors.sharedId({ token: shown(token), id });
    taken.add(id);
    size = Math.max(size, id + 1);
  }
  if (size === 0) throw errors.part({ part: 'model.vocab', expected: 'an object of tokens and ids' });
  return size;
}

function checkMerges({ merges, vocab, continuing_subword_prefix: prefix }: Part): void {
  if (!Array.isArray(merges)) throw errors.part({ part: 'model.merges', expected: 'a list of pairs' });
  const tokens = vocab as Part;
  const inPairs = Array.isArray(merges[0]);
  merges.forEach((merge: unknown, index) => {
    const pair: unknown = !inPairs && typeof merge === 'string' ? merge.split(' ') : merge;
    const fits = Array.isArray(pair) && pair.length === 2 && inPairs === Array.isArray(merge)
      && pair.every((half) => typeof half === 'string' && Object.hasOwn(tokens, half))
      && (typeof prefix === 'string' && prefix !== '' || Object.hasOwn(tokens, `${pair[0]}${pair[1]}`));
    if (!fits) throw errors.merge({ index, found: shown(merge) });
  });
}

function checkPieces({ vocab, unk_id: unknown }: Part): number {
  const expected = 'a list of pairs of piece and score';
  if (!Array.isArray(vocab) || vocab.length === 0 || vocab.length > maxTokens) throw errors.part({ part: 'model.vocab', expected });
  for (const piece of vocab as unknown[]) {
    if (!Array.isArray(piece) || piece.length !== 2 || typeof piece[0] !== 'string' || typeof piece[1] !== 'number') throw errors.part({ part: 'model.vocab', expected });
  }
  if (!isId(unknown) || unknown >= vocab.length) throw errors.id({ token: 'unk_id', id: shown(unknown) });
  return vocab.length;
}

function checkAdded(added: unknown): number {
  if (!Array.isArray(added) || added.length > maxTokens) throw errors.part({ part: 'added_tokens', expected: 'a list' });
  let size = 0;
  for (const token of added as unknown[]) {
    if (!isPart(token) || typeof token.content !== 'string' || token.content === '') throw errors.part({ part: 'added_tokens', expected: 'a list of objects with content and id' });
    if (!isId(token.id)) throw errors.id({ token: shown(token.content), id: shown(token.id) });
    size = Math.max(size, token.id + 1);
  }
  return size;
}

/** A normalizer, pre-tokenizer, post-processor or decoder: one step, or a sequence of them. */
function checkSteps(part: string, root: unknown): void {
  let steps = 0;
  let growth = 1;
  const visit = (step: unknown): void => {
    if (!isPart(step) || typeof step.type !== 'string') throw errors.part({ part, expected: 'null or an object with a type' });
    if (++steps > maxSteps) throw errors.steps({ part, steps });
    for (const list of ['normalizers', 'pretokenizers', 'processors', 'decoders']) {
      const inner = step[list];
      if (inner === undefined) continue;
      if (!Array.isArray(inner)) throw errors.part({ part: `${part}.${list}`, expected: 'a list' });
      inner.forEach(visit);
    }
    // Without one, the library says so on the console and cuts nothing.
    if (step.pattern !== undefined || step.type === 'Split' || step.type === 'Replace') checkPattern(part, step.pattern);
    if (typeof step.content === 'string') growth *= Math.max(1, step.content.length);
    if (growth > maxGrowth) throw errors.growth({ part });
    if (step.type === 'TemplateProcessing' && !(Array.isArray(step.single) && step.single.every(isPart))) throw errors.part({ part: `${part}.single`, expected: 'a list of objects' });
    if (step.type === 'FixedLength' && !(isId(step.length) && step.length > 0)) throw errors.part({ part: `${part}.length`, expected: 'a positive whole number' });
  };
  visit(root);
}

function checkPattern(part: string, given: unknown): void {
  const pattern: unknown = isPart(given) ? given.Regex ?? given.String : undefined;
  if (typeof pattern !== 'string') throw errors.part({ part: `${part}.pattern`, expected: 'an object with Regex or String' });
  if (pattern.length > maxPattern) throw errors.pattern({ pattern: shown(pattern), reason: `is longer than ${maxPattern} characters` });
  if (!isPart(given) || given.Regex === undefined) return;
  // A repeated group can match in exponentially many ways; patterns of tokenizers repeat characters and classes only.
  const bare = pattern.replaceAll(/\\[^]/g, '').replaceAll(/\[[^\]]*\]/g, '');
  if (/\)(?:[*+]|\{\d*,\d*\})/.test(bare)) throw errors.pattern({ pattern: shown(pattern), reason: 'repeats a group, which can take exponential time' });
  const repetitions = Math.max(...bare.split('|').map((part) => (part.match(/[*+]|\{\d+,(?:\d{3,})?\}/g) ?? []).length));
  if (repetitions > maxRepetitions) throw errors.pattern({ pattern: shown(pattern), reason: `repeats ${repetitions} parts in one alternative, at most ${maxRepetitions} are allowed` });
}
