/** How an ONNX file can be wrong, and the limits it is held to. */
import { defineErrors } from '../errors.ts';

export const limits = {
  /** Names of values and nodes; the longest in real exports are a few hundred bytes. */
  nameBytes: 16 * 1024,
  /** Metadata values hold class lists, tokenizer files, training notes. */
  metadataBytes: 4 * 1024 * 1024,
  metadataEntries: 10_000,
  /** A 70-billion-weight language model has about 10 000 nodes; unrolled detectors reach 50 000. */
  nodes: 250_000,
  weights: 250_000,
  values: 500_000,
  /** Inputs, outputs or attributes of one node; the widest real ones are Concat and Loop. */
  nodePorts: 65_536,
  listAttribute: 1_000_000,
  /** If inside Loop inside If …; the deepest real models nest four levels. */
  graphDepth: 16,
  rank: 32,
  operatorSets: 64,
  externalEntries: 16,
} as const;

export const onnxErrors = defineErrors('onnx', {
  notOnnx: (f: { file: string; reason: string }) => [`${f.file}: not an ONNX model: ${f.reason}`, 'give a file that an ONNX exporter wrote'],
  empty: (f: { file: string }) => `${f.file}: the file is empty`,
  irVersion: (f: { file: string; version: number; newest: number }) =>
    `${f.file}: container version ${f.version} is not known (1 to ${f.newest})`,
  noOpset: (f: { file: string }) => `${f.file}: the model does not say which operator set it uses`,
  opset: (f: { file: string; domain: string; version: number; newest: number }) =>
    `${f.file}: operator set ${f.version} of ${f.domain} is not known (1 to ${f.newest})`,
  twice: (f: { file: string; what: string }) => `${f.file}: ${f.what} is given twice`,
  tooMany: (f: { file: string; what: string; limit: number }) => `${f.file}: more than ${f.limit} ${f.what}`,
  tooDeep: (f: { file: string; limit: number }) => `${f.file}: graphs nested more than ${f.limit} deep`,
  functions: (f: { file: string; name: string }) => [
    `${f.file}: the model defines its own function ${f.name}`,
    'inline functions at export (in PyTorch: dynamo=False)',
  ],
  training: (f: { file: string }) => `${f.file}: the model carries training information, which has no counterpart here`,
  sparse: (f: { file: string; name: string }) => `${f.file}: ${f.name} is a sparse tensor; only dense ones are read`,
  attributeType: (f: { file: string; node: string; attribute: string; type: string }) =>
    `${f.file}: node ${f.node}: attribute ${f.attribute} has type ${f.type}, which is not read`,
  attributeReference: (f: { file: string; node: string; attribute: string }) =>
    `${f.file}: node ${f.node}: attribute ${f.attribute} refers to a function's attribute outside of any function`,
  attributeEmpty: (f: { file: string; node: string; attribute: string; type: string }) =>
    `${f.file}: node ${f.node}: attribute ${f.attribute} of type ${f.type} has no value`,
  unnamed: (f: { file: string; what: string }) => `${f.file}: ${f.what} without a name`,
  noOperator: (f: { file: string; node: string }) => `${f.file}: node ${f.node} names no operator`,
  integer: (f: { file: string; where: string; value: number }) =>
    `${f.file}: ${f.where}: ${f.value} is outside the integers kept exactly (2^53)`,
  valueType: (f: { file: string; name: string; type: string }) => `${f.file}: ${f.name} has type ${f.type}; only tensors are read`,
  tensorType: (f: { file: string; name: string; type: string }) => `${f.file}: tensor ${f.name} has element type ${f.type}, which is not read`,
  rank: (f: { file: string; name: string; limit: number }) => `${f.file}: ${f.name} has more than ${f.limit} dimensions`,
  dimension: (f: { file: string; name: string; value: number }) => `${f.file}: ${f.name} has dimension ${f.value}`,
  segment: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} is stored in segments, which no exporter writes`,
  dataTwice: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} has its data in two places`,
  dataField: (f: { file: string; name: string; field: string; type: string }) =>
    `${f.file}: tensor ${f.name} of type ${f.type} has its data in ${f.field}`,
  dataLength: (f: { file: string; name: string; shape: readonly number[]; type: string; expected: number; found: number; unit: string }) =>
    `${f.file}: tensor ${f.name}: shape [${f.shape.join(', ')}] of ${f.type} needs ${f.expected} ${f.unit}, found ${f.found}`,
  dataRange: (f: { file: string; name: string; value: number; type: string }) =>
    `${f.file}: tensor ${f.name}: ${f.value} is not a value of ${f.type}`,
  noFolder: (f: { file: string; name: string; location: string }) => [
    `${f.file}: tensor ${f.name} lies in ${f.location}, and no folder was given to look in`,
    'give the folder or path of the model, not its bytes alone',
  ],
  noLocation: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} is external but names no file`,
  badLocation: (f: { file: string; name: string; location: string }) =>
    `${f.file}: tensor ${f.name} lies in ${JSON.stringify(f.location)}; external data must be beside the model`,
  missingLocation: (f: { file: string; name: string; location: string }) => [
    `${f.file}: tensor ${f.name} lies in ${f.location}, which is missing`,
    'put the external data file beside the model',
  ],
  externalNumber: (f: { file: string; name: string; key: string; value: string }) =>
    `${f.file}: tensor ${f.name}: external ${f.key} ${JSON.stringify(f.value)} is not a byte count`,
  externalEnd: (f: { file: string; name: string; location: string; end: number; size: number }) =>
    `${f.file}: tensor ${f.name} ends at byte ${f.end} of ${f.location}, which has ${f.size}`,
  externalOverlap: (f: { file: string; name: string; other: string; location: string }) =>
    `${f.file}: tensors ${f.other} and ${f.name} overlap in ${f.location}`,
  dataLocation: (f: { file: string; name: string; value: number }) => `${f.file}: tensor ${f.name}: unknown data location ${f.value}`,
  deviceConfiguration: (f: { file: string }) => `${f.file}: the model is split over devices, which has no counterpart here`,
});

export const onnxWriteErrors = defineErrors('onnxWrite', {
  blockType: (f: { name: string; type: string }) => [
    `tensor ${f.name}: type ${f.type} does not exist in ONNX`,
    'decode it to an element type first',
  ],
  composite: (f: { node: string; op: string }) => `node ${f.node}: composite operator ${f.op} was not lowered to standard operators`,
  untyped: (f: { name: string }) => `graph input ${f.name} has no element type`,
  tooLarge: (f: { bytes: number }) => [
    `the model is ${f.bytes} bytes in one file; protobuf readers stop at 2147483647`,
    'write the tensors to an external file',
  ],
  tensorBytes: (f: { name: string; expected: number; found: number }) =>
    `tensor ${f.name}: promised ${f.expected} bytes, gave ${f.found}`,
});
