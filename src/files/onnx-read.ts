/**
 * ONNX files, reading: ModelProto to Graph. Only the structure is held in memory; tensors stay in the file,
 * or in the file beside it, and are read by range. Field numbers are those of onnx.proto.
 */
import { checkGraph } from '../graph/check.ts';
import { float32Tensor, int64Tensor, renamed } from '../graph/build.ts';
import type { Attribute, Dim, Graph, Node, ValueInfo } from '../graph/graph.ts';
import { label, sortNodes } from '../graph/traverse.ts';
import { readAttribute } from './onnx-attribute.ts';
import { onnxErrors as errors, limits } from './onnx-errors.ts';
import { externalFiles, type ExternalFiles } from './onnx-external.ts';
import { readEntry, readTensor } from './onnx-tensor.ts';
import { elementTypeOf, newestIr, newestOpset, onnxTypeName, stringType } from './onnx-types.ts';
import { Wire, type Parsing } from './protobuf.ts';
import type { ByteSource, Folder } from './source.ts';
import type { TensorRef } from '../tensor-ref.ts';

/** A graph and what its file said about itself. */
export interface OnnxModel {
  readonly graph: Graph;
  readonly irVersion: number;
  /** Name and version of the writer; empty when it gave none. */
  readonly producer: string;
  /** Names of the external data files in use. */
  readonly externalFiles: readonly string[];
  /** Closes the external data files; the weights cannot be read afterwards. The model's own source stays the caller's. */
  close(): Promise<void>;
}

/** What the parsers of one model share. */
export interface Reading {
  readonly wire: Wire;
  readonly file: string;
  /** One map for the model and all bodies; filled once the whole file was seen. */
  readonly opset: Map<string, number>;
  readonly external: ExternalFiles;
  nodes: number;
  weights: number;
  values: number;
}

/**
 * Reads the structure of an ONNX model. Constant nodes become weights; a default value of an input makes it a weight;
 * nodes are brought into topological order; doc strings and quantization annotations are dropped.
 * `folder` is where external data is looked for. Throws one clear error for anything outside of the standard or the limits.
 */
export async function openOnnx(source: ByteSource, folder?: Folder): Promise<Graph> {
  return (await openOnnxModel(source, folder)).graph;
}

/** As `openOnnx`, with what the file says about itself. */
export async function openOnnxModel(source: ByteSource, folder?: Folder): Promise<OnnxModel> {
  const file = source.name;
  if (source.size === 0) throw errors.empty({ file });
  const wire = new Wire(source);
  const external = externalFiles(file, folder);
  const reading: Reading = { wire, file, opset: new Map(), external, nodes: 0, weights: 0, values: 0 };
  try {
    const model = await wire.run(readModel(reading, source.size));
    await external.open();
    checkGraph(model.graph);
    return { ...model, externalFiles: external.names(), close: () => external.close() };
  } catch (error) {
    await external.close();
    throw error;
  }
}

function* readModel(reading: Reading, end: number): Parsing<{ graph: Graph; irVersion: number; producer: string }> {
  const { wire, file, opset } = reading;
  const metadata = new Map<string, string>();
  let irVersion = 0;
  let producer = '';
  let version = '';
  let graph: Graph | undefined;
  while (yield* wire.next(end)) {
    switch (wire.field) {
      case 1: irVersion = wire.int(); break;
      case 2: producer = yield* wire.text(limits.nameBytes); break;
      case 3: version = yield* wire.text(limits.nameBytes); break;
      case 7: {
        if (graph !== undefined) throw errors.twice({ file, what: 'the graph' });
        graph = yield* readGraph(reading, wire.message(), 0, metadata);
        break;
      }
      case 8: yield* readOpset(reading, wire.message()); break;
      case 14: {
        const [key, value] = yield* readEntry(wire, wire.message(), limits.metadataBytes);
        if (metadata.has(key)) throw errors.twice({ file, what: `metadata ${key}` });
        if (metadata.size >= limits.metadataEntries) throw errors.tooMany({ file, what: 'metadata entries', limit: limits.metadataEntries });
        metadata.set(key, value);
        break;
      }
      case 20: throw errors.training({ file });
      case 25: throw errors.functions({ file, name: yield* readFunctionName(reading, wire.message()) });
      case 26: throw errors.deviceConfiguration({ file });
      default: wire.skip();
    }
  }
  if (graph === undefined) throw errors.notOnnx({ file, reason: 'it holds no graph' });
  if (irVersion < 1 || irVersion > newestIr) throw errors.irVersion({ file, version: irVersion, newest: newestIr });
  if (!opset.has('')) throw errors.noOpset({ file });
  return { graph, irVersion, producer: `${producer} ${version}`.trim() };
}

