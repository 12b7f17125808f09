/** tokenizer.json as GGUF metadata: tokens with their types, merges or scores, and what is put around a text. */
import { defineErrors } from '../errors.ts';
import type { GgufValue } from '../files/gguf.ts';
import { preTokenizerOf } from './gguf-pre-tokenizers.ts';
import { mergesOf, paddingToken, tokenTypes } from './gguf-tokenizer.ts';
import { bool, f32s, i32s, text, texts, u32 } from './gguf-values.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';
import { openTokenizer } from './tokenizer.ts';

const errors = defineErrors('ggufTokenizer', {
  kind: (f: { kind: string }) => [`a tokenizer of the kind ${f.kind} has no form in GGUF files of this architecture`, 'choose another target for this model'] as const,
  outside: (f: { token: string; id: number; vocabulary: number }) => `token ${f.token} has id ${f.id}, the embedding has ${f.vocabulary} rows`,
});

type Part = Readonly<Record<string, unknown>>;

export interface GgufTokenizer {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly notes: readonly string[];
}

/** Of the configuration, only the special ids that the tokenizer does not name. */
export function tokenizerToGguf(files: TokenizerFiles, config: Part, vocabulary: number): GgufTokenizer {
  const { tokenizer } = files;
  // Throws where the file is damaged, so that its parts can be taken as they are named.
  const opened = openTokenizer(files);
  const model = tokenizer.model as Part;
  const kind = kindOf(tokenizer);
  const merges = (model.merges as readonly (string | [string, string])[]).map((merge) => (typeof merge === 'string' ? merge.split(' ') as [string, string] : merge));
  const { tokens, types, idOf } = tokenList(tokenizer, vocabulary, kind === 'llama');
  const metadata = new Map<string, GgufValue>([['tokenizer.ggml.model', text(kind)]]);
  const notes: string[] = [];
  if (kind === 'gpt2') {
    const way = preTokenizerOf(tokenizer);
    if (way === undefined) notes.push('the way text is cut before it is merged has no name in GGUF: written as default, token ids may differ from the original tokenizer');
    else if (way.ignoreMerges !== (model.ignore_merges === true)) notes.push(`tokens of whole words are found by merging; GGUF readers of the kind ${way.name} look them up`);
    metadata.set('tokenizer.ggml.pre', text(way?.name ?? 'default'));
    if (tokenizer.normalizer !== null && tokenizer.normalizer !== undefined) notes.push('GGUF readers do not normalize text (NFC and the like) before they cut it');
  } else {
    const scores = scoresOf(tokens, merges, idOf);
    metadata.set('tokenizer.ggml.pre', text('default')).set('tokenizer.ggml.scores', f32s(scores))
      .set('tokenizer.ggml.add_space_prefix', bool(prefixesSpace(tokenizer)));
    const pieces = new Map(tokens.flatMap((token, id) => (types[id] === tokenTypes.normal ? [[token, id] as const] : [])));
    const again = mergesOf(pieces, (id) => scores[id]);
    if (again.length !== merges.length) notes.push(`tokens can be put together in ${again.length} ways, tokenizer.json allows ${merges.length}: rare texts may take other tokens in GGUF readers`);
  }
  metadata.set('tokenizer.ggml.tokens', texts(tokens)).set('tokenizer.ggml.token_type', i32s(types));
  if (kind === 'gpt2') metadata.set('tokenizer.ggml.merges', texts(merges.map((pair) => pair.join(' '))));

  const special = (name: string, key: string): number | undefined => {
    const given = files.config[`${name}_token`];
    const content: unknown = typeof given === 'object' && given !== null ? (given as Part).content : given;
    const listed: unknown = config[`${name}_token_id`];
    const id = (typeof content === 'string' ? idOf.get(content) : undefined) ?? (Array.isArray(listed) ? listed[0] as unknown : listed);
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabulary) return undefined;
    metadata.set(`tokenizer.ggml.${key}_token_id`, u32(id));
    return id;
  };
  const [bos, eos] = [special('bos', 'bos'), special('eos', 'eos')];
  special('unk', 'unknown');
  special('pad', 'padding');
  // What the tokenizer does says more than its settings, of which there are several generations.
  const ids = opened.encode('a');
  metadata.set('tokenizer.ggml.add_bos_token', bool(bos !== undefined && ids.length > 1 && ids[0] === bos));
  metadata.set('tokenizer.ggml.add_eos_token', bool(eos !== undefined && ids.length > 1 && ids.at(-1) === eos));
  for (const [key, value] of templates(files)) metadata.set(key, value);
  return { metadata, notes };
}

