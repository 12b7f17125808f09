/**
 * How byte-level tokenizers cut text before they merge. A GGUF file only names the way (`tokenizer.ggml.pre`), tokenizer.json
 * spells it out; the patterns are those of the models that the names come from.
 */

type Step = Readonly<Record<string, unknown>>;

export interface PreTokenizer {
  readonly name: string;
  readonly steps: readonly Step[];
  /** A whole piece that is a token stays one, whatever the merges say. */
  readonly ignoreMerges: boolean;
  readonly normalizer: Step | null;
  /** What llama.cpp does where the file does not say. */
  readonly addBos: boolean;
  /** Other names for the same way. */
  readonly aliases: readonly string[];
}

const split = (pattern: string): Step => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false });
const bytes = (regex: boolean): Step => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: regex });

const cased = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+`;
const tail = String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const threeDigits = [split(String.raw`${cased}|\p{N}{1,3}${tail}`), bytes(false)];
const oneDigit = [split(String.raw`${cased}|\p{N}${tail}`), bytes(false)];
const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`;

const way = (name: string, steps: readonly Step[], rest: Partial<PreTokenizer> = {}): PreTokenizer =>
  ({ name, steps, ignoreMerges: false, normalizer: null, addBos: false, aliases: [], ...rest });

export const preTokenizers: readonly PreTokenizer[] = [
  way('gpt-2', [bytes(true)]),
  way('llama-bpe', threeDigits, { ignoreMerges: true, addBos: true, aliases: ['llama3', 'llama-v3'] }),
  way('smaug-bpe', threeDigits, { aliases: ['dbrx'] }),
  way('qwen2', oneDigit, { normalizer: { type: 'NFC' }, aliases: ['deepseek-r1-qwen'] }),
  way('smollm', [{ type: 'Digits', individual_digits: true }, bytes(true)], { aliases: ['starcoder'] }),
  // What llama.cpp does for files that name nothing.
  way('default', [split(String.raw`[\p{P}\$\+<=>\^~\|]+`), split(gpt2), split(String.raw`\p{N}+`), split('[0-9][0-9][0-9]'), bytes(false)]),
];

export const preTokenizerNamed = (name: string): PreTokenizer | undefined => preTokenizers.find((way) => way.name === name || way.aliases.includes(name));

/** The way that a tokenizer.json spells out; undefined for ways without a name. */
export function preTokenizerOf(tokenizer: Readonly<Record<string, unknown>>): PreTokenizer | undefined {
  const wanted = essence(flattened(tokenizer.pre_tokenizer));
  const ignoreMerges = (tokenizer.model as Step | undefined)?.ignore_merges === true;
  const fitting = preTokenizers.filter(({ steps }) => essence(steps) === wanted);
  return fitting.find((way) => way.ignoreMerges === ignoreMerges) ?? fitting[0];
}

function flattened(step: unknown): readonly Step[] {
  if (typeof step !== 'object' || step === null) return [];
  const { type, pretokenizers } = step as Step;
  return type === 'Sequence' && Array.isArray(pretokenizers) ? pretokenizers.flatMap(flattened) : [step as Step];
}

/** What of a step decides where text is cut; the rest is about offsets. */
const essence = (steps: readonly Step[]): string => JSON.stringify(steps.map(({ type, pattern, individual_digits, use_regex, add_prefix_space, behavior, invert }) => {
  switch (type) {
    case 'ByteLevel': return [type, use_regex ?? true, add_prefix_space ?? true];
    case 'Digits': return [type, individual_digits ?? false];
    // Isolated pieces and inverted, removed gaps are the same cuts for patterns that match everything.
    case 'Split': return [type, (pattern as Step | undefined)?.Regex, behavior === 'Removed' && invert === true ? 'Isolated' : behavior];
    default: return [type];
  }
}));
