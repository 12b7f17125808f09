/** ONNX files made to harm or to confuse, each with the words that the one-line answer must hold. */
import { external, fixed32, graph, model, num, opset, relu, sub, utf8, value, varint, weighted, type Bytes } from './onnx-bytes.ts';

export interface HostileOnnx {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly expect: RegExp;
  /** Files beside the model; absent when the model is read alone. */
  readonly folder?: Readonly<Record<string, Uint8Array>>;
}

const raw = (count: number): Bytes => sub(9, Array<number>(count).fill(0));
const name = sub(8, 'w');
const f32 = num(2, 1);
const four = [num(1, 4), f32, name] as const;
const at = (...entries: [string, string][]): Uint8Array => weighted(...four, ...external(...entries));
const beside = { 'w.bin': new Uint8Array(16) };
const attribute = (...fields: Bytes[]): Uint8Array => model(graph(sub(1, sub(1, 'x'), sub(2, 'y'), sub(4, 'Op'), sub(5, sub(1, 'a'), ...fields))));

/** If inside If inside If …: each body is the graph attribute of the node before. */
function nested(depth: number): Uint8Array {
  let body: Bytes = [...sub(1, sub(2, 'y'), sub(4, 'Op')), ...sub(12, sub(1, 'y'))];
  for (let i = 0; i < depth; i++) body = sub(1, sub(2, 'y'), sub(4, 'If'), sub(5, sub(1, 'b'), sub(6, body), num(20, 5)));
  return model(sub(7, body, sub(12, sub(1, 'y'))));
}

const repeated = (unit: Bytes, count: number): Uint8Array => {
  const out = new Uint8Array(unit.length * count);
  for (let i = 0; i < count; i++) out.set(unit, i * unit.length);
  return out;
};
/** A graph field of exactly this content, without spreading millions of numbers. */
function bulk(content: Uint8Array): Uint8Array {
  const head = Uint8Array.from([...num(1, 8), ...opset(17), 7 * 8 + 2, ...varint(content.length)]);
  const out = new Uint8Array(head.length + content.length);
  out.set(head);
  out.set(content, head.length);
  return out;
}

/** A node with an attribute of so many integers, one byte each. */
function longList(count: number): Uint8Array {
  const inner = [10, 1, 97, 66, ...varint(count)];
  const attribute = [42, ...varint(inner.length + count), ...inner];
  const head = [10, ...varint(attribute.length + count), ...attribute];
  const out = new Uint8Array(head.length + count);
  out.set(head);
  return out;
}

