/** What a model writes greedily: in Node, in a page and in a worker the same. */
import { generate, openGgufLanguageModel, openTextModel, jsonConstraint, jsonSchema } from '../../src/runtime/index.ts';
import type { ByteSource } from '../../src/files/source.ts';

export interface Written { readonly ids: readonly number[]; readonly text: string; readonly pieces: number; readonly json: string; readonly long: string }

export const schema = { type: 'object', properties: { speaker: { type: 'string' }, act: { type: 'integer' } }, required: ['speaker', 'act'] };

/** 48 tokens after a prompt, JSON under a schema, and 120 tokens over a cache of 4 bits, from a GGUF file. */
export async function writtenBy(source: ByteSource): Promise<Written> {
  const language = await openGgufLanguageModel(source);
  const model = await openTextModel(language, { context: 128 });
  const small = await openTextModel(language, { context: 128, cache: 'int4' });
  await language.close();
  const all = async (writing: ReturnType<typeof generate>) => {
    for (let pieces = 0; ; pieces++) {
      const next = await writing.next();
      if (next.done === true) return { ...next.value, pieces };
    }
  };
  const { ids, text, pieces } = await all(model.write('ROMEO:\n', { maxTokens: 48 }));
  const { text: json } = await all(model.write('ROMEO:\n', { maxTokens: 40, constraint: jsonConstraint(model.tokenizer, jsonSchema(schema)) }));
  const { text: long } = await all(small.write('ROMEO:\n', { maxTokens: 120 }));
  for (const one of [model, small]) one.dispose();
  return { ids: [...ids], text, pieces, json, long };
}
