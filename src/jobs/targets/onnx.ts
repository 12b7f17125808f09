/** ONNX files: the graph with its weights in the form that the scheme asks for. */
import { exportWithInputs } from '../../export/onnx-activations.ts';
import { exportDynamicInt8 } from '../../export/onnx-dynamic.ts';
import { exportHalf } from '../../export/onnx-half.ts';
import { exportIntegerOnly } from '../../export/onnx-integer.ts';
import { exportStaticInt8 } from '../../export/onnx-static.ts';
import { exportWeightOnly, type WeightOnlyResult } from '../../export/onnx-weight-only.ts';
import { writeOnnx } from '../../files/onnx.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites } from '../../graph/linear.ts';
import { isFloatType } from '../../graph/values.ts';
import type { Applied } from '../../recipes/apply.ts';
import { languageNote, languageNoteOf } from '../../models/onnx-language-model.ts';
import { elementTypes, type TensorRef } from '../../tensor-ref.ts';
import { histograms } from '../histogram.ts';
import type { TensorLine } from '../result.ts';
import type { Scheme } from '../schemes.ts';
import { committed, type TargetWriter, type WriteContext, type Written } from '../target.ts';
import { ownWeights } from '../layer-formats.ts';
import { planGraph } from './onnx-plan.ts';
import { lowBitTables, roundedTables, tableNotes, withLowBitTables } from './onnx-tables.ts';

/** Above this, tensors lie in a file beside the model: protobuf readers stop at 2 GB, and engines map external data. */
const externalBytes = 512 * 1024 * 1024;

export const onnxTarget: TargetWriter = {
  plan: async (model, spec, settings) => planGraph(model, spec, settings),
  async write(context) {
    const { graph, applied, notes } = await schemeGraph(context);
    await writeGraph(context, graph, context.spec.file);
    const files = [context.spec.file, ...(isLarge(graph) ? [`${context.spec.file}_data`] : [])];
    return { files, notes: notes(), tensorBits: tensorBits(graph), ...(await described(context, applied)) };
  },
};

export interface SchemeGraph {
  readonly graph: Graph;
  /** With every matrix that was rounded. */
  readonly applied: Applied;
  /** Complete once the graph is written: weights are looked at as they pass. */
  notes(): readonly string[];
}

/** The graph that a file holds: the recipe carried out, embeddings included, in the form that the scheme asks for. */
export async function schemeGraph({ model, spec: { scheme }, settings, apply }: Pick<WriteContext, 'model' | 'spec' | 'settings' | 'apply'>): Promise<SchemeGraph> {
  const { graph, weights, ranges, activations, ...rest } = await apply();
  const tables = lowBitTables({ kind: model.kind, graph }, scheme, settings.keep);
  const rounded = roundedTables(tables);
  const all = new Map([...weights, ...rounded]);
  const low = weights.size === 0 ? { graph, notes: [] }
    : rest.integerOnly === true ? await exportIntegerOnly(graph, { weights, ranges })
    : scheme.activations === 'static' ? await besideOwn(weights, scheme, (others) => exportStaticInt8(graph, { weights: others, ranges }))
    : scheme.activations === 'dynamic' ? await besideOwn(weights, scheme, (others) => exportDynamicInt8(graph, others))
    : activations.size === 0 ? await exportWeightOnly(graph, weights)
    : await exportWithInputs(graph, weights, activations);
  const looked = await withLowBitTables(low.graph, rounded);
  const half = scheme.compute === 'f16' ? await exportHalf(looked, rest.extremes === undefined ? {} : { extremes: rest.extremes }) : undefined;
  const unseen = half !== undefined && rest.extremes === undefined ? ['half floats end at 65504, and no value was checked against it: that takes sample inputs'] : [];
  return {
    graph: withNote(half?.graph ?? looked, model, all, graph, activations), applied: { graph, weights: all, ranges, activations, ...rest },
    notes: () => [...rest.notes, ...low.notes.map(({ text }) => text), ...tableNotes(tables), ...(half?.notes ?? []).map(({ text }) => text), ...unseen],
  };
}

/**
 * Integer arithmetic for all layers but those that were given a format it has no kernels for: these keep their packed
 * codes beside float inputs. Narrow integers are among them, which the kernels would hold in 8 bits.
 */
