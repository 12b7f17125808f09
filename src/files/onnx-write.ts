/**
 * ONNX files, writing: Graph to ModelProto. Sizes are computed first, then the bytes are sent in order;
 * tensors pass chunk by chunk, so that the memory in use does not depend on the model. Same graph, same bytes.
 */
import type { Attribute, Graph, Node, ValueInfo } from '../graph/graph.ts';
import { label } from '../graph/traverse.ts';
import { onnxWriteErrors as errors } from './onnx-errors.ts';
import { attributeTypes, irVersionOf, onnxTypes, stringType } from './onnx-types.ts';
import { Message, type LazyBytes } from './protobuf-write.ts';
import { memorySink, type ByteSink } from './source.ts';
import { chunkBytes, isBlockType, type TensorOut, type TensorRef } from '../tensor-ref.ts';

export interface OnnxWriteOptions {
  /** Tensors of at least `threshold` bytes (default 1024) go to `sink`, a file named `location` beside the model. */
  readonly external?: { readonly location: string; readonly sink: ByteSink; readonly threshold?: number };
  /** Default `fewbit`. */
  readonly producer?: string;
}

/** Largest message that protobuf readers accept. */
const maxFileBytes = 2 ** 31 - 1;
/** External tensors begin at multiples of this, the page size that lets an engine map them; small ones need only alignment of their elements. */
const pageBytes = 4096;
const elementAlignment = 64;

/**
 * Writes a graph as an ONNX model, and its large tensors to the external file where one is given.
 * A weight that also has `chunks()` (a tensor about to be made) is taken from there, in order, once.
 * Does not commit: the caller commits or aborts all files of the output together.
 */
export async function writeOnnx(graph: Graph, sink: ByteSink, options: OnnxWriteOptions = {}): Promise<void> {
  const { external } = options;
  const outside = external === undefined ? [] : placeOutside(graph, external.threshold ?? 1024);
  const model = modelMessage(graph, options.producer ?? 'fewbit', external?.location, new Map(outside.map((o) => [o.name, o])));
  if (model.byteLength > maxFileBytes) throw errors.tooLarge({ bytes: model.byteLength });

  if (external !== undefined) {
    const { sink: data } = external;
    for (const { name, offset } of outside) {
      if (offset > data.written) await data.write(new Uint8Array(offset - data.written));
      await sendTensor(data, payloadOf(graph.weights.get(name)!), name);
    }
  }
  for (const piece of model.pieces()) {
    if (piece instanceof Uint8Array) await sink.write(piece);
    else await sendTensor(sink, piece, 'inside the model');
  }
}

/** The bytes of a graph as one ONNX file. */
export async function onnxBytes(graph: Graph, options: { readonly producer?: string } = {}): Promise<Uint8Array> {
  const sink = memorySink();
  await writeOnnx(graph, sink, options);
  await sink.commit();
  return sink.bytes();
}

/** Sends one tensor as a unit that an interrupted run may already have left. */
async function sendTensor(sink: ByteSink, payload: LazyBytes, name: string): Promise<void> {
  if (sink.resume?.(payload.byteLength) === true) return;
  let sent = 0;
  for await (const chunk of payload.chunks()) {
    sent += chunk.byteLength;
    if (sent > payload.byteLength) break;
    await sink.write(chunk);
  }
  if (sent !== payload.byteLength) throw errors.tensorBytes({ name, expected: payload.byteLength, found: sent });
}

const payloadOf = (tensor: TensorRef): LazyBytes => {
  const made = tensor as TensorRef & Partial<Pick<TensorOut, 'chunks'>>;
  return {
    byteLength: tensor.byteLength,
    async *chunks() {
      if (made.chunks !== undefined) {
        yield* made.chunks();
        return;
      }
      for (let begin = 0; begin < tensor.byteLength; begin += chunkBytes) {
        yield await tensor.read(begin, Math.min(begin + chunkBytes, tensor.byteLength));
      }
    },
  };
};

interface Placed { readonly name: string; readonly offset: number }

/** Where each large tensor begins in the external file, in the order of the weights. */
function placeOutside(graph: Graph, threshold: number): Placed[] {
  const placed: Placed[] = [];
  let end = 0;
  for (const [name, tensor] of graph.weights) {
    if (tensor.byteLength < Math.max(1, threshold)) continue;
    const unit = tensor.byteLength >= 16 * pageBytes ? pageBytes : elementAlignment;
    const offset = Math.ceil(end / unit) * unit;
    placed.push({ name, offset });
    end = offset + tensor.byteLength;
  }
  return placed;
}