function* readOpset({ wire, file, opset }: Reading, end: number): Parsing<void> {
  let domain = '';
  let version = 0;
  while (yield* wire.next(end)) {
    if (wire.field === 1) domain = yield* wire.text(limits.nameBytes);
    else if (wire.field === 2) version = wire.int();
    else wire.skip();
  }
  const known = standardDomain(domain);
  if (version < 1 || !Number.isSafeInteger(version) || (known === '' && version > newestOpset)) {
    throw errors.opset({ file, domain: known === '' ? 'ai.onnx' : known, version, newest: newestOpset });
  }
  if (opset.has(known) && opset.get(known) !== version) throw errors.twice({ file, what: `operator set ${known === '' ? 'ai.onnx' : known}` });
  if (opset.size >= limits.operatorSets) throw errors.tooMany({ file, what: 'operator sets', limit: limits.operatorSets });
  opset.set(known, version);
}

const standardDomain = (domain: string): string => (domain === 'ai.onnx' ? '' : domain);

function* readFunctionName({ wire }: Reading, end: number): Parsing<string> {
  let name = 'without a name';
  while (yield* wire.next(end)) {
    if (wire.field === 1) name = yield* wire.text(limits.nameBytes);
    else wire.skip();
  }
  return name;
}

/** Reads a GraphProto that ends at `end`; `depth` counts the bodies around it. */
export function* readGraph(reading: Reading, end: number, depth: number, metadata: ReadonlyMap<string, string> = new Map()): Parsing<Graph> {
  const { wire, file } = reading;
  if (depth > limits.graphDepth) throw errors.tooDeep({ file, limit: limits.graphDepth });
  let name = '';
  const nodes: Node[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const weights = new Map<string, TensorRef>();
  const values = new Map<string, ValueInfo>();
  while (yield* wire.next(end)) {
    switch (wire.field) {
      case 1:
        if (++reading.nodes > limits.nodes) throw errors.tooMany({ file, what: 'nodes', limit: limits.nodes });
        nodes.push(yield* readNode(reading, wire.message(), depth));
        break;
      case 2: name = yield* wire.text(limits.nameBytes); break;
      case 5: {
        if (++reading.weights > limits.weights) throw errors.tooMany({ file, what: 'weights', limit: limits.weights });
        const record = yield* readTensor(wire, wire.message());
        if (record.name === '') throw errors.unnamed({ file, what: 'a weight' });
        if (weights.has(record.name)) throw errors.twice({ file, what: `weight ${record.name}` });
        weights.set(record.name, reading.external.tensor(record));
        break;
      }
      case 11: inputs.push(yield* readValue(reading, wire.message(), true)); break;
      case 12: outputs.push(yield* readValue(reading, wire.message(), true)); break;
      case 13: {
        const value = yield* readValue(reading, wire.message(), false);
        if (value.name !== '' && (value.type !== undefined || value.shape !== undefined)) values.set(value.name, value);
        break;
      }
      case 15: throw errors.sparse({ file, name: 'a weight' });
      default: wire.skip();
    }
  }
  const kept = nodes.filter((node) => !becomesWeight(node, outputs, weights));
  for (const edge of [...inputs, ...outputs]) values.delete(edge.name);
  for (const weight of weights.keys()) values.delete(weight);
  const graph: Graph = {
    name, nodes: kept, outputs, weights, values, opset: reading.opset, metadata,
    inputs: inputs.filter((input) => !weights.has(input.name)),
  };
  return { ...graph, nodes: sortNodes(graph) };
}

/** Moves the tensor of a Constant node to the weights; one that is a graph output stays a node. */
function becomesWeight(node: Node, outputs: readonly ValueInfo[], weights: Map<string, TensorRef>): boolean {
  if (node.op !== 'Constant' || node.domain !== '' || node.outputs.length !== 1) return false;
  const [output] = node.outputs;
  const value = constantValue(node, output);
  if (value === undefined || output === '' || weights.has(output) || outputs.some(({ name }) => name === output)) return false;
  weights.set(output, value);
  return true;
}

/** The tensor that a Constant node holds, under another name; undefined for strings. */
function constantValue(node: Node, name: string): TensorRef | undefined {
  const { value, value_int, value_ints, value_float, value_floats } = node.attributes;
  if (value?.kind === 'tensor') return renamed(value.value, name);
  if (value_int?.kind === 'int') return int64Tensor(name, value_int.value);
  if (value_ints?.kind === 'ints') return int64Tensor(name, value_ints.value);
  if (value_float?.kind === 'float') return float32Tensor(name, value_float.value);
  if (value_floats?.kind === 'floats') return float32Tensor(name, value_floats.value);
  return undefined;
}

function* readNode(reading: Reading, end: number, depth: number): Parsing<Node> {
  const { wire, file } = reading;
  let name = '';
  let op = '';
  let domain = '';
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, Attribute>();
  while (yield* wire.next(end)) {
    switch (wire.field) {
      case 1: inputs.push(yield* wire.text(limits.nameBytes)); break;
      case 2: outputs.push(yield* wire.text(limits.nameBytes)); break;
      case 3: name = yield* wire.text(limits.nameBytes); break;
      case 4: op = yield* wire.text(limits.nameBytes); break;
      case 5: {
        const where = name !== '' ? name : op !== '' ? op : 'without a name';
        const [key, value] = yield* readAttribute(reading, wire.message(), where, depth);
        if (attributes.has(key)) throw errors.twice({ file, what: `attribute ${key} of node ${where}` });
        attributes.set(key, value);
        break;
      }
      case 7: domain = standardDomain(yield* wire.text(limits.nameBytes)); break;
      default: wire.skip();
    }
    if (inputs.length > limits.nodePorts || outputs.length > limits.nodePorts || attributes.size > limits.nodePorts) {
      throw errors.tooMany({ file, what: 'inputs, outputs or attributes of one node', limit: limits.nodePorts });
    }
  }
  const node = { name, op, domain, inputs, outputs, attributes: Object.fromEntries(attributes) };
  if (op === '') throw errors.noOperator({ file, node: label(node) });
  return node;
}

/** Reads a ValueInfoProto; at the edge of a graph anything but a dense tensor is refused, inside it is left open. */
function* readValue(reading: Reading, end: number, edge: boolean): Parsing<ValueInfo> {
  const { wire, file } = reading;
  if (++reading.values > limits.values) throw errors.tooMany({ file, what: 'values', limit: limits.values });
  let name = '';
  let found: ValueType = { type: undefined, shape: undefined, other: undefined };
  while (yield* wire.next(end)) {
    if (wire.field === 1) name = yield* wire.text(limits.nameBytes);
    else if (wire.field === 2) found = yield* readType(reading, wire.message());
    else wire.skip();
  }
  const { type, shape, other } = found;
  if (edge && other !== undefined) throw errors.valueType({ file, name, type: other });
  if (shape !== undefined && shape.length > limits.rank) throw errors.rank({ file, name, limit: limits.rank });
  return { name, type, shape };
}

interface ValueType extends Pick<ValueInfo, 'type' | 'shape'> {
  /** What it is when it is not a dense tensor of a known element type. */
  readonly other: string | undefined;
}

function* readType(reading: Reading, end: number): Parsing<ValueType> {
  let found: ValueType = { type: undefined, shape: undefined, other: undefined };
  while (yield* reading.wire.next(end)) {
    if (reading.wire.field === 1) {
      found = yield* readTensorType(reading, reading.wire.message());
    } else {
      const other = kinds[reading.wire.field];
      if (other !== undefined) found = { ...found, other };
      reading.wire.skip();
    }
  }
  return found;
}

function* readTensorType(reading: Reading, end: number): Parsing<ValueType> {
  const { wire } = reading;
  let type: ValueInfo['type'];
  let shape: Dim[] | undefined;
  let other: string | undefined;
  while (yield* wire.next(end)) {
    if (wire.field === 1) {
      const number = wire.int();
      type = number === stringType ? 'string' : elementTypeOf(number);
      if (type === undefined && number !== 0) other = onnxTypeName(number);
    } else if (wire.field === 2) {
      shape = yield* readShape(reading, wire.message());
    } else {
      wire.skip();
    }
  }
  return { type, shape, other };
}

const kinds: Readonly<Record<number, string>> = { 4: 'sequence', 5: 'map', 7: 'opaque', 8: 'sparse tensor', 9: 'optional' };

/** Exporters write −1 or nothing for a dimension that they do not know. */
function* readShape({ wire }: Reading, end: number): Parsing<Dim[]> {
  const shape: Dim[] = [];
  while (yield* wire.next(end)) {
    if (wire.field !== 1) { wire.skip(); continue; }
    let dim: Dim;
    const dimEnd = wire.message();
    while (yield* wire.next(dimEnd)) {
      if (wire.field === 1) dim = wire.int() >= 0 ? wire.int() : undefined;
      else if (wire.field === 2) dim = (yield* wire.text(limits.nameBytes)) || undefined;
      else wire.skip();
    }
    // One too many is enough to be refused.
    if (shape.length <= limits.rank) shape.push(dim);
  }
  return shape;
}
