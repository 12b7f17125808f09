/**
 * The tokenizer of a GGUF file as tokenizer.json: byte-level pairs (`gpt2`), or pieces with scores that fall back to
 * bytes (`llama`), whose merges are put together again from the scores.
 */
import { defineErrors, shown } from '../errors.ts';
import { boolOf, numberOf, numbersOf, textOf, textsOf, type GgufMetadata } from './gguf-values.ts';
import { preTokenizerNamed, preTokenizers } from './gguf-pre-tokenizers.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

/** Kinds of tokens, by their numbers in `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Places of the vocabulary that hold no token. */
export const paddingToken = (id: number): string => `[PAD${id}]`;

/** The longest pieces of published vocabularies have 48 characters. */
const longestMerged = 256;
/** Characters of all pieces: each is a place where one could be cut in two. The largest vocabularies have 2 million. */
const maxCharacters = 4_000_000;

const errors = defineErrors('ggufTokenizer', {
  model: (f: { model: string }) => [`metadata tokenizer.ggml.model ${f.model} is not read`, 'known: gpt2, llama'] as const,
  pre: (f: { pre: string; known: string }) => [`metadata tokenizer.ggml.pre ${f.pre} is not known`, `known: ${f.known}`] as const,
  list: (f: { key: string; got: number; need: number }) => `metadata ${f.key} has ${f.got} entries, the vocabulary has ${f.need}`,
  missing: (f: { key: string }) => `metadata ${f.key} is missing`,
  characters: (f: { characters: number }) => `the tokens of the vocabulary have ${f.characters} characters together, more than ${maxCharacters}`,
  id: (f: { key: string; id: number; tokens: number }) => `metadata ${f.key} ${f.id} lies outside the ${f.tokens} tokens`,
});

type Part = Record<string, unknown>;

/** Undefined where the file has no tokenizer. */
export function tokenizerFromGguf(metadata: GgufMetadata, contextLength: number): TokenizerFiles | undefined {
  const kind = textOf(metadata, 'tokenizer.ggml.model');
  if (kind === undefined || kind === 'none' || kind === 'no_vocab') return undefined;
  if (kind !== 'gpt2' && kind !== 'llama') throw errors.model({ model: shown(kind) });
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens');
  if (tokens === undefined) throw errors.missing({ key: 'tokenizer.ggml.tokens' });
  const perToken = (key: string): ArrayLike<number> | undefined => {
    const found = numbersOf(metadata, key);
    if (found !== undefined && found.length !== tokens.length) throw errors.list({ key, got: found.length, need: tokens.length });
    return found;
  };
  const types = perToken('tokenizer.ggml.token_type');
  const typeOf = (id: number): number => types?.[id] ?? tokenTypes.normal;
  const special = (name: string): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    const id = numberOf(metadata, key);
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < tokens.length)) throw errors.id({ key, id, tokens: tokens.length });
    return id;
  };
  const [bos, eos, pad] = [special('bos'), special('eos'), special('padding')];
  const unknown = special('unknown') ?? (kind === 'llama' && typeOf(0) === tokenTypes.unknown ? 0 : undefined);
  const made = kind === 'gpt2'
    ? byteLevel(metadata)
    : pieces(tokens, perToken('tokenizer.ggml.scores'), typeOf, unknown, boolOf(metadata, 'tokenizer.ggml.add_space_prefix') ?? true);
  const addBos = bos !== undefined && (boolOf(metadata, 'tokenizer.ggml.add_bos_token') ?? made.addBos);
  const addEos = eos !== undefined && (boolOf(metadata, 'tokenizer.ggml.add_eos_token') ?? false);
  const held = (id: number): boolean => typeOf(id) !== tokenTypes.unused || tokens[id] !== paddingToken(id);
  const added = [...tokens.keys()].filter((id) => [tokenTypes.unknown, tokenTypes.control, tokenTypes.userDefined].includes(typeOf(id) as 2));
  const textOfId = (id: number | undefined): string | null => (id === undefined ? null : tokens[id]);
  const template = textOf(metadata, 'tokenizer.chat_template');
  return {
    tokenizer: {
      version: '1.0', truncation: null, padding: null,
      added_tokens: added.map((id) => ({
        id, content: tokens[id], single_word: false, lstrip: false, rstrip: false, normalized: false, special: typeOf(id) !== tokenTypes.userDefined,
      })),
      ...made.parts,
      post_processor: addBos || addEos ? aroundText(addBos ? [tokens[bos!], bos!] : undefined, addEos ? [tokens[eos!], eos!] : undefined) : null,
      // Not assigned one by one: a token may be called __proto__.
      model: { ...made.model, vocab: Object.fromEntries([...tokens.entries()].filter(([id]) => held(id)).map(([id, token]) => [token, id])) },
    },
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast', add_prefix_space: false, add_bos_token: addBos, add_eos_token: addEos,
      bos_token: textOfId(bos), eos_token: textOfId(eos), unk_token: textOfId(unknown), pad_token: textOfId(pad),
      clean_up_tokenization_spaces: false, model_max_length: contextLength, ...(template === undefined ? {} : { chat_template: template }),
    },
    others: sideFiles(metadata),
  };
}

