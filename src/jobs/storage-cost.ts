/** What weights cost in a file that a target writes: the sizes of the tensors that its exporter makes, none of them read. */
import { ggufParts, ggufTensorTypes } from '../export/gguf.ts';
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import type { StorageCost } from '../recipes/state.ts';
import { quantizedLazily } from '../round/quantized-matrix.ts';
import { byteLengthOf, type TensorType } from '../tensor-ref.ts';
import { keepsFloat } from './keep.ts';
import type { Scheme } from './schemes.ts';
import type { SourceModel } from './source.ts';
import { ownTypes } from './targets/gguf.ts';
import { tensorBits } from './targets/onnx.ts';
import { lowBitTables, roundedTables, withLowBitTables } from './targets/onnx-tables.ts';

/** Of the file that a scheme is for. */
export const storageOf = (model: SourceModel, scheme: Scheme, keep: readonly string[]): StorageCost =>
  (parseFormat(scheme.weights).family === 'ggml' ? ggufStorage(model, scheme, keep) : onnxStorage(model, scheme, keep));

/** Of ONNX files, tables of embeddings included as they are written. */
function onnxStorage(model: Pick<SourceModel, 'kind' | 'parameters'>, scheme: Scheme, keep: readonly string[]): StorageCost {
  return {
    weights: model.parameters,
    counted: 'every tensor of the file: codes, scales, zero points and tables, and what stays float; by the weights of the model',
    // What a second layer like it adds: tables and rotations that layers share are not of one of them.
    bitsOf: async (site, format) => (await bitsTogether([{ site, format }, { site: twin(site), format }])) - (await bitsTogether([{ site, format }])),
    shared: async (chosen, own) => (await bitsTogether(chosen)) - own,
    async rest(graph, without) {
      const tables = roundedTables(lowBitTables({ kind: model.kind, graph }, scheme, keep));
      const written = await withLowBitTables(graph, tables);
      return tensorBits({ ...written, weights: new Map([...written.weights].filter(([id]) => !without.has(id))) });
    },
  };
}

/** Bits of layers in one file, as a network of nothing else; what they read is fed. */
async function bitsTogether(chosen: readonly { readonly site: Linear; readonly format: NumberFormat }[]): Promise<number> {
  const value = (name: string): ValueInfo => ({ name, type: undefined, shape: undefined });
  const fed = new Set(chosen.flatMap(({ site }) => site.node.inputs.filter((name) => name !== site.id && name !== '')));
  const graph: Graph = {
    name: 'layers', nodes: chosen.map(({ site }) => site.node), inputs: [...fed].map(value), outputs: chosen.map(({ site }) => value(site.output)),
    weights: new Map(chosen.map(({ site }) => [site.id, site.weight])), values: new Map(), opset: new Map([['', 21]]), metadata: new Map(),
  };
  return tensorBits((await exportWeightOnly(graph, new Map(chosen.map(({ site, format }) => [site.id, quantizedLazily(site, format)])))).graph);
}

/** A layer of the same shape beside this one. */
const twin = (site: Linear): Linear => {
  const id = `${site.id} twin`;
  return {
    ...site, id, output: `${site.output} twin`, weight: { ...site.weight, name: id },
    node: { ...site.node, name: `${site.node.name} twin`, inputs: site.node.inputs.map((name) => (name === site.id ? id : name)), outputs: site.node.outputs.map((name) => `${name} twin`) },
  };
};

/** Of GGUF files; tensors that are not chosen take the type that the scheme names. */
function ggufStorage(model: Pick<SourceModel, 'parameters' | 'language'>, scheme: Scheme, keep: readonly string[]): StorageCost {
  return {
    weights: model.parameters, counted: 'every tensor of the file: blocks, embeddings, and what stays float; by the weights of the model',
    bitsOf: async ({ rows, cols, id }, format) => 8 * byteLengthOf(format.name.replace(/^ggml-/, '') as TensorType, [rows, cols], id),
    async rest(_graph, without) {
      const types = ggufTensorTypes(ggufParts(model.language!), scheme.weights as TensorType, { allowFallback: true, chosen: ownTypes(scheme), keeps: (weight, name) => keepsFloat(weight, name, keep) });
      return types.reduce((sum, { tensor, weight, target }) => (weight !== undefined && without.has(weight) ? sum : sum + 8 * byteLengthOf(target, tensor.shape, tensor.name)), 0);
    },
  };
}
