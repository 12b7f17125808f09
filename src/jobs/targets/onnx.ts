/** ONNX files: the graph with its weights in the form that the scheme asks for. */
import { exportDynamicInt8 } from '../../export/onnx-dynamic.ts';
import { exportHalf } from '../../export/onnx-half.ts';
import { exportStaticInt8 } from '../../export/onnx-static.ts';
import { exportWeightOnly } from '../../export/onnx-weight-only.ts';
import { writeOnnx } from '../../files/onnx.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites } from '../../graph/linear.ts';
import type { Applied } from '../../recipes/apply.ts';
import { histograms } from '../histogram.ts';
import type { TensorLine } from '../result.ts';
import type { Scheme } from '../schemes.ts';
import { committed, type TargetWriter, type WriteContext, type Written } from '../target.ts';
import { planGraph } from './onnx-plan.ts';

/** Above this, tensors lie in a file beside the model: protobuf readers stop at 2 GB, and engines map external data. */
const externalBytes = 512 * 1024 * 1024;

export const onnxTarget: TargetWriter = {
  plan: async (model, { scheme }, settings) => planGraph(model, scheme, settings),
  async write(context) {
    const applied = await context.apply();
    const { graph, notes } = await schemeGraph(applied, context.spec.scheme);
    await writeGraph(context, graph, context.spec.file);
    const files = [context.spec.file, ...(isLarge(graph) ? [`${context.spec.file}_data`] : [])];
    return { files, notes, ...(await described(context, applied)) };
  },
};

/** The graph that a scheme's file holds. */
export async function schemeGraph({ graph, weights, ranges }: Applied, scheme: Scheme): Promise<{ graph: Graph; notes: readonly string[] }> {
  const half = async (float: Graph, before: readonly string[]) => {
    const made = await exportHalf(float);
    return { graph: made.graph, notes: [...before, ...made.notes.map(({ text }) => text)] };
  };
  if (weights.size === 0) return scheme.compute === 'f16' ? half(graph, []) : { graph, notes: [] };
  const made = scheme.activations === 'static' ? await exportStaticInt8(graph, { weights, ranges })
    : scheme.activations === 'dynamic' ? await exportDynamicInt8(graph, weights)
    : await exportWeightOnly(graph, weights);
  const notes = made.notes.map(({ text }) => text);
  return scheme.compute === 'f16' ? half(made.graph, notes) : { graph: made.graph, notes };
}

/** Whether tensors are too large to lie in the model file. */
export const isLarge = (graph: Graph): boolean => {
  let bytes = 0;
  for (const tensor of graph.weights.values()) bytes += tensor.byteLength;
  return bytes > externalBytes;
};

/** Writes a graph to one file, or to two where it is large; `beside` runs before they get their names. */
export async function writeGraph(context: Pick<WriteContext, 'open'>, graph: Graph, file: string, beside: () => Promise<void> = async () => {}): Promise<void> {
  const sink = await context.open(file);
  const data = isLarge(graph) ? await context.open(`${file}_data`) : undefined;
  const location = `${file.slice(file.lastIndexOf('/') + 1)}_data`;
  await committed(data === undefined ? [sink] : [data, sink], async () => {
    await writeOnnx(graph, sink, data === undefined ? {} : { external: { location, sink: data } });
    await beside();
  });
}

/** The planned lines with the errors that rounding made, and pictures of the worst weights. */
export async function described(context: WriteContext, { graph, weights }: Applied): Promise<Pick<Written, 'tensors' | 'histograms'>> {
  const tensors = context.plan.tensors.map((line): TensorLine => {
    const stats = weights.get(line.name)?.stats();
    return stats === undefined || !Number.isFinite(stats.sumOfSquares) ? line : { ...line, ...stats };
  });
  return { tensors, histograms: await histograms(linearSites(graph), weights) };
}
