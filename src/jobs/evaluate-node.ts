/** Judges files that exist already: each against a float model on inputs that are given. */
import { statSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { defineErrors } from '../errors.ts';
import type { Verdict } from '../evaluate/verdict.ts';
import { openData } from './data-node.ts';
import { judge, type JudgeItem } from './judge-node.ts';
import type { Progress } from './progress.ts';
import { verdictOf } from './run-result-node.ts';
import { parseSettings, type QuantizeRequest } from './settings.ts';
import { openModern, openSource } from './source-node.ts';
import type { SourceModel } from './source.ts';

export interface EvaluateRequest extends Partial<Omit<QuantizeRequest, 'model' | 'to' | 'output'>> {
  readonly models: readonly string[];
  readonly against?: string;
}

const errors = defineErrors('evaluate', {
  needsData: (_: object) => ['nothing to judge on', 'give inputs with --data'] as const,
});

/** Bytes on disk; tensors that lie in a file beside an ONNX file are more than it. */
function sizeOf({ files, bytes }: SourceModel): number {
  const own = files.length === 1 ? statSync(files[0]).size : 0;
  return own >= bytes ? own : own + bytes;
}

/** One verdict per model. `data` alone is judged on whole; it calibrates nothing here. */
export async function evaluateModel({ models, against, ...rest }: EvaluateRequest, progress: Progress): Promise<Verdict[]> {
  const evalData = rest.evalData ?? rest.data;
  if (evalData === undefined) throw errors.needsData({});
  const { data: _data, labels, ...others } = rest;
  const settings = parseSettings({ ...others, model: against ?? models[0], output: '.', evalData, ...(labels === undefined ? {} : { evalLabels: labels }) } as QuantizeRequest);
  const opened: SourceModel[] = [];
  const open = async (source: Promise<SourceModel>): Promise<SourceModel> => {
    opened.push(await source);
    return opened.at(-1)!;
  };
  try {
    const float = await open(openModern(settings.model, progress));
    const data = await openData(settings, float);
    const sources: SourceModel[] = [];
    for (const model of models) sources.push(await open(openSource(model, progress)));
    const items = sources.map((source, i): JudgeItem => ({
      name: models[i], target: source.origin === 'gguf' ? 'gguf' : source.origin === 'onnx' ? 'onnx' : 'safetensors', path: source.location,
    }));
    const judged = await judge(float, data, items, { threads: settings.threads, progress });
    return sources.map((source, i): Verdict => verdictOf({
      file: models[i], target: items[i].target, format: extname(basename(models[i])).slice(1) || 'folder',
      size: sizeOf(source), bitsPerWeight: (8 * source.bytes) / Math.max(1, float.parameters),
    }, judged[i]));
  } finally {
    for (const model of opened) await model.close();
  }
}
