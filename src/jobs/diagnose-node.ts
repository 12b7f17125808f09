/** Opens a quantized file, its float model and inputs, and asks which layers cost most. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import { bindFeeds, fixedBatch } from '../evaluate/feeds.ts';
import { batchesOf } from './calibration-feeds.ts';
import { openData } from './data-node.ts';
import { diagnose, type Diagnosis } from './diagnose.ts';
import type { Progress } from './progress.ts';
import { parseSettings, type QuantizeRequest } from './settings.ts';
import { openModern, openSource } from './source-node.ts';
import type { SourceModel } from './source.ts';
import { isBlockType } from '../tensor-ref.ts';

export interface DiagnoseRequest extends Partial<Omit<QuantizeRequest, 'model' | 'to' | 'output'>> {
  readonly quantized: string;
  readonly against: string;
}

export interface DiagnoseResult extends Diagnosis {
  readonly quantized: string;
  readonly against: string;
  readonly data: { readonly name: string; readonly samples: number };
  readonly seconds: number;
}

const errors = defineErrors('diagnose', {
  needsData: (_: object) => ['nothing to run the networks on', 'give real inputs with --data'] as const,
  noLayers: (f: { quantized: string }) => [`${f.quantized}: no layer was found whose weights come from stored codes`, 'readable are ONNX files with DequantizeLinear, MatMulNBits, integer products or lookups, and GGUF and safetensors of language models'] as const,
  noMatch: (f: { quantized: string; against: string; layers: number }) => [`none of the ${f.layers} layers of ${f.quantized} has the shape and direction of one of ${f.against}`, 'give the float model that it was made of with --against'] as const,
});

/** Of GGUF files, whose graph shows floats. */
const storedBits = ({ language }: SourceModel): Map<string, number> =>
  new Map([...language?.tensors.values() ?? []].flatMap(({ name, type, byteLength }) => (isBlockType(type) ? [[name, 8 * byteLength]] : [])));

/** Samples that are run unless more are asked for. */
const samples = { lm: 8, onnx: 64 } as const;

export async function diagnoseModel({ quantized, against, ...rest }: DiagnoseRequest, progress: Progress): Promise<DiagnoseResult> {
  const started = performance.now();
  const evalData = rest.evalData ?? rest.data;
  if (evalData === undefined) throw errors.needsData({});
  const { data: _data, labels: _labels, evalLabels: _evalLabels, ...others } = rest;
  const opened: SourceModel[] = [];
  const open = async (source: Promise<SourceModel>): Promise<SourceModel> => {
    opened.push(await source);
    return opened.at(-1)!;
  };
  try {
    const float = await open(openModern(against, progress));
    const settings = parseSettings({ evaluationSamples: samples[float.kind], ...others, model: against, output: '.', evalData } as QuantizeRequest);
    const low = await open(openSource(quantized, progress));
    const { evaluation, task } = await openData(settings, float);
    const feeds = { quantized: [] as Feeds[], float: [] as Feeds[] };
    for await (const given of batchesOf(evaluation, fixedBatch(low.graph) ?? fixedBatch(float.graph))) {
      feeds.quantized.push(bindFeeds(given, low.graph.inputs));
      feeds.float.push(bindFeeds(given, float.graph.inputs));
    }
    progress.phase('put layers back');
    const found = await diagnose({
      quantized: low.graph, float: float.graph, engine: ortNode, feeds, storedBits: storedBits(low), threads: settings.threads,
      distance: task.name === 'lm' || task.name === 'classify' ? 'kl' : 'noise', onTrial: (done, what) => progress.line(`[${String(done).padStart(4)}] ${what}`),
    });
    progress.end();
    if (found.layers === 0) throw errors.noLayers({ quantized });
    if (found.unmatched.length === found.layers) throw errors.noMatch({ quantized, against, layers: found.layers });
    return { ...found, quantized, against, data: { name: evaluation.name, samples: evaluation.count }, seconds: (performance.now() - started) / 1000 };
  } finally {
    for (const model of opened) await model.close();
  }
}
