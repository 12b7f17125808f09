/** Opens whatever a user calls a model as one that writes text. */
import { z } from 'zod';
import { nodeTeam } from '../engine/kernels/lowbit-team-node.ts';
import { defineErrors, FewbitError } from '../errors.ts';
import { isCoded } from '../formats/coded.ts';
import type { NumberFormat } from '../formats/format.ts';
import { openFolder } from '../files/fs-node.ts';
import { parseFormat } from '../formats/registry.ts';
import type { LanguageModel } from '../models/language-model.ts';
import { languageModelOf } from '../models/onnx-folder.ts';
import { readTokenizerFiles } from '../models/tokenizer-files.ts';
import { chatTemplates } from '../runtime/chat.ts';
import type { CacheFormat } from '../runtime/kv-caches.ts';
import { openTextModel, type TextModel } from '../runtime/text-model.ts';
import type { BlockType } from '../tensor-ref.ts';
import type { Progress } from './progress.ts';
import { foldersAround, openSource } from './source-node.ts';
import type { SourceModel } from './source.ts';

const errors = defineErrors('run', {
  weights: (f: { weights: string; known: string }) => `float weights cannot be loaded as ${f.weights} (known: ${f.known})`,
});

/** Block types that the engine multiplies without unpacking, and that encode without data. */
const loadable = ['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q8_0', 'q4_k', 'q5_k', 'q6_k', 'q3_k', 'iq4_nl', 'iq4_xs', 'mxfp4', 'nvfp4'] as const;
/** Formats of codes that it takes, to show; any other of integers of up to 8 bits or tables of up to 16 levels does as well. */
const codes = ['nf4', 'fp4', 'int4/g32', 'uint4/g64', 'int8/channel'] as const;

/** What float weights become as they are loaded. A scale for a whole tensor is asked for by name only: `fp4` has one for 32 columns. */
function loadedAs(weights: string): BlockType | NumberFormat {
  const type = loadable.find((known) => known === weights.toLowerCase());
  if (type !== undefined) return type;
  const known = (): string => [...loadable, ...codes].join(', ');
  const parse = (text: string): NumberFormat => {
    try {
      return parseFormat(text);
    } catch (error) {
      if (error instanceof FewbitError) throw errors.weights({ weights, known: known() });
      throw error;
    }
  };
  const format = parse(weights);
  if (!isCoded(format, groupsAlways)) throw errors.weights({ weights, known: known() });
  return format.granularity.kind === 'tensor' && !weights.includes('/') ? parse(`${weights}/g32`) : format;
}

/** A width that every group divides. */
const groupsAlways = 2 ** 20;

/** Settings of everything that writes text. */
export const draftSettings = {
  draft: z.union([z.string().min(1).transform((one) => [one]), z.array(z.string().min(1)).min(1).max(4)]).default([]),
  /** Tokens that are guessed for a pass. */
  draftTokens: z.coerce.number().int().positive().max(30).optional(),
  /** The small model guesses a tree of likely ways to go on. */
  draftTree: z.boolean().default(false),
  /** Folder with tokenizer.json, of a model that has none beside it. */
  tokenizer: z.string().min(1).optional(),
};

export interface OpenTextOptions {
  readonly weights: string | undefined;
  readonly context: number | undefined;
  readonly cache: CacheFormat;
  readonly threads: number;
  /** Texts that are written side by side; default 1. */
  readonly sequences?: number;
  /** Small models, or `ngram`, that guess what follows: the first for the model, each other for the one before. */
  readonly draft: readonly string[];
  readonly draftTokens: number | undefined;
  readonly draftTree: boolean;
  readonly tokenizer?: string | undefined;
  readonly progress: Progress;
}

export interface OpenedText {
  readonly name: string;
  readonly model: TextModel;
  readonly weightBytes: number;
  /** A chat template came with it. */
  readonly chats: boolean;
}

/** The file is read and closed: all weights are in the engine's memory then. */
export async function openText(location: string, { weights, context, cache, threads, sequences = 1, draft, draftTokens, draftTree, tokenizer, progress }: OpenTextOptions): Promise<OpenedText> {
  const type = weights === undefined ? undefined : loadedAs(weights);
  const sources: SourceModel[] = [];
  const language = async (place: string): Promise<LanguageModel> => {
    const source = await openSource(place, progress);
    sources.push(source);
    if (source.language !== undefined) return source.language;
    return languageModelOf(source.graph, place, source.name, await foldersAround(source.location));
  };
  try {
    const found = await language(location);
    const main = tokenizer === undefined ? found : { ...found, tokenizer: await readTokenizerFiles(await openFolder(tokenizer)) };
    const drafts: (LanguageModel | 'ngram')[] = [];
    for (const place of draft) drafts.push(place === 'ngram' ? place : await language(place));
    if (context !== undefined && context > main.config.maxPositions) progress.line(`the model was made for ${main.config.maxPositions} positions: what it writes beyond them may make no sense`);
    progress.phase('load', main.tensors.size);
    const model = await openTextModel(main, {
      cache, sequences, drafts, draftTree, ...(draftTokens === undefined ? {} : { draftTokens }), ...(type === undefined ? {} : { weights: type }), ...(context === undefined ? {} : { context }),
      ...(threads === 1 ? {} : { team: nodeTeam(threads) }), onTensor: (_name, done) => progress.advance(done),
    });
    progress.end();
    return { name: sources[0].name, model, weightBytes: sources[0].bytes, chats: main.tokenizer !== undefined && chatTemplates(main.tokenizer).size > 0 };
  } finally {
    for (const source of sources) await source.close();
  }
}
