/**
 * Graphs that compute in half or double precision, in float32: recipes, formats and engines meet one type of floats.
 * Inputs and outputs keep their types; what other types a graph uses beside its layers stays as it is.
 */
import type { ElementType, TensorRef } from '../tensor-ref.ts';
import { int, tensor as tensorAttribute } from './build.ts';
import { onnxTypes } from './data-types.ts';
import type { Attribute, Graph, Node, ValueInfo } from './graph.ts';
import { linearSites } from './linear.ts';
import { freshNames, makeNode, mapBodies, renameValues } from './rewrite.ts';
import { encodeNumbers, readFloats } from './values.ts';

/** The graph with the types that its layers' weights have turned to float32; the same graph where they have it already. */
export function singlePrecision(graph: Graph): Graph {
  const types = new Set<string | undefined>(linearSites(graph, { gather: true }).map(({ weight }) => weight.type).filter((type) => type !== 'f32'));
  return types.size === 0 ? graph : withOwnEnds(graph, types);
}

/** The graph in float32 between casts of those inputs and outputs that have another type. */
function withOwnEnds(graph: Graph, types: ReadonlySet<string | undefined>): Graph {
  const fresh = freshNames(graph);
  const makers = new Set([...graph.weights.keys(), ...graph.nodes.flatMap(({ outputs }) => outputs)]);
  const inputs = graph.inputs.filter(({ type }) => types.has(type));
  const outputs = graph.outputs.filter(({ name, type }) => types.has(type) && makers.has(name));
  const names = new Map([...inputs, ...outputs].map(({ name }) => [name, fresh(`${name}_single`)]));
  const inner = inSingle(renameValues(graph, names), types);
  const cast = (from: string, to: string, type: ElementType): Node => makeNode('Cast', [from], [to], { name: fresh(`${to}_Cast`), attributes: { to: int(onnxTypes[type]) } });
  return {
    ...inner, inputs: graph.inputs, outputs: graph.outputs,
    nodes: [
      ...inputs.map(({ name }) => cast(name, names.get(name)!, 'f32')), ...inner.nodes,
      ...outputs.map(({ name, type }) => cast(names.get(name)!, name, type as ElementType)),
    ],
  };
}

/** Every weight, value, body and attribute of these types as float32. */
function inSingle(graph: Graph, types: ReadonlySet<string | undefined>): Graph {
  const info = (value: ValueInfo): ValueInfo => (types.has(value.type) ? { ...value, type: 'f32' } : value);
  const weight = (tensor: TensorRef): TensorRef => (types.has(tensor.type) ? single(tensor) : tensor);
  const attribute = (name: string, value: Attribute): Attribute => (
    value.kind === 'tensor' ? tensorAttribute(weight(value.value))
    : value.kind === 'int' && typeAttributes.has(name) && [...types].some((type) => onnxTypes[type as ElementType] === value.value) ? int(onnxTypes.f32)
    : value);
  return {
    ...graph,
    inputs: graph.inputs.map(info), outputs: graph.outputs.map(info),
    values: new Map([...graph.values].map(([name, value]) => [name, info(value)])),
    weights: new Map([...graph.weights].map(([name, tensor]) => [name, weight(tensor)])),
    nodes: graph.nodes.map((node) => {
      const next = mapBodies(node, (body) => inSingle(body, types));
      return { ...next, attributes: Object.fromEntries(Object.entries(next.attributes).map(([name, value]) => [name, attribute(name, value)])) };
    }),
  };
}

/** Attributes that name the type of a result. */
const typeAttributes: ReadonlySet<string> = new Set(['to', 'dtype', 'output_datatype']);

/** A tensor in float32, made while it is read. */
function single(tensor: TensorRef): TensorRef {
  const { name, shape, transposeOf } = tensor;
  const count = shape.reduce((product, extent) => product * extent, 1);
  return {
    name, type: 'f32', shape, byteLength: 4 * count,
    ...(transposeOf === undefined ? {} : { transposeOf: single(transposeOf) }),
    read: async (begin = 0, end = 4 * count) => {
      const first = Math.floor(begin / 4);
      const bytes = encodeNumbers('f32', await readFloats(tensor, first, Math.ceil(end / 4)));
      return bytes.subarray(begin - 4 * first, end - 4 * first);
    },
  };
}
