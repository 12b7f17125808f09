/** The two language models that clients load, with text for them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ClientModel {
  readonly name: string;
  /** Hugging Face folder. */
  readonly folder: string;
  /** Text whose tokens the distributions are compared on. */
  readonly text: string;
  /** What generation goes on from. */
  readonly prompt: string;
  /** Widths that few block types fit: strict requests are refused, fallbacks are asked for. */
  readonly narrow: boolean;
}

/** The first model comes with the repository, the second with the assets. */
export const clientModels = (assets: string): readonly ClientModel[] => {
  const own = new URL('../../assets/', import.meta.url).pathname;
  return [
    { name: 'host-llama-shakespeare', folder: join(own, 'host-llama-shakespeare'), text: readFileSync(join(own, 'shakespeare/heldout.txt'), 'utf8'), prompt: 'ROMEO:\n', narrow: false },
    {
      name: 'stories260K', folder: join(assets, 'llm-stories260k/derived_hf'), text: readFileSync(join(assets, 'text-tinystories-sample/tinystories_sample.txt'), 'utf8'),
      prompt: 'Once upon a time', narrow: true,
    },
  ];
};
