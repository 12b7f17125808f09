/** Small files that stand beside the weights of a language model: configuration, tokenizer, licence. */
import type { LanguageModel } from '../../models/language-model.ts';
import type { WriteContext } from '../target.ts';

const encoder = new TextEncoder();

export const jsonBytes = (value: unknown): Uint8Array => encoder.encode(`${JSON.stringify(value, null, 2)}\n`);

/** Tokenizer and what travels with the model, by name. The card stays behind: it speaks of the float model's files. */
export function sideFiles({ tokenizer }: LanguageModel): Map<string, Uint8Array> {
  if (tokenizer === undefined) return new Map();
  return new Map([
    ['tokenizer.json', encoder.encode(JSON.stringify(tokenizer.tokenizer))],
    ['tokenizer_config.json', jsonBytes(tokenizer.config)],
    ...[...tokenizer.others].filter(([name]) => name.toLowerCase() !== 'readme.md'),
  ]);
}

type Content = (present: Uint8Array | undefined) => Uint8Array;

/** Puts a small file into the output folder; `content` sees what an earlier output left there. */
export async function share(context: Pick<WriteContext, 'open' | 'share'>, path: string, content: Content): Promise<void> {
  if (context.share !== undefined) return context.share(path, content);
  const sink = await context.open(path);
  await sink.write(content(undefined));
  await sink.commit();
}

/** Writes files of a folder; gives their paths, relative to the output folder. */
export async function writeSideFiles(context: Pick<WriteContext, 'open' | 'share'>, folder: string, files: ReadonlyMap<string, Content | Uint8Array>): Promise<string[]> {
  const paths: string[] = [];
  for (const [name, content] of files) {
    const path = `${folder}/${name}`;
    await share(context, path, typeof content === 'function' ? content : () => content);
    paths.push(path);
  }
  return paths;
}
