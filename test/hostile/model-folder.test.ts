import { test } from 'node:test';
import { defineErrors } from '../../src/errors.ts';
import { memorySource, type Folder } from '../../src/files/source.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { answers } from './answers.ts';
import { fine, hostileConfigs, hostileIndexes, hostileTokenizers, type Files } from './model-folder-cases.ts';

const errors = defineErrors('test', { missing: (f: { file: string }) => `${f.file}: not found` });

function folderOf(files: Files): Folder {
  const bytes = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, typeof file === 'string' ? new TextEncoder().encode(file) : file]));
  return {
    name: 'folder',
    list: async () => Object.keys(bytes),
    has: async (file) => Object.hasOwn(bytes, file),
    open: async (file) => {
      if (!Object.hasOwn(bytes, file)) throw errors.missing({ file });
      return memorySource(file, bytes[file]);
    },
  };
}

async function open(files: Files): Promise<void> {
  const model = await openLanguageModel(folderOf(files));
  if (model.tokenizer !== undefined) openTokenizer(model.tokenizer).encode('abab');
  model.graph({ cache: true });
}

test('the folder is a model when nothing is wrong with it', async () => {
  await open(fine);
});

for (const [name, files, expect] of [...hostileConfigs, ...hostileTokenizers, ...hostileIndexes]) answers(name, () => (typeof files === 'function' ? files() : files), open, expect);
