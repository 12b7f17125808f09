/** AttributeProto: the parameters of a node, their type checked against the field that carries them. */
import type { Attribute, Graph } from '../graph/graph.ts';
import { onnxErrors as errors, limits } from './onnx-errors.ts';
import { readGraph, type Reading } from './onnx-read.ts';
import { readTensor } from './onnx-tensor.ts';
import { attributeTypeNames, attributeTypes as types } from './onnx-types.ts';
import type { Parsing } from './protobuf.ts';
import type { TensorRef } from '../tensor-ref.ts';

/** Stands for "to the end" in Slice and has no exact double. */
const int64Max = 2 ** 63;

/** Reads the attribute that ends at `end`, of a node called `node` in messages. */
export function* readAttribute(reading: Reading, end: number, node: string, depth: number): Parsing<[name: string, value: Attribute]> {
  const { wire, file } = reading;
  let attribute = '';
  let type = 0;
  let seen = 0;
  let float = 0;
  let int = 0;
  let text = '';
  let tensor: TensorRef | undefined;
  let graph: Graph | undefined;
  const floats: number[] = [];
  const ints: number[] = [];
  const strings: string[] = [];
  const refuse = (number: number) =>
    errors.attributeType({ file, node, attribute, type: attributeTypeNames.get(number) ?? `number ${number}` });
  while (yield* wire.next(end)) {
    switch (wire.field) {
      case 1: attribute = yield* wire.text(limits.nameBytes); break;
      case 2: float = wire.float(); seen = types.float; break;
      case 3: int = wire.int(); seen = types.int; break;
      case 4: text = yield* wire.text(limits.metadataBytes); seen = types.string; break;
      case 5: {
        if (tensor !== undefined) throw errors.twice({ file, what: `the tensor of attribute ${attribute} of node ${node}` });
        tensor = reading.external.tensor(yield* readTensor(wire, wire.message()));
        seen = types.tensor;
        break;
      }
      case 6:
        if (graph !== undefined) throw errors.twice({ file, what: `the graph of attribute ${attribute} of node ${node}` });
        graph = yield* readGraph(reading, wire.message(), depth + 1);
        seen = types.graph;
        break;
      case 7: yield* wire.floats(floats, limits.listAttribute); seen = types.floats; break;
      case 8: yield* wire.ints(ints, limits.listAttribute); seen = types.ints; break;
      case 9: strings.push(yield* wire.text(limits.metadataBytes)); seen = types.strings; break;
      case 10: throw refuse(types.tensors);
      case 11: throw refuse(types.graphs);
      case 14: throw refuse(types.typeProto);
      case 15: throw refuse(types.typeProtos);
      case 20: type = wire.int(); break;
      case 21: {
        // An empty reference is no reference.
        if ((yield* wire.text(limits.nameBytes)) !== '') throw errors.attributeReference({ file, node, attribute });
        break;
      }
      case 22: case 23: throw errors.sparse({ file, name: `attribute ${attribute} of node ${node}` });
      default: wire.skip();
    }
  }
  if (attribute === '') throw errors.unnamed({ file, what: `an attribute of node ${node}` });
  const exact = (value: number): number => {
    if (Number.isSafeInteger(value) || value === int64Max || value === -int64Max) return value;
    throw errors.integer({ file, where: `attribute ${attribute} of node ${node}`, value });
  };
  // Files older than container version 2 leave the type out.
  switch (type === 0 ? seen : type) {
    case types.float: return [attribute, { kind: 'float', value: float }];
    case types.int: return [attribute, { kind: 'int', value: exact(int) }];
    case types.string: return [attribute, { kind: 'string', value: text }];
    case types.floats: return [attribute, { kind: 'floats', value: floats }];
    case types.ints: return [attribute, { kind: 'ints', value: ints.map(exact) }];
    case types.strings: return [attribute, { kind: 'strings', value: strings }];
    case types.tensor:
      if (tensor === undefined) throw errors.attributeEmpty({ file, node, attribute, type: 'tensor' });
      return [attribute, { kind: 'tensor', value: tensor }];
    case types.graph:
      if (graph === undefined) throw errors.attributeEmpty({ file, node, attribute, type: 'graph' });
      return [attribute, { kind: 'graph', value: graph }];
    default: throw refuse(type);
  }
}
