/** What lies beside the weights of a language model: the tokenizer and the files that travel with the model unchanged. */
import { defineErrors } from '../errors.ts';
import { isJsonObject, parseJsonBytes, type Json } from '../files/json.ts';
import type { Folder } from '../files/source.ts';

export interface TokenizerFiles {
  /** tokenizer.json, parsed. */
  readonly tokenizer: Record<string, unknown>;
  /** tokenizer_config.json, parsed; empty where there is none. */
  readonly config: Record<string, unknown>;
  /** Other side files as they were, by name: generation_config.json, special_tokens_map.json, chat_template.jinja, LICENSE, README.md. */
  readonly others: ReadonlyMap<string, Uint8Array>;
}

/** Names that travel along; what is not listed (code, pictures, other formats) stays behind. */
const sideFile = /^(generation_config\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.(jinja|json)|tokenizer\.model|README\.md|(LICENSE|LICENCE|NOTICE|USE_POLICY)(\.[a-z]+)?)$/i;
const template = 'chat_template.jinja';
/** The largest tokenizer.json in circulation has about 35 MB, tokenizer.model 5 MB. */
const maxTokenizerBytes = 50_000_000;
const maxSideBytes = 16_000_000;

const errors = defineErrors('folder', {
  notObject: (f: { file: string }) => `${f.file}: a JSON object expected`,
  tooLarge: (f: { file: string; size: number; limit: number }) => `${f.file}: ${f.size} bytes exceed the limit of ${f.limit}`,
});

export async function readBounded(folder: Folder, file: string, limit: number): Promise<Uint8Array> {
  const source = await folder.open(file);
  try {
    if (source.size > limit) throw errors.tooLarge({ file: source.name, size: source.size, limit });
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** A JSON object of a folder, strictly parsed within a size. */
export async function readObject(folder: Folder, file: string, maxBytes: number): Promise<Record<string, Json>> {
  const name = `${folder.name}/${file}`;
  const value = parseJsonBytes(await readBounded(folder, file, maxBytes), name, { maxBytes });
  if (!isJsonObject(value)) throw errors.notObject({ file: name });
  return value;
}

/** Undefined where the folder has no tokenizer.json. JSON among the side files is checked, then kept byte for byte. */
export async function readTokenizerFiles(folder: Folder): Promise<TokenizerFiles | undefined> {
  if (!(await folder.has('tokenizer.json'))) return undefined;
  const others = new Map<string, Uint8Array>();
  const config = (await folder.has('tokenizer_config.json')) ? await readObject(folder, 'tokenizer_config.json', maxSideBytes) : {};
  const listed = await folder.list();
  // Servers list nothing; of what lies there, the template is what a model does not speak without.
  const beside = listed.length === 0 && config.chat_template === undefined && await folder.has(template) ? [template] : listed;
  for (const file of beside) {
    if (!sideFile.test(file)) continue;
    const bytes = await readBounded(folder, file, maxSideBytes);
    if (file.endsWith('.json')) parseJsonBytes(bytes, `${folder.name}/${file}`);
    others.set(file, bytes);
  }
  return {
    tokenizer: await readObject(folder, 'tokenizer.json', maxTokenizerBytes),
    config, others,
  };
}
