/** GGUF files made to harm or to confuse: counts, lengths and shapes that lie, as in the flaws found in its readers. */
import { cases, vastSource, type HostileCase } from './answers.ts';
import { array, file, header, info, key, magic, repeated, text, types, u32, u64, type Info } from './gguf-bytes.ts';

const most = 2n ** 64n - 1n;
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);
const keyed = (...keys: readonly (readonly number[])[]): Uint8Array => file({ keys });
const tensor = (what: Info, data = 32): Uint8Array => file({ tensors: [info(what)], data });
const pair = (a: Info, b: Info, data: number): Uint8Array => file({ tensors: [info({ name: 'a', ...a }), info({ name: 'b', ...b })], data });

/** Tensors of no values, each with a name of its own. */
function emptyTensors(count: number): Uint8Array {
  const head = header(u64(count), u64(0));
  const out = repeated(head, info({ name: '00000000', shape: [0] }), count);
  const size = (out.length - head.length) / count;
  for (let i = 0; i < count; i++) out.set(utf8(i.toString(36).padStart(8, '0')), head.length + i * size + 8);
  return out;
}

/** So many texts of 9 MB under keys of their own. */
function longTexts(count: number): Uint8Array {
  const length = 9_000_000;
  const out = repeated(header(u64(0), u64(count)), [], 0);
  const unit = key('0', types.string, u64(length));
  const bytes = new Uint8Array(out.length + count * (unit.length + length));
  bytes.set(out);
  for (let i = 0; i < count; i++) bytes.set(key(String(i), types.string, u64(length)), out.length + i * (unit.length + length));
  return bytes;
}