function modelMessage(graph: Graph, producer: string, location: string | undefined, outside: ReadonlyMap<string, Placed>): Message {
  const opset = new Map(graph.opset);
  addDomains(graph, opset);
  const model = new Message();
  model.int(1, irVersionOf(opset.get('') ?? 1));
  model.text(2, producer);
  model.message(7, graphMessage(graph, location, outside));
  for (const [domain, version] of opset) {
    const entry = new Message();
    entry.text(1, domain);
    entry.int(2, version);
    model.message(8, entry);
  }
  for (const [key, value] of graph.metadata) model.message(14, entryMessage(key, value));
  return model;
}

/** Domains that nodes use and the graph does not list; an engine refuses a node of an unlisted one. */
function addDomains(graph: Graph, opset: Map<string, number>): void {
  for (const node of graph.nodes) {
    if (!opset.has(node.domain)) opset.set(node.domain, 1);
    for (const value of Object.values(node.attributes)) if (value.kind === 'graph') addDomains(value.value, opset);
  }
}

const entryMessage = (key: string, value: string): Message => {
  const entry = new Message();
  entry.text(1, key);
  entry.text(2, value);
  return entry;
};

function graphMessage(graph: Graph, location: string | undefined, outside: ReadonlyMap<string, Placed>): Message {
  const message = new Message();
  for (const node of graph.nodes) message.message(1, nodeMessage(node));
  message.text(2, graph.name === '' ? 'graph' : graph.name);
  for (const [name, tensor] of graph.weights) message.message(5, tensorMessage(name, tensor, location, outside.get(name)));
  for (const input of graph.inputs) {
    if (input.type === undefined && outside !== inBody) throw errors.untyped({ name: input.name });
    message.message(11, valueMessage(input));
  }
  for (const output of graph.outputs) message.message(12, valueMessage(output));
  const edges = new Set([...graph.inputs, ...graph.outputs].map((value) => value.name));
  for (const [name, value] of graph.values) {
    if (value.type !== undefined && !edges.has(name) && !graph.weights.has(name)) message.message(13, valueMessage({ ...value, name }));
  }
  return message;
}

/** Weights of bodies stay in the model: engines look for external data in the outer graph only. */
const inBody: ReadonlyMap<string, Placed> = new Map();

function nodeMessage(node: Node): Message {
  if (node.domain === 'fewbit') throw errors.composite({ node: label(node), op: node.op });
  const message = new Message();
  for (const input of node.inputs) message.text(1, input);
  for (const output of node.outputs) message.text(2, output);
  if (node.name !== '') message.text(3, node.name);
  message.text(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) message.message(5, attributeMessage(name, value));
  if (node.domain !== '') message.text(7, node.domain);
  return message;
}

function attributeMessage(name: string, attribute: Attribute): Message {
  const message = new Message();
  message.text(1, name);
  switch (attribute.kind) {
    case 'float': message.float(2, attribute.value); break;
    case 'int': message.int(3, attribute.value); break;
    case 'string': message.text(4, attribute.value); break;
    case 'tensor': message.message(5, tensorMessage(attribute.value.name, attribute.value, undefined, undefined)); break;
    case 'graph': message.message(6, graphMessage(attribute.value, undefined, inBody)); break;
    case 'floats': for (const value of attribute.value) message.float(7, value); break;
    case 'ints': for (const value of attribute.value) message.int(8, value); break;
    case 'strings': for (const value of attribute.value) message.text(9, value); break;
  }
  message.int(20, attributeTypes[attribute.kind]);
  return message;
}

function tensorMessage(name: string, tensor: TensorRef, location: string | undefined, placed: Placed | undefined): Message {
  const { type } = tensor;
  if (isBlockType(type)) throw errors.blockType({ name, type });
  const message = new Message();
  for (const dim of tensor.shape) message.int(1, dim);
  message.int(2, onnxTypes[type]);
  if (name !== '') message.text(8, name);
  if (placed === undefined || location === undefined) {
    message.lazy(9, payloadOf(tensor));
  } else {
    message.message(13, entryMessage('location', location));
    message.message(13, entryMessage('offset', String(placed.offset)));
    message.message(13, entryMessage('length', String(tensor.byteLength)));
    message.int(14, 1);
  }
  return message;
}

function valueMessage(value: ValueInfo): Message {
  const message = new Message();
  message.text(1, value.name);
  if (value.type === undefined) return message;
  const tensor = new Message();
  tensor.int(1, value.type === 'string' ? stringType : onnxTypes[value.type]);
  if (value.shape !== undefined) {
    const shape = new Message();
    for (const dim of value.shape) {
      const entry = new Message();
      if (typeof dim === 'number') entry.int(1, dim);
      else if (dim !== undefined) entry.text(2, dim);
      shape.message(1, entry);
    }
    tensor.message(2, shape);
  }
  const type = new Message();
  type.message(1, tensor);
  message.message(2, type);
  return message;
}
