/** Opens whatever a user calls a model as one that writes text. */
import { startTeam } from '../engine/kernels/lowbit-team-node.ts';
import { defineErrors } from '../errors.ts';
import type { CacheFormat } from '../runtime/kv-caches.ts';
import { openTextModel, type TextModel } from '../runtime/text-model.ts';
import type { Progress } from './progress.ts';
import { openSource } from './source-node.ts';

const errors = defineErrors('run', {
  notLanguage: (f: { model: string }) => [`${f.model} is not a language model`, 'fewbit evaluate runs other graphs on their data'],
  weights: (f: { weights: string; known: string }) => `float weights cannot be loaded as ${f.weights} (known: ${f.known})`,
});

/** Formats that the engine multiplies without unpacking, and that encode without data. */
const loadable = ['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q8_0', 'q4_k', 'q5_k', 'q6_k'] as const;

export interface OpenTextOptions {
  readonly weights: string | undefined;
  readonly context: number | undefined;
  readonly cache: CacheFormat;
  readonly threads: number;
  readonly progress: Progress;
}

export interface OpenedText { readonly name: string; readonly model: TextModel; readonly weightBytes: number }

/** The file is read and closed: all weights are in the engine's memory then. */
export async function openText(location: string, { weights, context, cache, threads, progress }: OpenTextOptions): Promise<OpenedText> {
  const type = loadable.find((known) => known === weights?.toLowerCase());
  if (weights !== undefined && type === undefined) throw errors.weights({ weights, known: loadable.join(', ') });
  const source = await openSource(location, progress);
  try {
    if (source.language === undefined) throw errors.notLanguage({ model: location });
    progress.phase('load', source.language.tensors.size);
    const model = await openTextModel(source.language, {
      cache, ...(type === undefined ? {} : { weights: type }), ...(context === undefined ? {} : { context }),
      ...(threads === 1 ? {} : { team: { members: threads, start: startTeam } }), onTensor: (_name, done) => progress.advance(done),
    });
    progress.end();
    return { name: source.name, model, weightBytes: [...source.language.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0) };
  } finally {
    await source.close();
  }
}