function kindOf(tokenizer: Part): 'gpt2' | 'llama' {
  const model = tokenizer.model as Part;
  if ((model.type ?? 'BPE') !== 'BPE') throw errors.kind({ kind: String(model.type) });
  if (model.byte_fallback === true) return 'llama';
  const spelled = JSON.stringify([tokenizer.pre_tokenizer ?? null, tokenizer.decoder ?? null]);
  if (!spelled.includes('"ByteLevel"')) throw errors.kind({ kind: 'BPE without bytes' });
  return 'gpt2';
}

/** Every row of the embedding as a token with its type. */
function tokenList({ model, added_tokens }: Part, vocabulary: number, bytes: boolean): { tokens: string[]; types: Int32Array; idOf: Map<string, number> } {
  const { vocab, unk_token } = model as Part;
  const tokens = Array.from({ length: vocabulary }, (_, id) => paddingToken(id));
  const types = new Int32Array(vocabulary).fill(tokenTypes.unused);
  const idOf = new Map<string, number>();
  const put = (token: string, id: number, type: number): void => {
    if (id >= vocabulary) throw errors.outside({ token: JSON.stringify(token), id, vocabulary });
    tokens[id] = token;
    types[id] = type;
    idOf.set(token, id);
  };
  for (const [token, id] of Object.entries(vocab as Record<string, number>)) {
    put(token, id, bytes && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenTypes.byte : bytes && token === unk_token ? tokenTypes.unknown : tokenTypes.normal);
  }
  for (const { content, id, special } of (added_tokens ?? []) as { content: string; id: number; special?: boolean }[]) {
    put(content, id, bytes && content === unk_token ? tokenTypes.unknown : special === true ? tokenTypes.control : tokenTypes.userDefined);
  }
  return { tokens, types, idOf };
}

/** The earlier a piece is merged the higher its score; pieces that are never merged come last. */
function scoresOf(tokens: readonly string[], merges: readonly (readonly [string, string])[], idOf: ReadonlyMap<string, number>): Float32Array {
  const scores = new Float32Array(tokens.length);
  const seen = new Set<number>();
  for (const [left, right] of merges) {
    const id = idOf.get(left + right);
    if (id === undefined || seen.has(id)) continue;
    scores[id] = -seen.size;
    seen.add(id);
  }
  let last = seen.size;
  for (const id of tokens.keys()) if (!seen.has(id)) scores[id] = -(last++);
  return scores;
}

/** A mark of a word before the first one: as a step that normalizes, or in the newer spelling as one that cuts. */
function prefixesSpace({ normalizer, pre_tokenizer }: Part): boolean {
  const cuts = pre_tokenizer as Part | null | undefined;
  if (cuts?.type === 'Metaspace') return cuts.prepend_scheme !== 'never' && cuts.add_prefix_space !== false;
  return JSON.stringify(normalizer ?? null).includes('"Prepend"');
}

/** Chat templates: one, or several by name, in tokenizer_config.json or as a file of their own. */
function templates({ config, others }: TokenizerFiles): [string, GgufValue][] {
  const file = others.get('chat_template.jinja');
  const given = file === undefined ? config.chat_template : new TextDecoder().decode(file);
  if (typeof given === 'string') return [['tokenizer.chat_template', text(given)]];
  if (!Array.isArray(given)) return [];
  const named = (given as (Part | null)[]).filter((each) => typeof each?.name === 'string' && typeof each.template === 'string') as unknown as { name: string; template: string }[];
  const rest = named.filter(({ name }) => name !== 'default' && /^\w+$/.test(name));
  return [
    ...named.filter(({ name }) => name === 'default').map(({ template }): [string, GgufValue] => ['tokenizer.chat_template', text(template)]),
    ...(rest.length === 0 ? [] : [['tokenizer.chat_templates', texts(rest.map(({ name }) => name))] as [string, GgufValue]]),
    ...rest.map(({ name, template }): [string, GgufValue] => [`tokenizer.chat_template.${name}`, text(template)]),
  ];
}