export const hostileGguf: readonly HostileCase[] = cases([
  ['an empty file', new Uint8Array(0), /not a GGUF/],
  ['three bytes', Uint8Array.from(magic.slice(0, 3)), /not a GGUF/],
  ['the magic alone', Uint8Array.from(magic), /does not end within 4 bytes/],
  ['the older GGML magic', utf8('tjgg\u0001\u0000\u0000\u0000'), /not a GGUF/],
  ['a safetensors file', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d), /not a GGUF/],
  ['text', utf8('GGML is not a text format'), /not a GGUF/],
  ['version 0', file({ version: 0 }), /version 0 is not 2 or 3/],
  ['version 1', file({ version: 1 }), /version 1 is not/],
  ['version 4', file({ version: 4 }), /version 4 is not/],
  ['version 2^32 − 1', file({ version: 2 ** 32 - 1 }), /version 4294967295 is not/],
  ['big-endian byte order', file({ version: 0x03000000 }), /big-endian/],
  ['no counts', header(), /does not end/],
  ['a cut count', header([1, 0, 0]), /does not end/],
  ['2^64 − 1 tensors', file({ tensorCount: most }), /tensor count 18446744073709551615 exceeds/],
  ['2^63 tensors', file({ tensorCount: 2n ** 63n }), /tensor count .* exceeds/],
  ['a million tensors announced', file({ tensorCount: 1_000_000 }), /tensor count 1000000 exceeds/],
  ['tensors announced and none there', file({ tensorCount: 3 }), /does not end|occurs twice/],
  ['2^64 − 1 keys', file({ keyCount: most }), /key count .* exceeds/],
  ['a million keys announced', file({ keyCount: 1_000_000 }), /key count 1000000 exceeds/],
  ['keys announced and none there', header(u64(0), u64(2)), /does not end/],
  ['a key of 2^64 − 1 bytes', keyed(text('k', most)), /key length .* exceeds/],
  ['a key of 2^63 bytes', keyed(text('k', 2n ** 63n)), /key length .* exceeds/],
  ['a key of 70 000 bytes', () => keyed(key('k'.repeat(70_000), types.u8, [1])), /key length 70000 exceeds/],
  ['a key longer than the file', keyed(text('k', 60_000)), /does not end/],
  ['a key that is not UTF-8', keyed([...text([0xff, 0xfe]), ...u32(0), 1]), /not valid UTF-8/],
  ['a key of an overlong encoding', keyed([...text([0xc0, 0xaf]), ...u32(0), 1]), /not valid UTF-8/],
  ['the same key twice', keyed(key('k', types.u8, [1]), key('k', types.u8, [2])), /key "k" occurs twice/],
  ['a key with a line break and an escape sequence', keyed(key('a\n\u001b[2Jb', types.u8, [1]), key('a\n\u001b[2Jb', types.u8, [1])), /occurs twice/],
  ['a value of type 13', keyed(key('k', 13)), /unknown metadata type 13/],
  ['a value of type 2^32 − 1', keyed(key('k', 2 ** 32 - 1)), /unknown metadata type 4294967295/],
  ['a value that is cut', header(u64(0), u64(1), key('k', types.f64, [1, 2, 3])), /does not end/],
  ['a boolean of 2', keyed(key('k', types.bool, [2])), /boolean with value 2/],
  ['a text of 2^64 − 1 bytes', keyed(key('k', types.string, text('v', most))), /string length .* exceeds/],
  ['a text of 20 MB announced', keyed(key('k', types.string, text('v', 20_000_000))), /string length 20000000 exceeds/],
  ['a text longer than the file', keyed(key('k', types.string, text('v', 9_000_000))), /does not end/],
  ['a text that is not UTF-8', keyed(key('k', types.string, text([0x80]))), /not valid UTF-8/],
  ['a text with half of a surrogate pair', keyed(key('k', types.string, text([0xed, 0xa0, 0x80]))), /not valid UTF-8/],
  ['a list of lists', keyed(key('k', types.array, array(types.array, 1, array(types.u8, 1, [1])))), /nests/],
  ['lists nested 10 000 deep', () => Uint8Array.from([...header(u64(0), u64(1), text('k'), u32(types.array)), ...Array.from({ length: 10_000 }, () => array(types.array, 1)).flat()]), /nests/],
  ['a list of an unknown type', keyed(key('k', types.array, array(77, 1, [1]))), /unknown metadata type 77/],
  ['a list of 2^64 − 1 values', keyed(key('k', types.array, array(types.u8, most))), /array length .* exceeds/],
  ['a list of 2^61 doubles, whose bytes wrap to zero', keyed(key('k', types.array, array(types.f64, 2n ** 61n))), /array length .* exceeds/],
  ['a list of 2^40 bytes', keyed(key('k', types.array, array(types.u8, 2 ** 40))), /array length .* exceeds/],
  ['a list longer than the file', keyed(key('k', types.array, array(types.u32, 1000, u32(1)))), /does not end/],
  ['a list of texts longer than the file', keyed(key('k', types.array, array(types.string, 1_900_000, text('a')))), /does not end/],
  ['a list with a text of 2^64 − 1 bytes', keyed(key('k', types.array, array(types.string, 2, text('a', most), [...u64(0), ...u64(0)]))), /string length .* exceeds/],
  ['a list with a text that is not UTF-8', keyed(key('k', types.array, array(types.string, 1, text([0xff])))), /not valid UTF-8/],
  ['a list with a boolean of 7', keyed(key('k', types.array, array(types.bool, 2, [0, 7]))), /boolean with value 7/],
  ['lists of 3 million texts', () => repeated(header(u64(0), u64(1), text('k'), u32(types.array), array(types.string, 3_000_000)), u64(0), 3_000_000), /number of texts in lists 3000000 exceeds/],
  ['an alignment of 0', keyed(key('general.alignment', types.u32, u32(0))), /alignment/],
  ['an alignment of 3', keyed(key('general.alignment', types.u32, u32(3))), /alignment/],
  ['an alignment of 4', keyed(key('general.alignment', types.u32, u32(4))), /alignment/],
  ['an alignment that is a text', keyed(key('general.alignment', types.string, text('32'))), /alignment/],
  ['an alignment of 64 bits', keyed(key('general.alignment', types.u64, u64(32))), /alignment/],
  ['an alignment of 2^31', file({ keys: [key('general.alignment', types.u32, u32(2 ** 31))], tensors: [info()], data: 32 }), /not inside the file/],
  ['a tensor name of 2^64 − 1 bytes', file({ tensors: [text('w', most)] }), /tensor name length .* exceeds/],
  ['a tensor name of 5 000 bytes', tensor({ name: 'w'.repeat(5000) }), /tensor name length 5000 exceeds/],
  ['a tensor name that is not UTF-8', tensor({ name: [0xff] }), /not valid UTF-8/],
  ['two tensors of one name', pair({ name: 'w' }, { name: 'w', offset: 32 }, 64), /tensor "w" occurs twice/],
  ['a tensor name that clears the screen', pair({ name: '\u001b[2J\nw' }, { name: '\u001b[2J\nw', offset: 32 }, 64), /occurs twice/],
  ['5 dimensions', tensor({ shape: [1, 1, 1, 1, 8] }), /dimensions 5 exceeds/],
  ['2^32 − 1 dimensions', tensor({ dims: 2 ** 32 - 1 }), /dimensions 4294967295 exceeds/],
  ['a dimension of 2^64 − 1', tensor({ shape: [most] }), /dimension 18446744073709551615 exceeds/],
  ['a dimension of 2^63', tensor({ shape: [2n ** 63n] }), /dimension .* exceeds/],
  ['a dimension of 2^33', tensor({ shape: [2 ** 33] }), /dimension 8589934592 exceeds/],
  ['a shape whose product wraps to zero', tensor({ shape: [2 ** 32, 2 ** 32] }), /more elements than can be addressed/],
  ['a shape whose product wraps to eight', tensor({ shape: [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1, 8] }), /more elements than can be addressed/],
  ['a shape whose bytes wrap', tensor({ shape: [2 ** 31, 2 ** 21], type: 28 }), /not inside the file/],
  ['an unknown type', tensor({ type: 1000 }), /unknown type 1000/],
  ['a type of 2^32 − 1', tensor({ type: 2 ** 32 - 1 }), /unknown type 4294967295/],
  ['a type that was withdrawn', tensor({ type: 4 }), /unknown type 4/],
  ['a row of half a block', tensor({ shape: [100], type: 12 }), /divisible by 256, got 100/],
  ['a block type without dimensions', tensor({ shape: [], type: 2 }), /divisible by 32/],
  ['a row of no whole block in many rows', tensor({ shape: [31, 32], type: 2 }), /divisible by 32, got 31/],
  ['an offset between alignments', tensor({ offset: 4 }, 64), /not aligned/],
  ['an offset beyond the end', tensor({ offset: 4096 }), /not inside the file/],
  ['an offset of 2^64 − 32, which wraps to the header', tensor({ offset: 2n ** 64n - 32n }), /offset .* exceeds/],
  ['an offset of 2^53', tensor({ offset: 2n ** 53n }), /offset .* exceeds/],
  ['a tensor larger than the file', tensor({ shape: [1000] }), /not inside the file/],
  ['a tensor of 8 terabytes', tensor({ shape: [2 ** 32, 512] }), /not inside the file/],
  ['no data', tensor({}, 0), /not inside the file/],
  ['data that is cut by one byte', tensor({}, 31), /not inside the file/],
  ['two tensors that overlap', pair({ shape: [16] }, { offset: 32 }, 96), /overlaps/],
  ['two tensors in one place', pair({}, { offset: 0 }, 32), /overlaps/],
  ['a tensor inside of another', pair({ shape: [64] }, { offset: 64 }, 256), /overlaps/],
  ['a tensor entry that is cut', header(u64(1), u64(0), info().slice(0, -4)), /does not end/],
  ['a header of 100 MB of keys', () => repeated(header(u64(0), u64(90_000)), key('k', types.string, text('v'.repeat(1200))), 1), /does not end/],
  ['a header of 72 MB of texts', () => longTexts(8), /does not end within the limit of 67108864/],
  ['a header of 2 GB of numbers announced', vastSource('hostile.gguf', header(u64(0), u64(30), text('k'), u32(types.array), array(types.f64, 8_000_000)), 2 ** 31), /occurs twice/],
  ['200 000 tensors', () => emptyTensors(200_000), /tensor count 200000 exceeds/],
  ['150 000 tensors, one too long', () => { const bytes = emptyTensors(150_000); bytes.set(u64(1000), bytes.length - 20); return bytes; }, /not aligned or not inside/],
]);
