import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySink, memorySource } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';

function literal(header: string, data: number, length = BigInt(new TextEncoder().encode(header).byteLength)): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.byteLength + data);
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  bytes.set(text, 8);
  return bytes;
}
const open = (bytes: Uint8Array) => openSafetensors(memorySource('x', bytes));

test('reads a file written by hand', async () => {
  const bytes = literal('{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}  ', 4);
  bytes.set([0x00, 0x3c, 0x00, 0xc0], bytes.byteLength - 4);
  const { tensors } = await open(bytes);
  assert.deepEqual(await readFloats(tensors.get('a')!), new Float32Array([1, -2]));
});

test('writes equal bytes for equal tensors in any order, and reads them back', async () => {
  const a = copyTensor(floatTensor('a', [2, 2], new Float32Array([1, 2, 3, 4])));
  const b = copyTensor(memoryTensor('b', 'i4', [2, 2], new Uint8Array(2)));
  const c = copyTensor(memoryTensor('c', 'u8', [0], new Uint8Array(0)));
  await assert.rejects(writeSafetensors(memorySink(), [b]), { code: 'safetensors.blockType' });
  const files = [];
  for (const order of [[a, c], [c, a]]) {
    const sink = memorySink();
    await writeSafetensors(sink, order, new Map([['k', 'v']]));
    files.push(sink.bytes());
  }
  assert.deepEqual(files[0], files[1]);
  const { tensors, metadata } = await open(files[0]);
  assert.equal(metadata.get('k'), 'v');
  assert.deepEqual(await readFloats(tensors.get('a')!, 1, 2), new Float32Array([3, 4]));
});

const u8 = (fields: string) => `{"a":{${fields}}}`;
const hostile: readonly (readonly [string, number, string])[] = [
  ['[1]      ', 0, 'headerStart'], [' {}', 0, 'headerStart'], ['{}\n', 0, 'headerPadding'], ['{"a":1}', 0, 'notObject'],
  ['{"__metadata__":{"k":1}}', 0, 'metadata'], ['{"__metadata__":[]}', 0, 'notObject'],
  [u8('"dtype":"Q9","shape":[1],"data_offsets":[0,1]'), 1, 'dtype'], [u8('"shape":[1],"data_offsets":[0,1]'), 1, 'dtype'],
  [u8('"dtype":"constructor","shape":[1],"data_offsets":[0,1]'), 1, 'dtype'],
  [u8('"dtype":"U8","shape":[-1],"data_offsets":[0,1]'), 1, 'shape'], [u8('"dtype":"U8","shape":[1.5],"data_offsets":[0,1]'), 1, 'shape'],
  [u8('"dtype":"U8","shape":1,"data_offsets":[0,1]'), 1, 'shape'], [u8('"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]'), 1, 'shape'],
  [u8('"dtype":"U8","shape":[1],"data_offsets":[1,0]'), 1, 'offsets'], [u8('"dtype":"U8","shape":[1],"data_offsets":[0]'), 1, 'offsets'],
  [u8('"dtype":"U8","shape":[1],"data_offsets":[0,1e300]'), 1, 'offsets'], [u8('"dtype":"U8","shape":[2],"data_offsets":[0,1]'), 1, 'span'],
  [u8('"dtype":"F4","shape":[3],"data_offsets":[0,2]'), 2, 'partialByte'], [u8('"dtype":"U8","shape":[1],"data_offsets":[1,2]'), 2, 'hole'],
  [u8('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), 2, 'uncovered'], [u8('"dtype":"U8","shape":[1],"data_offsets":[0,1]'), 0, 'uncovered'],
  [u8('"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1'), 1, 'field'], ['{}', 1, 'uncovered'],
];
for (const [header, data, code] of hostile) {
  test(`refuses ${header} with ${data} data bytes: ${code}`, async () => {
    await assert.rejects(open(literal(header, data)), { code: `safetensors.${code}` });
  });
}

test('refuses headers that cannot be there, overflow, duplicates and depth', async () => {
  await assert.rejects(open(new Uint8Array(9)), { code: 'safetensors.tooShort' });
  await assert.rejects(open(literal('{}', 0, 2n ** 64n - 1n)), { code: 'safetensors.headerTooLarge' });
  await assert.rejects(open(literal('{}', 0, 99n)), { code: 'safetensors.headerOutside' });
  await assert.rejects(open(literal(u8('"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]'), 0)), { code: 'tensor.tooLarge' });
  await assert.rejects(open(literal('{"a":{},"a":{}}', 0)), { code: 'json.duplicate' });
  await assert.rejects(open(literal(`{"a":${'['.repeat(100000)}}`, 0)), { code: 'json.tooDeep' });
});
