/** A result made from true encodes of the keyword-spotting network, judged by onnxruntime on its first inputs. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ortNode } from '../../src/engine/ort-node.ts';
import type { Score } from '../../src/evaluate/score.ts';
import { recommend, type Verdict } from '../../src/evaluate/verdict.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { upgradeOpset } from '../../src/graph/upgrade.ts';
import { histograms } from '../../src/jobs/histogram.ts';
import { snippetFor } from '../../src/jobs/snippets.ts';
import type { Output, QuantizeResult, TensorLine } from '../../src/jobs/result.ts';
import { sqnr } from '../../src/numeric/statistics.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';

const folder = new URL('../../assets/kws-dscnn/', import.meta.url);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const samples = 32;
const inputValues = 490;

async function logits(bytes: Uint8Array, graph: Graph): Promise<Float32Array> {
  const inputs = readFileSync(new URL('inputs.npy', folder));
  const data = inputs.subarray(inputs.byteLength - 1000 * inputValues * 4);
  const session = await ortNode.open({ bytes });
  const out: number[] = [];
  for (let i = 0; i < samples; i++) {
    const values = new Float32Array(data.buffer.slice(data.byteOffset + i * inputValues * 4, data.byteOffset + (i + 1) * inputValues * 4));
    const results = await session.run({ [graph.inputs[0].name]: { type: 'f32', shape: [1, 1, 49, 10], data: values } });
    out.push(...(results[graph.outputs[0].name].data as Float32Array));
  }
  await session.dispose();
  return Float32Array.from(out);
}

export async function exampleResult(formats: readonly string[], rename: (name: string) => string = (name) => name): Promise<QuantizeResult> {
  const source = readFileSync(new URL('kws-dscnn.onnx', folder));
  const graph = await upgradeOpset(await openOnnx(memorySource('kws-dscnn.onnx', source)), 21);
  const float = await logits(source, graph);
  const outputs: Output[] = [];
  for (const name of formats) {
    const format = parseFormat(name);
    const sites = linearSites(graph);
    const weights = new Map(sites.map((site) => [site.id, quantizedLazily(site, format)]));
    const bytes = await onnxBytes((await exportWeightOnly(graph, weights)).graph);
    const changed = await logits(bytes, graph);
    const pictures = await histograms(sites, weights);
    const tensors = sites.map((site): TensorLine => ({
      name: rename(site.id), shape: site.weight.shape, source: site.weight.type, target: format.name, bytesBefore: site.weight.byteLength,
      bytesAfter: Math.ceil((site.rows * site.cols * format.bitsPerWeight(site.rows, site.cols)) / 8), ...weights.get(site.id)!.stats(),
    }));
    const file = rename(`kws-${name.replaceAll('/', '-')}.onnx`);
    const score: Score = { candidate: file, task: 'generic', data: rename('kws'), samples, error: { sqnr: sqnr(float, changed) }, metrics: [] };
    const verdict: Verdict = { file, target: 'onnx', format: format.name, size: bytes.byteLength, bitsPerWeight: (8 * tensors.reduce((sum, line) => sum + line.bytesAfter, 0)) / tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0), score, latency: [], loads: ['onnxruntime-node'] };
    outputs.push({
      file, files: [{ path: file, bytes: bytes.byteLength, sha256: sha256(bytes) }], target: 'onnx', label: name, recipe: 'rtn', tensors,
      histograms: pictures.map((picture) => ({ ...picture, tensor: rename(picture.tensor) })), verdict, notes: [rename('a note')],
      snippet: { language: 'js', code: snippetFor({ file, target: 'onnx', label: name }), executed: true, printed: rename('logits 1 × 12') },
    });
  }
  const verdicts = outputs.map(({ verdict }) => verdict);
  return {
    tool: { name: 'fewbit', version: '0.1.0' },
    model: { name: rename('kws-dscnn'), origin: 'onnx', parameters: 22_604, bytes: source.byteLength, files: [{ path: 'kws-dscnn.onnx', bytes: source.byteLength, sha256: sha256(source) }] },
    evaluation: { name: rename('inputs.npy'), samples }, float: { bytes: source.byteLength, engine: 'onnxruntime-node' },
    outputs, recommendation: recommend(verdicts, source.byteLength), gates: [], settings: { model: rename('kws-dscnn.onnx'), weights: formats },
    environment: { node: 'v20', platform: 'linux x64', cpu: 'a processor', threads: 2, engines: ['onnxruntime-node'] }, seconds: 1.5,
  };
}