async function besideOwn(weights: Applied['weights'], scheme: Scheme, integers: (others: Applied['weights']) => Promise<WeightOnlyResult>): Promise<WeightOnlyResult> {
  const own = ownWeights(scheme);
  if (own.size === 0) return integers(weights);
  const made = await integers(new Map([...weights].filter(([id, { format }]) => !own.has(id) || format.bits === 8)));
  const left = new Set(linearSites(made.graph).map(({ id }) => id));
  const packed = await exportWeightOnly(made.graph, new Map([...weights].filter(([id]) => own.has(id) && left.has(id))));
  return { graph: packed.graph, notes: [...made.notes.filter(({ kind, name }) => kind !== 'float' || !own.has(name)), ...packed.notes] };
}

/** The graph with what says which language model it is, so that the low-bit engine reads it back. */
function withNote(made: Graph, { language, graph: source }: WriteContext['model'], weights: Applied['weights'], before: Graph, activations: Applied['activations']): Graph {
  if (language === undefined) return made;
  const formats = new Map([...weights].map(([id, { format }]) => [id, format]));
  const inputs = new Map(linearSites(before).flatMap(({ id, output }) => { const format = activations.get(output); return format === undefined ? [] : [[id, format] as const]; }));
  return { ...made, metadata: new Map([...made.metadata, [languageNote, languageNoteOf(language.rawConfig, formats, inputs, sameNodes(before, source))]]) };
}

/** Whether a recipe left the network as it was, but for the values of weights. */
const sameNodes = (a: Graph, b: Graph): boolean => {
  const spelled = ({ nodes }: Graph): string => JSON.stringify(nodes.map(({ op, name, inputs, outputs }) => [op, name, inputs, outputs]));
  return a === b || spelled(a) === spelled(b);
};

/** Bits of all tensors of a graph. */
export const tensorBits = ({ weights }: Graph): number => [...weights.values()].reduce((sum, { byteLength }) => sum + 8 * byteLength, 0);

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

/**
 * The planned lines as they came out: formats that the recipe chose, weights that it kept float or put in, the errors that
 * rounding made; and pictures of the worst weights.
 */
export async function described(context: WriteContext, { graph, weights, kept, allocation }: Applied): Promise<Pick<Written, 'tensors' | 'histograms' | 'allocation'>> {
  const { compute } = context.spec.scheme;
  const float = ({ type, shape }: Pick<TensorRef, 'type' | 'shape'>): Pick<TensorLine, 'shape' | 'target' | 'bytesAfter'> => {
    const target = type === 'f16' ? type : compute;
    return { shape, target, bytesAfter: (shape.reduce((product, dim) => product * dim, 1) * elementTypes[target].bits) / 8 };
  };
  const stored = new Map(allocation?.layers.map(({ id, bits }) => [id, bits / 8]));
  // Of what a recipe was going to put in, the data had the last word.
  const planned = context.plan.tensors.filter(({ name, source }) => source !== 'none' || graph.weights.has(name)).map((line): TensorLine => {
    const matrix = weights.get(line.name);
    if (line.source === 'none') return { ...line, ...float(graph.weights.get(line.name)!) };
    if (matrix === undefined) return kept.has(line.name) ? { ...line, ...float({ type: compute, shape: line.shape }) } : line;
    const { format, rows, cols } = matrix;
    const stats = matrix.stats();
    const made = { ...line, target: format.name, bytesAfter: stored.get(line.name) ?? Math.ceil((rows * cols * format.bitsPerWeight(rows, cols)) / 8) };
    return stats === undefined || !Number.isFinite(stats.sumOfSquares) ? made : { ...made, ...stats };
  });
  const names = new Set(planned.map(({ name }) => name));
  const added = [...graph.weights].flatMap(([name, tensor]): TensorLine[] =>
    (names.has(name) || weights.has(name) || !isFloatType(tensor.type) ? [] : [{ name, source: 'none', bytesBefore: 0, ...float(tensor) }]));
  return { tensors: [...planned, ...added], histograms: await histograms(linearSites(graph), weights), ...(allocation === undefined ? {} : { allocation }) };
}
