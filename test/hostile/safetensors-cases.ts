/** safetensors files made to harm or to confuse: the rules of the format, one case per way to break one. */
import { cases, vastSource, type HostileCase } from './answers.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
/** A file with this header, so many data bytes, and any length written in front. */
export function file(header: string | Uint8Array, data = 0, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? utf8(header) : header;
  const bytes = new Uint8Array(8 + text.byteLength + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}
const fields = (dtype = '"U8"', shape = '[1]', offsets = '[0,1]'): string => `"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}`;
export const one = (...parts: (string | undefined)[]): string => `{"a":{${fields(...parts)}}}`;
const two = (a: string, b: string): string => `{"a":{${fields('"U8"', '[4]', a)}},"b":{${fields('"U8"', '[4]', b)}}}`;

const many = (count: number, entry: (i: number) => string): string => `{${Array.from({ length: count }, (_, i) => entry(i)).join(',')}}`;

export const hostileSafetensors: readonly HostileCase[] = cases([
  ['an empty file', new Uint8Array(0), /0 bytes are too few/],
  ['one byte', Uint8Array.of(1), /too few/],
  ['a header length alone', file('', 0, 2n), /too few/],
  ['nine bytes', new Uint8Array(9), /too few/],
  ['zeros', new Uint8Array(64), /does not start with "\{"/],
  ['a header length of 2^64 − 1', file('{}', 0, 2n ** 64n - 1n), /exceeds the limit/],
  ['a header length of 2^63', file('{}', 0, 2n ** 63n), /exceeds the limit/],
  ['a header length of 100 MB in a small file', file('{}', 0, 100_000_000n), /exceeds the limit/],
  ['a header one byte longer than the file', file('{}', 0, 3n), /does not fit/],
  ['a header of 20 MB in a small file', file('{}', 0, 20_000_000n), /does not fit/],
  ['a header length of 0', file('{}', 0, 0n), /padded|start|expected|no object/],
  ['a header of 26 MB', vastSource('hostile.safetensors', file('{', 0, 26_000_000n), 2 ** 40), /exceeds the limit/],
  ['a header that is one long text', () => file(`{"${'a'.repeat(20_000_000)}`), /padded|expected/],
  ['a header that is a list', file('[1]      '), /start/],
  ['a header after a space', file(' {}'), /start/],
  ['a header after a byte order mark', file('\ufeff{}'), /start/],
  ['a header that ends in a newline', file('{}\n'), /padded/],
  ['a header padded with zeros', file('{}\u0000\u0000'), /padded/],
  ['two headers', file('{}{}'), /expected the end/],
  ['a header that is cut', file('{"a":{"dtype":"U8"} '), /expected/],
  ['a header that is not UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), /UTF-8/],
  ['a header of nested lists', () => file(`{"a":${'['.repeat(1_000_000)}${' '.repeat(9)}`), /nests deeper/],
  ['a header with a comment', file('{/*x*/} '), /expected/],
  ['a header with single quotes', file("{'a':1}"), /expected/],
  ['a header with a comma too many', file(`{"a":{${fields()},}}`, 1), /expected/],
  ['a header with NaN', file(one('"U8"', '[NaN]'), 1), /expected/],
  ['the same tensor twice', file(`{"a":{${fields()}},"a":{${fields()}}}`, 1), /duplicate key "a"/],
  ['the same tensor twice, once escaped', file(`{"a":{${fields()}},"\\u0061":{${fields()}}}`, 1), /duplicate key "a"/],
  ['the same field twice', file(`{"a":{${fields()},"dtype":"F64"}}`, 1), /duplicate key "dtype"/],
  ['a tensor that is a number', file('{"a":1}'), /"a" is not an object/],
  ['a tensor that is null', file('{"a":null}'), /"a" is not an object/],
  ['a tensor that is a list', file('{"a":[]}'), /"a" is not an object/],
  ['metadata that is a list', file('{"__metadata__":[]}'), /not an object/],
  ['metadata that is a number', file('{"__metadata__":{"k":1}}'), /"k" is not a string/],
  ['metadata inside of metadata', file('{"__metadata__":{"k":{}}}'), /"k" is not a string/],
  ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), /duplicate/],
  ['a field that nobody knows', file(`{"a":{${fields()},"x":1}}`, 1), /unknown field "x"/],
  ['a field named __proto__', file(`{"a":{${fields()},"__proto__":1}}`, 1), /unknown field "__proto__"/],
  ['no type', file('{"a":{"shape":[1],"data_offsets":[0,1]}}', 1), /dtype/],
  ['an unknown type', file(one('"Q9"'), 1), /unknown dtype "Q9"/],
  ['a type in lower case', file(one('"u8"'), 1), /unknown dtype/],
  ['a type named like a method', file(one('"constructor"'), 1), /unknown dtype/],
  ['a type that is a number', file(one('8'), 1), /dtype/],
  ['no shape', file('{"a":{"dtype":"U8","data_offsets":[0,1]}}', 1), /shape/],
  ['a shape that is a number', file(one('"U8"', '1'), 1), /shape/],
  ['a negative size', file(one('"U8"', '[-1]'), 1), /shape/],
  ['a size of minus zero', file(one('"U8"', '[-0]', '[0,0]')), /shape/],
  ['a size of a half', file(one('"U8"', '[0.5]'), 1), /shape/],
  ['a size of 2^53', file(one('"U8"', '[9007199254740992]'), 1), /shape/],
  ['a size that is a text', file(one('"U8"', '["1"]'), 1), /shape/],
  ['nine dimensions', file(one('"U8"', '[1,1,1,1,1,1,1,1,1]'), 1), /shape/],
  ['a million dimensions', () => file(one('"U8"', `[${'1,'.repeat(999_999)}1]`), 1), /shape/],
  ['a shape whose product overflows', file(one('"U8"', '[4294967296,4294967296]', '[0,0]')), /more elements than can be addressed/],
  ['a shape that overflows on the way to zero', file(one('"U8"', '[9007199254740991,9007199254740991,0]', '[0,0]')), /more elements than can be addressed/],
  ['no offsets', file('{"a":{"dtype":"U8","shape":[1]}}', 1), /offsets/],
  ['one offset', file(one('"U8"', '[1]', '[0]'), 1), /offsets/],
  ['three offsets', file(one('"U8"', '[1]', '[0,1,2]'), 1), /offsets/],
  ['offsets that descend', file(one('"U8"', '[1]', '[1,0]'), 1), /offsets/],
  ['a negative offset', file(one('"U8"', '[1]', '[-1,0]'), 1), /offsets/],
  ['an offset of 10^300', file(one('"U8"', '[1]', '[0,1e300]'), 1), /offsets/],
  ['an offset beyond all numbers', file(one('"U8"', '[1]', '[0,1e999]'), 1), /too large/],
  ['an offset that is a text', file(one('"U8"', '[1]', '["0","1"]'), 1), /offsets/],
  ['a span shorter than the shape', file(one('"F32"', '[2]', '[0,4]'), 4), /spans 4 bytes, its shape needs 8/],
  ['a span longer than the shape', file(one('"F32"', '[1]', '[0,8]'), 8), /spans 8 bytes, its shape needs 4/],
  ['a span of nothing for one value', file(one('"F32"', '[]', '[0,0]')), /spans 0 bytes, its shape needs 4/],
  ['half a byte', file(one('"F4"', '[3]', '[0,2]'), 2), /byte boundary/],
  ['a tensor beyond the end', file(one('"U8"', '[100]', '[0,100]'), 1), /end at byte 100 of 1/],
  ['a tensor of 8 petabytes', file(one('"U8"', '[9007199254740991]', '[0,9007199254740991]'), 1), /end at byte/],
  ['bytes after the last tensor', file(one(), 100), /end at byte 1 of 100/],
  ['data and no tensor', file('{}', 4), /end at byte 0 of 4/],
  ['a hole before the first tensor', file(one('"U8"', '[1]', '[1,2]'), 2), /begins at 1/],
  ['a hole between two tensors', file(two('[0,4]', '[5,9]'), 9), /begins at 5, the one before it ends at 4/],
  ['two tensors that overlap', file(two('[0,4]', '[3,7]'), 7), /begins at 3, the one before it ends at 4/],
  ['two tensors in one place', file(two('[0,4]', '[0,4]'), 4), /begins at 0, the one before it ends at 4/],
  ['a name of 10 MB', () => file(`{"${'n'.repeat(10_000_000)}":1}`), /not an object/],
  ['a name with a line break and an escape sequence', file('{"a\\n\\u001b[31mred":1}'), /not an object/],
  ['a name that reverses the line', file('{"\u202egpj.a":1}'), /not an object/],
  ['200 000 tensors', () => file(many(200_000, (i) => `"t${i}":{${fields('"U8"', '[0]', '[0,0]')}}`)), /200000 tensors exceed|more than/],
  ['2 million metadata keys', () => file(`{"__metadata__":${many(1_500_000, (i) => `"${i}":""`)}}`), /more than 3000000 values/],
  ['3 million empty objects', () => file(`{"a":[${'{},'.repeat(3_000_000)}{}]}`), /more than 3000000 values/],
  ['a GGUF file', utf8('GGUF\u0003\u0000\u0000\u0000\u0000\u0000\u0000\u0000'), /exceeds the limit/],
  ['a zip archive', Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0, 0, 0), /exceeds the limit|does not fit|start/],
]);
