/** Opens what guesses for a model: n-grams of the text, or small models of the same tokenizer, each of which may be guessed for by the next. */
import { defineErrors } from '../errors.ts';
import type { LanguageModel } from '../models/language-model.ts';
import { openTokenizer, type Tokenizer } from '../models/tokenizer.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { ChainDrafter } from './draft-chain.ts';
import { NgramDrafter } from './draft-ngram.ts';
import { TreeDrafter } from './draft-tree.ts';
import type { Drafter } from './draft.ts';
import { LlamaDecoder, type DecoderOptions } from './llama-decoder.ts';
import { SpeculativeDecoder } from './speculate.ts';

const errors = defineErrors('draft', {
  tokenizer: (f: { draft: string; model: string }) => `${f.draft} cannot guess for ${f.model}: their tokens differ`,
  architecture: (f: { draft: string; architecture: string }) => `${f.draft} is of the family ${f.architecture}, and only models of the Llama family can guess`,
  last: (_: Record<string, never>) => 'n-grams need no guesses of others: name them last',
  tree: (_: Record<string, never>) => 'a tree is guessed by the last model, and nothing guesses for that one',
});

export interface DraftSettings {
  /** Who guesses for the model, who guesses for that one, and so on. */
  readonly drafts: readonly (LanguageModel | 'ngram')[];
  /** Tokens that are guessed for a pass; default 4. */
  readonly draftTokens?: number;
  /** The model guesses a tree of likely ways to go on, and not one. */
  readonly draftTree?: boolean;
}

export interface OpenedDrafts {
  readonly bytes: number;
  /** One for each text; `levels` are the small models that are guessed for, outermost first. */
  for(index: number): { readonly drafter: Drafter; readonly levels: readonly SpeculativeDecoder[] };
}

export const defaultDraftTokens = 4;

export async function openDrafts(
  { drafts: [first, ...rest], draftTokens = defaultDraftTokens, draftTree = false }: DraftSettings,
  model: { readonly name: string; readonly tokenizer: Tokenizer; readonly vocabulary: number }, tensorsOf: (draft: LanguageModel) => ReadonlyMap<string, TensorRef>, options: Pick<DecoderOptions, 'context' | 'sequences' | 'kernels'>, level = 1,
): Promise<OpenedDrafts> {
  if (first === 'ngram') {
    if (rest.length > 0) throw errors.last({});
    return { bytes: 0, for: () => ({ drafter: new NgramDrafter({ depth: draftTokens }), levels: [] }) };
  }
  if (!('kvHeads' in first.config)) throw errors.architecture({ draft: first.name, architecture: first.config.family });
  const { vocabSize } = first.config;
  // Ids without a token may fill up a vocabulary; the model must know all that its draft may guess.
  if (first.tokenizer === undefined || vocabSize > model.vocabulary || !sameTokens(openTokenizer(first.tokenizer), model.tokenizer)) throw errors.tokenizer({ draft: first.name, model: model.name });
  if (draftTree && rest.length > 0) throw errors.tree({});
  const below = rest.length === 0 ? undefined : await openDrafts({ drafts: rest, draftTokens }, { ...model, name: first.name, vocabulary: vocabSize }, tensorsOf, options, level + 1);
  const context = Math.min(options.context ?? Infinity, first.config.maxPositions);
  const decoder = await LlamaDecoder.open(first.config, tensorsOf(first), { ...options, context });
  return {
    bytes: decoder.bytes + (below?.bytes ?? 0),
    for(index) {
      const sequence = decoder.sequences[index];
      if (draftTree) return { drafter: new TreeDrafter(sequence), levels: [] };
      if (below === undefined) return { drafter: new ChainDrafter(sequence, draftTokens, level), levels: [] };
      const { drafter, levels } = below.for(index);
      const guessedFor = new SpeculativeDecoder(sequence, drafter, { tokens: draftTokens });
      return { drafter: new ChainDrafter(guessedFor, draftTokens, level), levels: [guessedFor, ...levels] };
    },
  };
}

/** Guesses are ids: every id must mean the same text. */
function sameTokens(one: Tokenizer, other: Tokenizer): boolean {
  if (one.vocabulary !== other.vocabulary) return false;
  for (let id = 0; id < one.vocabulary; id++) if (one.decode([id]) !== other.decode([id])) return false;
  return true;
}