export const hostileOnnx: readonly HostileOnnx[] = [
  { name: 'an empty file', bytes: new Uint8Array(0), expect: /empty/ },
  { name: 'text', bytes: new TextEncoder().encode('this is not a model at all, just a text'), expect: /tag|announces|no graph|wire type/ },
  { name: 'zeros', bytes: new Uint8Array(64), expect: /tag/ },
  { name: 'a PNG signature', bytes: Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13), expect: /tag|announces|wire type|cut off/ },
  { name: 'a safetensors header', bytes: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d), expect: /tag/ },
  { name: 'a tag without a value', bytes: Uint8Array.of(8), expect: /cut off/ },
  { name: 'a varint without an end', bytes: Uint8Array.of(8, 0xff, 0xff, 0xff), expect: /cut off/ },
  { name: 'a varint of 11 bytes', bytes: Uint8Array.of(8, ...Array<number>(10).fill(0xff), 1), expect: /more than 64 bits/ },
  { name: 'a length beyond the file', bytes: Uint8Array.of(58, 100, 1, 2), expect: /announces 100 bytes/ },
  { name: 'a length of 2^63', bytes: Uint8Array.of(58, ...varint(2n ** 63n), 1), expect: /announces/ },
  { name: 'a nested length beyond its parent', bytes: model(sub(7, [10, 50, 1])), expect: /announces 50 bytes/ },
  { name: 'field number 0', bytes: model(sub(7, [2, 1, 1])), expect: /not a protobuf field tag/ },
  { name: 'a group', bytes: Uint8Array.of(8, 8, 11, 12), expect: /not a protobuf field tag/ },
  { name: 'a text field with a number in it', bytes: model(graph(relu(), num(2, 7))), expect: /wire type/ },
  { name: 'a number field with a text in it', bytes: Uint8Array.from(sub(1, 'eight')), expect: /wire type/ },
  { name: 'a name that is not UTF-8', bytes: model(graph(relu(), sub(2, [0xff, 0xfe]))), expect: /UTF-8/ },
  { name: 'a name of 20 000 bytes', bytes: model(graph(relu(), sub(1, sub(1, 'x'.repeat(20_000)), sub(4, 'Relu')))), expect: /limit 16384/ },
  { name: 'no graph', bytes: model(), expect: /no graph/ },
  { name: 'two graphs', bytes: model(graph(relu()), graph(relu())), expect: /graph is given twice/ },
  { name: 'no operator set', bytes: Uint8Array.from([num(1, 8), graph(relu())].flat()), expect: /operator set/ },
  { name: 'operator set 99', bytes: Uint8Array.from([num(1, 8), opset(99), graph(relu())].flat()), expect: /operator set 99/ },
  { name: 'operator set −1', bytes: Uint8Array.from([num(1, 8), opset(-1), graph(relu())].flat()), expect: /operator set -1/ },
  { name: 'two operator sets for one domain', bytes: model(opset(13), graph(relu())), expect: /twice/ },
  { name: 'container version 1000', bytes: Uint8Array.from([num(1, 1000), opset(17), graph(relu())].flat()), expect: /version 1000/ },
  { name: 'functions', bytes: model(graph(relu()), sub(25, sub(1, 'Mine'))), expect: /function Mine/ },
  { name: 'training information', bytes: model(graph(relu()), sub(20)), expect: /training/ },
  { name: 'a node without an operator', bytes: model(graph(sub(1, sub(1, 'x'), sub(2, 'y')))), expect: /names no operator/ },
  { name: 'a node that uses what nothing makes', bytes: model(graph(relu('ghost'))), expect: /uses ghost/ },
  { name: 'an output that nothing makes', bytes: model(graph()), expect: /output y is made by nothing/ },
  { name: 'a value made twice', bytes: model(graph(relu(), relu())), expect: /made twice/ },
  { name: 'a node that makes the input', bytes: model(graph(relu('x', 'x'), relu())), expect: /itself|own result|made twice/ },
  { name: 'a cycle', bytes: model(graph(relu('b', 'a'), relu('a', 'b'), relu())), expect: /its own result/ },
  { name: 'no outputs', bytes: model(sub(7, sub(11, ...value('x')), relu())), expect: /no outputs/ },
  { name: 'an output listed twice', bytes: model(graph(relu(), sub(12, ...value('y')))), expect: /listed twice/ },
  { name: 'bodies nested 40 deep', bytes: nested(40), expect: /nested more than 16 deep/ },
  { name: 'an input that is a sequence', bytes: model(graph(relu(), sub(11, sub(1, 's'), sub(2, sub(4))))), expect: /type sequence/ },
  { name: 'an input of complex numbers', bytes: model(graph(relu(), sub(11, ...value('c', 14)))), expect: /complex64/ },
  { name: 'an input of 40 dimensions', bytes: model(graph(relu(), sub(11, ...value('d', 1, Array<number>(40).fill(1))))), expect: /more than 32 dimensions/ },
  { name: 'an attribute of unknown type', bytes: attribute(num(20, 77)), expect: /type number 77/ },
  { name: 'an attribute of type graph without one', bytes: attribute(num(20, 5)), expect: /has no value/ },
  { name: 'an attribute that is a list of graphs', bytes: attribute(sub(11)), expect: /type graphs/ },
  { name: 'an attribute that refers to a function', bytes: attribute(sub(21, 'alpha')), expect: /refers to a function/ },
  { name: 'an attribute without a name', bytes: model(graph(sub(1, sub(1, 'x'), sub(2, 'y'), sub(4, 'Op'), sub(5, num(3, 1))))), expect: /without a name/ },
  { name: 'the same attribute twice', bytes: model(graph(sub(1, sub(1, 'x'), sub(2, 'y'), sub(4, 'Op'), sub(5, sub(1, 'a'), num(3, 1)), sub(5, sub(1, 'a'), num(3, 1))))), expect: /twice/ },
  { name: 'an integer that no double holds', bytes: attribute(num(3, 2n ** 53n + 1n), num(20, 2)), expect: /kept exactly|2\^53/ },
  { name: 'a weight without a name', bytes: weighted(num(1, 4), f32, raw(16)), expect: /without a name/ },
  { name: 'two weights of one name', bytes: model(graph(relu(), sub(5, ...four, raw(16)), sub(5, ...four, raw(16)))), expect: /twice/ },
  { name: 'a weight named like a result', bytes: model(graph(relu(), sub(5, num(1, 4), f32, sub(8, 'y'), raw(16)))), expect: /made twice/ },
  { name: 'a weight that is too short', bytes: weighted(...four, raw(12)), expect: /needs 16 bytes, found 12/ },
  { name: 'a weight that is too long', bytes: weighted(...four, raw(20)), expect: /needs 16 bytes, found 20/ },
  { name: 'a weight without data', bytes: weighted(...four), expect: /needs 16 bytes, found 0/ },
  { name: 'a weight with too few float_data', bytes: weighted(...four, sub(4, raw(8).slice(2))), expect: /needs 4 values, found 2/ },
  { name: 'a weight with a cut float_data', bytes: weighted(...four, sub(4, [0, 0, 0])), expect: /needs 4 values/ },
  { name: 'a weight with data twice', bytes: weighted(...four, raw(16), sub(4, raw(16).slice(2))), expect: /two places/ },
  { name: 'floats in int64_data', bytes: weighted(...four, sub(7, [1, 2, 3, 4])), expect: /int64_data/ },
  { name: 'an unfinished varint in int64_data', bytes: weighted(num(1, 2), num(2, 7), name, sub(7, [1, 0x80])), expect: /cut off/ },
  { name: 'a shape whose product overflows', bytes: weighted(num(1, 2n ** 40n), num(1, 2n ** 40n), f32, name), expect: /more elements than can be addressed/ },
  { name: 'a terabyte weight in a small file', bytes: weighted(num(1, 2n ** 38n), f32, name, raw(4)), expect: /needs 1099511627776 bytes/ },
  { name: 'a negative dimension', bytes: weighted(num(1, -4), f32, name), expect: /dimension -4/ },
  { name: 'a weight of 100 dimensions', bytes: weighted(sub(1, Array<number>(100).fill(1)), f32, name, raw(4)), expect: /more than 32/ },
  { name: 'a weight of strings', bytes: weighted(num(1, 1), num(2, 8), name, sub(6, 'text')), expect: /type string/ },
  { name: 'a weight of an unknown type', bytes: weighted(num(1, 1), num(2, 250), name, raw(1)), expect: /number 250/ },
  { name: 'a segmented weight', bytes: weighted(...four, sub(3, num(1, 0)), raw(16)), expect: /segments/ },
  { name: 'a sparse weight', bytes: model(graph(relu(), sub(15, num(3, 1)))), expect: /sparse/ },
  { name: 'a weight in an unknown place', bytes: weighted(...four, num(14, 7)), expect: /location 7/ },
  { name: 'a floating value where a list is cut', bytes: attribute(sub(7, [0, 0, 0]), num(20, 6)), expect: /cut off/ },
  { name: 'a metadata key twice', bytes: model(graph(relu()), sub(14, sub(1, 'k'), sub(2, 'a')), sub(14, sub(1, 'k'), sub(2, 'b'))), expect: /twice/ },
  { name: 'a metadata value of 5 MiB', bytes: model(graph(relu()), sub(14, sub(1, 'k'), [18, ...varint(5 * 2 ** 20)])), expect: /announces/ },
  { name: '300 000 nodes', bytes: bulk(repeated(sub(1, sub(2, ''), sub(4, 'A')), 300_000)), expect: /more than 250000 nodes/ },
  { name: '9 million empty fields', bytes: bulk(repeated([10 * 8, 0], 9_000_000)), expect: /more than 8000000 fields/ },
  { name: 'names of 70 MiB together', bytes: bulk(repeated([...sub(2, Array<number>(16_000).fill(97))], 4_600)), expect: /bytes of names/ },
  { name: 'a list of 2 million integers', bytes: bulk(longList(2_000_000)), expect: /list of more than 1000000/ },
  { name: 'external data and no folder', bytes: at(['location', 'w.bin']), expect: /no folder/ },
  { name: 'external data without a file name', bytes: at(['offset', '0']), folder: beside, expect: /names no file/ },
  { name: 'external data that is missing', bytes: at(['location', 'other.bin']), folder: beside, expect: /missing/ },
  { name: 'external data above the folder', bytes: at(['location', '../w.bin']), folder: beside, expect: /beside the model/ },
  { name: 'external data hidden above the folder', bytes: at(['location', 'a/../../w.bin']), folder: beside, expect: /beside the model/ },
  { name: 'external data at an absolute path', bytes: at(['location', '/etc/passwd']), folder: beside, expect: /beside the model/ },
  { name: 'external data on another drive', bytes: at(['location', 'C:\\w.bin']), folder: beside, expect: /beside the model/ },
  { name: 'external data behind a NUL', bytes: at(['location', 'w.bin\u0000.png']), folder: beside, expect: /beside the model/ },
  { name: 'external data behind a URL', bytes: at(['location', 'https://example.com/w.bin']), folder: beside, expect: /beside the model/ },
  { name: 'an external offset beyond the file', bytes: at(['location', 'w.bin'], ['offset', '4096'], ['length', '16']), folder: beside, expect: /ends at byte 4112/ },
  { name: 'an external length beyond the file', bytes: at(['location', 'w.bin'], ['offset', '8'], ['length', '16']), folder: beside, expect: /ends at byte 24/ },
  { name: 'an external length unlike the shape', bytes: at(['location', 'w.bin'], ['length', '12']), folder: beside, expect: /needs 16 bytes, found 12/ },
  { name: 'a negative external offset', bytes: at(['location', 'w.bin'], ['offset', '-4']), folder: beside, expect: /not a byte count/ },
  { name: 'an external offset of 10^30', bytes: at(['location', 'w.bin'], ['offset', '1000000000000000000000000000000']), folder: beside, expect: /not a byte count/ },
  { name: 'an external offset in hexadecimal', bytes: at(['location', 'w.bin'], ['offset', '0x10']), folder: beside, expect: /not a byte count/ },
  { name: 'external data and raw data at once', bytes: weighted(...four, raw(16), ...external(['location', 'w.bin'])), folder: beside, expect: /two places/ },
  { name: 'a hundred external entries', bytes: weighted(...four, ...external(...Array.from({ length: 100 }, (_, i): [string, string] => [`k${i}`, 'v']))), folder: beside, expect: /more than 16 external/ },
  { name: 'a fixed32 where a length belongs', bytes: model(graph(relu(), fixed32(1, 1))), expect: /wire type/ },
  { name: 'a truncated model', bytes: model(graph(relu())).slice(0, -5), expect: /announces/ },
  { name: 'a text after the model', bytes: Uint8Array.from([...model(graph(relu())), ...utf8('trailing garbage')]), expect: /tag|announces|wire type|cut off/ },
];