interface Made { readonly parts: Part; readonly model: Part; readonly addBos: boolean }

function byteLevel(metadata: GgufMetadata): Made {
  const pre = textOf(metadata, 'tokenizer.ggml.pre') ?? 'default';
  const way = preTokenizerNamed(pre);
  if (way === undefined) throw errors.pre({ pre: shown(pre), known: preTokenizers.map(({ name }) => name).join(', ') });
  const merges = textsOf(metadata, 'tokenizer.ggml.merges');
  if (merges === undefined) throw errors.missing({ key: 'tokenizer.ggml.merges' });
  return {
    parts: {
      normalizer: way.normalizer,
      pre_tokenizer: way.steps.length === 1 ? way.steps[0] : { type: 'Sequence', pretokenizers: way.steps },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    },
    model: { ...bpe, ignore_merges: way.ignoreMerges, merges },
    addBos: way.addBos,
  };
}

const bpe = {
  type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false,
};

function pieces(tokens: readonly string[], scores: ArrayLike<number> | undefined, typeOf: (id: number) => number, unknown: number | undefined, prefix: boolean): Made {
  if (scores === undefined) throw errors.missing({ key: 'tokenizer.ggml.scores' });
  const merged = new Map([...tokens.entries()].filter(([id]) => typeOf(id) === tokenTypes.normal).map(([id, token]) => [token, id]));
  return {
    parts: {
      normalizer: {
        type: 'Sequence', normalizers: [...(prefix ? [{ type: 'Prepend', prepend: '▁' }] : []), { type: 'Replace', pattern: { String: ' ' }, content: '▁' }],
      },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence', decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
    },
    model: { ...bpe, unk_token: unknown === undefined ? null : tokens[unknown], fuse_unk: true, byte_fallback: true, merges: mergesOf(merged, (id) => scores[id]) },
    addBos: true,
  };
}

/** Every way to put a piece together from two others; pieces of high score first, as they merge in SentencePiece. */
export function mergesOf(pieces: ReadonlyMap<string, number>, scoreOf: (id: number) => number): [left: string, right: string][] {
  let characters = 0;
  for (const piece of pieces.keys()) characters += piece.length;
  if (characters > maxCharacters) throw errors.characters({ characters });
  const merges: { pair: [string, string]; id: number; left: number; right: number }[] = [];
  for (const [piece, id] of pieces) {
    if (piece.length > longestMerged) continue;
    let at = 0;
    for (const character of piece) {
      at += character.length;
      const first = piece.slice(0, at);
      const left = pieces.get(first);
      if (left === undefined) continue;
      const second = piece.slice(at);
      const right = pieces.get(second);
      if (right !== undefined) merges.push({ pair: [first, second], id, left, right });
    }
  }
  merges.sort((a, b) => scoreOf(b.id) - scoreOf(a.id) || a.id - b.id || a.left - b.left || a.right - b.right);
  return merges.map(({ pair }) => pair);
}

/** Special tokens around a text. */
function aroundText(first: [string, number] | undefined, last: [string, number] | undefined): Part {
  const around = (type_id: number): Part[] => [
    ...(first === undefined ? [] : [{ SpecialToken: { id: first[0], type_id } }]),
    { Sequence: { id: type_id === 0 ? 'A' : 'B', type_id } },
    ...(last === undefined ? [] : [{ SpecialToken: { id: last[0], type_id } }]),
  ];
  const used = [first, last].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing', single: around(0), pair: [...around(0), ...around(1)],
    special_tokens: Object.fromEntries(used.map(([id, number]) => [id, { id, ids: [number], tokens: [id] }])),
  };
}

/** The licence as a model card, where other readers look for it. */
function sideFiles(metadata: GgufMetadata): Map<string, Uint8Array> {
  const license = textOf(metadata, 'general.license');
  return new Map(license === undefined || !/^[\w.-]+$/.test(license) ? [] : [['README.md', new TextEncoder().encode(`---\nlicense: ${license}\n---\n`)]]);
}
