/** A language model as a Hugging Face folder in float32: config.json, model.safetensors, and the tokenizer where it has one. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../files/fs-node.ts';
import { writeSafetensors } from '../files/safetensors.ts';
import { memorySink } from '../files/source.ts';
import { copyTensor } from '../tensor-ref.ts';
import type { LanguageModel } from '../models/language-model.ts';
import { floatView } from '../models/weight-views.ts';
import { jsonBytes, sideFiles } from './targets/side-files.ts';

export async function saveLanguageModel(model: LanguageModel, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const sink = memorySink();
  await writeSafetensors(sink, [...model.tensors.values()].map((tensor) => copyTensor(floatView(tensor))), new Map([['format', 'pt']]));
  await writeFileAtomic(join(folder, 'model.safetensors'), sink.bytes());
  for (const [name, bytes] of [...sideFiles(model), ['config.json', jsonBytes(model.rawConfig)] as const]) await writeFileAtomic(join(folder, name), bytes);
}
