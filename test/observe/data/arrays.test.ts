/** .npy and .npz against NumPy, idx against its description, and one refusal per way a file can be wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { f32, i64, type Tensor } from '../../../src/engine/tensor.ts';
import { gunzipBounded } from '../../../src/observe/data/gzip.ts';
import { readIdx } from '../../../src/observe/data/idx.ts';
import { maxHeaderBytes, readNpy, writeNpy } from '../../../src/observe/data/npy.ts';
import { crc32, maxMembers, readNpz, writeNpz } from '../../../src/observe/data/npz.ts';
import { f16ToF32 } from '../../../src/numeric/half.ts';
import { arrays, bytesOf } from './oracle.ts';

const valuesOf = ({ type, data }: Tensor) =>
  Array.from(data as ArrayLike<number | bigint>, (value) => (typeof value === 'bigint' ? String(value) : type === 'f16' ? f16ToF32(value) : value));
const elementTypes: Readonly<Record<string, string>> = {
  '<f8': 'f64', '>f8': 'f64', '<f4': 'f32', '>f4': 'f32', '<f2': 'f16', '<i8': 'i64', '>i8': 'i64', '<i4': 'i32', '<i2': 'i16', '>i2': 'i16', '|i1': 'i8',
  '<u8': 'u64', '<u4': 'u32', '<u2': 'u16', '|u1': 'u8', bool: 'bool', fortran: 'i32', 'fortran big-endian': 'i16',
};

for (const [name, { file, shape, values }] of Object.entries(arrays).filter(([key]) => !key.startsWith('npz'))) {
  test(`NumPy's array '${name}' is read as it was saved`, () => {
    const tensor = readNpy(bytesOf(file));
    assert.equal(tensor.type, elementTypes[name] ?? 'f32');
    assert.deepEqual(tensor.shape, shape);
    assert.deepEqual(valuesOf(tensor), values);
  });
}

for (const name of ['<f8', '<f4', '<f2', '<i8', '<i4', '<i2', '|i1', '<u8', '<u4', '<u2', '|u1', 'bool', 'scalar', 'one axis', 'empty']) {
  test(`an array is written byte for byte as NumPy writes '${name}'`, () => {
    const file = bytesOf(arrays[name].file);
    assert.deepEqual(writeNpy(readNpy(file)), file);
  });
}

test('an array at an odd place of a larger buffer is read', () => {
  const file = bytesOf(arrays['<f8'].file);
  const buffer = new Uint8Array(file.length + 3);
  buffer.set(file, 3);
  assert.deepEqual(valuesOf(readNpy(buffer.subarray(3))), arrays['<f8'].values);
});

/** A version 1.0 file with this header and so many bytes of data. */
function npy(header: string, dataBytes = 0, version: readonly [number, number] = [1, 0]): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = version[0] === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, ...version, ...length, ...text, ...new Uint8Array(dataBytes));
}
const header = (descr: string, shape: string, order = 'False') => `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

const badNpy: readonly (readonly [string, Uint8Array, string, string])[] = [
  ['is something else', new TextEncoder().encode('hello, world'), 'npy.badMagic', 'a.npy: not a .npy file (its first bytes are not \\x93NUMPY)'],
  ['is nearly empty', npy('').subarray(0, 9), 'npy.badMagic', 'a.npy: not a .npy file (its first bytes are not \\x93NUMPY)'],
  ['has an unknown version', npy('', 0, [4, 0]), 'npy.badVersion', 'a.npy: .npy version 4.0 (known: 1.0, 2.0, 3.0)'],
  ['ends in its header', npy(header('\'<f4\'', '(1,)')).subarray(0, 30), 'npy.truncatedHeader', 'a.npy: .npy header does not fit into 30 bytes'],
  ['ends in the length of its header', npy('', 0, [2, 0]).subarray(0, 11), 'npy.truncatedHeader', 'a.npy: .npy header does not fit into 11 bytes'],
  ['has a huge header', Uint8Array.of(...npy('', 0, [2, 0]).subarray(0, 8), 255, 255, 255, 255), 'npy.headerTooLong', `a.npy: .npy header of 4294967295 bytes (limit ${maxHeaderBytes})`],
  ['has no type', npy(header('\'x\'', '(1,)')), 'npy.badHeader', 'a.npy: .npy header has no readable \'descr\''],
  ['has no order', npy('{\'descr\': \'<f4\', \'shape\': (1,)}'), 'npy.badHeader', 'a.npy: .npy header has no readable \'fortran_order\''],
  ['has no shape', npy('{\'descr\': \'<f4\', \'fortran_order\': False}'), 'npy.badHeader', 'a.npy: .npy header has no readable \'shape\''],
  ['holds complex numbers', npy(header('\'<c8\'', '(1,)'), 8), 'npy.badType', 'a.npy: .npy element type c8 is not a plain number type'],
  ['holds texts', npy(header('\'<U3\'', '(1,)'), 12), 'npy.badType', 'a.npy: .npy element type U3 is not a plain number type'],
  ['holds objects', npy(header('\'|O\'', '(1,)'), 8), 'npy.badHeader', 'a.npy: .npy header has no readable \'descr\''],
  ['holds records', npy(header('[(\'x\', \'<f4\')]', '(1,)'), 4), 'npy.badType', 'a.npy: .npy element type record is not a plain number type'],
  ['has a negative size', npy(header('\'<f4\'', '(-1,)')), 'npy.badShape', 'a.npy: .npy shape (-1,) is not a tuple of at most 32 sizes'],
  ['has too many sizes', npy(header('\'<f4\'', `(${'1, '.repeat(33)})`), 4), 'npy.badShape', `a.npy: .npy shape (${'1, '.repeat(26)}1,) is not a tuple of at most 32 sizes`],
  ['has too little data', npy(header('\'<f4\'', '(2, 3)'), 23), 'npy.wrongLength', 'a.npy: .npy shape and type need 24 bytes of data, found 23'],
  ['has too much data', npy(header('\'|u1\'', '(2, 3)'), 7), 'npy.wrongLength', 'a.npy: .npy shape and type need 6 bytes of data, found 7'],
  ['has more elements than can be counted', npy(header('\'|u1\'', '(99999999, 99999999, 99999999)')), 'tensor.tooLarge', 'tensor a.npy: shape [99999999, 99999999, 99999999] has more elements than can be addressed'],
];
for (const [what, file, code, message] of badNpy) {
  test(`a .npy file that ${what} is refused`, () => {
    assert.throws(() => readNpy(file, 'a.npy'), { code, message });
  });
}

test('types without a .npy spelling are not written', () => {
  assert.throws(() => writeNpy({ type: 'bf16', shape: [1], data: new Uint16Array(1) }), { code: 'npy.unwritable', message: 'element type bf16 has no .npy spelling' });
});

for (const name of ['npz stored', 'npz deflated']) {
  test(`the archive '${name}' of NumPy gives its arrays by name and in order`, () => {
    const found = readNpz(bytesOf(arrays[name].file));
    assert.deepEqual([...found.keys()], ['x', 'labels']);
    assert.deepEqual(valuesOf(found.get('x')!), arrays['<f4'].values);
    assert.deepEqual(found.get('labels'), i64([3], [2, 0, 1]));
  });
}

const two = new Map([['x', f32([2], Float32Array.of(1.5, -2))], ['y', i64([1], [7])]]);
for (const compress of [false, true]) {
  test(`an archive written ${compress ? 'deflated' : 'stored'} is a ZIP file of the same arrays, and the same bytes every time`, () => {
    const file = writeNpz(two, { compress });
    assert.deepEqual(readNpz(file), two);
    const members = unzipSync(file);
    assert.deepEqual(Object.keys(members), ['x.npy', 'y.npy']);
    assert.deepEqual(members['x.npy'], writeNpy(two.get('x')!));
    assert.deepEqual(writeNpz(two, { compress }), file);
  });
}

test('an archive with a comment at its end is read', () => {
  const file = writeNpz(two);
  assert.deepEqual(readNpz(Uint8Array.of(...file, 1, 2, 3)), two);
});

/** Offsets of the one member of this archive: local header at 0, directory entry, end record. */
const one = (compress = false) => {
  const file = writeNpz(new Map([['x', f32([64], new Float32Array(64))]]), { compress });
  const end = file.length - 22;
  const view = new DataView(file.buffer);
  return { file, view, entry: view.getUint32(end + 16, true), end };
};
const changed = (change: (zip: ReturnType<typeof one>) => void, compress = false): Uint8Array => {
  const zip = one(compress);
  change(zip);
  return zip.file;
};
const memberSize = 128 + 256;

const badNpz: readonly (readonly [string, Uint8Array, string, string])[] = [
  ['is something else', new Uint8Array(100), 'npz.noDirectory', 'a.npz: not a .npz file (no ZIP directory at its end)'],
  ['is empty', new Uint8Array(0), 'npz.noDirectory', 'a.npz: not a .npz file (no ZIP directory at its end)'],
  ['has a directory elsewhere', changed(({ view, end }) => view.setUint32(end + 16, 5, true)), 'npz.badDirectory', 'a.npz: broken ZIP directory entry at byte 5'],
  ['has a directory behind its end', changed(({ view, end }) => view.setUint32(end + 16, 0xfffffff0, true)), 'npz.badDirectory', 'a.npz: broken ZIP directory entry at byte 4294967280'],
  ['has a name longer than the file', changed(({ view, entry }) => view.setUint16(entry + 28, 60000, true)), 'npz.badDirectory', `a.npz: broken ZIP directory entry at byte ${one().entry}`],
  ['has too many members', changed(({ view, end }) => view.setUint16(end + 10, 5000, true)), 'npz.tooManyMembers', `a.npz: 5000 members (limit ${maxMembers})`],
  ['unpacks to too much', changed(({ view, entry }) => view.setUint32(entry + 24, 0xfffffffe, true)), 'npz.tooLarge', 'a.npz: unpacks to 4294967294 bytes (limit 2147483648)'],
  ['is encrypted', changed(({ view, entry }) => view.setUint16(entry + 8, 1, true)), 'npz.badMember', 'a.npz: member x.npy: is encrypted'],
  ['needs ZIP64', changed(({ view, entry }) => view.setUint32(entry + 24, 0xffffffff, true)), 'npz.badMember', 'a.npz: member x.npy: is larger than 4 GB (ZIP64)'],
  ['has no member where it says', changed(({ view, entry }) => view.setUint32(entry + 42, 9, true)), 'npz.badMember', 'a.npz: member x.npy: has no local header'],
  ['has a member that does not end', changed(({ view, entry }) => view.setUint32(entry + 20, 9999, true)), 'npz.badMember', `a.npz: member x.npy: ends after the file (${one().file.length} bytes)`],
  ['is compressed in another way', changed(({ view, entry }) => view.setUint16(entry + 10, 12, true)), 'npz.badMember', 'a.npz: member x.npy: uses compression method 12 (known: 0, 8)'],
  ['stores another size', changed(({ view, entry }) => view.setUint32(entry + 24, 9, true)), 'npz.badMember', `a.npz: member x.npy: is stored in ${memberSize} bytes but declares 9`],
  ['inflates past its size', changed(({ view, entry }) => view.setUint32(entry + 24, 9, true), true), 'npz.badMember', 'a.npz: member x.npy: inflates past its declared 9 bytes'],
  ['inflates to less', changed(({ view, entry }) => view.setUint32(entry + 24, 9999, true), true), 'npz.badMember', `a.npz: member x.npy: inflates to ${memberSize} bytes but declares 9999`],
  ['has a damaged member', changed(({ file }) => { file[200] ^= 1; }), 'npz.badMember', 'a.npz: member x.npy: has a wrong checksum'],
  ['holds something else', changed(({ file, view, entry }) => { file[35] ^= 1; view.setUint32(entry + 16, crc32(file.subarray(35, 35 + memberSize)), true); }), 'npy.badMagic', 'a.npz: x: not a .npy file (its first bytes are not \\x93NUMPY)'],
];
for (const [what, file, code, message] of badNpz) {
  test(`an archive that ${what} is refused`, () => {
    assert.throws(() => readNpz(file, 'a.npz'), { code, message });
  });
}

test('an archive whose deflated bytes make no sense is refused', () => {
  const file = changed(({ file: bytes }) => bytes.fill(0xff, 35, 60), true);
  assert.throws(() => readNpz(file, 'a.npz'), { code: 'npz.badMember', message: /^a\.npz: member x\.npy: does not inflate \(.+\)$/ });
});

test('an archive with two members of one name is refused', () => {
  const file = writeNpz(new Map([['x', f32([1], Float32Array.of(1))], ['y', f32([1], Float32Array.of(1))]]));
  const names = [...file.keys()].filter((at) => file[at] === 0x79 && file[at + 1] === 0x2e);
  for (const at of names) file[at] = 0x78;
  assert.throws(() => readNpz(file, 'a.npz'), { code: 'npz.duplicate', message: 'a.npz: two members are called x' });
});

test('checksums are those of ZIP', () => {
  // The check value of CRC-32/ISO-HDLC.
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
});

test('idx files hold big-endian arrays, compressed or not', () => {
  const digits = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 255);
  const expected: Tensor = { type: 'u8', shape: [2, 1, 2], data: Uint8Array.of(1, 2, 3, 255) };
  assert.deepEqual(readIdx(digits), expected);
  assert.deepEqual(readIdx(new Uint8Array(gzipSync(digits))), expected);
  const read = (code: number, ...bytes: number[]) => { const { type, data } = readIdx(Uint8Array.of(0, 0, code, 1, 0, 0, 0, 1, ...bytes)); return [type, data[0]]; };
  assert.deepEqual(read(0x09, 0xff), ['i8', -1]);
  assert.deepEqual(read(0x0b, 0xff, 0xfe), ['i16', -2]);
  assert.deepEqual(read(0x0c, 0, 0, 1, 2), ['i32', 258]);
  assert.deepEqual(read(0x0d, 0x3f, 0xc0, 0, 0), ['f32', 1.5]);
  assert.deepEqual(read(0x0e, 0xbf, 0xf8, 0, 0, 0, 0, 0, 0), ['f64', -1.5]);
});

const badIdx: readonly (readonly [string, Uint8Array, string, string])[] = [
  ['is something else', Uint8Array.of(1, 0, 8, 1, 0, 0, 0, 0), 'idx.badMagic', 'a: not an IDX file'],
  ['is nearly empty', Uint8Array.of(0, 0, 8), 'idx.badMagic', 'a: not an IDX file'],
  ['has an unknown type', Uint8Array.of(0, 0, 0x0a, 1, 0, 0, 0, 0), 'idx.badType', 'a: IDX element type 0xa is unknown'],
  ['ends in its shape', Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1), 'idx.wrongLength', 'a: IDX shape needs 16 bytes, found 8'],
  ['has too little data', Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 2, 0, 0, 0, 0), 'idx.wrongLength', 'a: IDX shape needs 16 bytes, found 12'],
];
for (const [what, file, code, message] of badIdx) {
  test(`an idx file that ${what} is refused`, () => {
    assert.throws(() => readIdx(file, 'a'), { code, message });
  });
}

test('gzip is unpacked up to a limit and no further', () => {
  const packed = new Uint8Array(gzipSync(new Uint8Array(100_000).fill(7)));
  assert.deepEqual(gunzipBounded(packed, 'a', 100_000), new Uint8Array(100_000).fill(7));
  assert.throws(() => gunzipBounded(packed, 'a', 99_999), { code: 'gzip.tooLarge', message: 'a: unpacks to more than 99999 bytes' });
});

test('gzip that is damaged, cut or followed by a second part is told', () => {
  const packed = new Uint8Array(gzipSync(new TextEncoder().encode('one line of text '.repeat(9))));
  assert.throws(() => gunzipBounded(packed.slice().fill(0xff, 10, 14), 'a'), { code: 'gzip.broken', message: /^a: broken gzip data \(.+\)$/ });
  assert.throws(() => gunzipBounded(packed.subarray(0, 20), 'a'), { code: 'gzip.broken' });
});
