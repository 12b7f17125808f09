import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseFormat } from '../../src/formats/index.ts';
import * as packing from '../../src/formats/packing/index.ts';
import { golden, hex, V } from './vectors.ts';

const words = (packed: Int32Array) => Array.from(packed, (w) => (w >>> 0).toString(16).padStart(8, '0'));
const ramp = (n: number, mod: number) => Uint8Array.from({ length: n }, (_, i) => i % mod);
const codesOf = (bits: number, n: number, seed: number) => Uint8Array.from({ length: n }, (_, i) => (Math.imul(i + seed, 2654435761) >>> 13) & ((1 << bits) - 1));
const wide = (expected: number, actual: number) => assert.ok(Math.abs(actual - expected) < 1e-9 + Math.abs(expected) * 1e-8, `${actual} is not ${expected}`);

test('symmetric INT4 of V in blocks of 16 has the scales, codes, raw data and MatMulNBits blob of the card', () => {
  const q = parseFormat('int4/g16').encode(V(32), 1, 32);
  wide(0.0417857133, q.scales[0]);
  wide(0.0446428582, q.scales[1]);
  assert.deepEqual([...q.codes], [-7, -4, 2, -3, -4, -2, 4, -1, -3, -1, 4, -2, -4, -3, 2, -5, 7, -7, -3, 5, 2, 2, 5, -2, -6, -6, -3, 4, -1, -1, 1, -7]);
  assert.equal(hex(packing.packLowFirst(q.codes, 4)), golden.onnx.int4SymRaw);
  assert.deepEqual(packing.unpackSignedLowFirst(packing.packLowFirst(q.codes, 4), 32, 4), q.codes);
  const layout = { N: 1, K: 32, bits: 4, block: 16 };
  const grouped = packing.groupedCodes(q, 4, 2);
  assert.equal(hex(packing.packMatMulNBits(grouped.codes, undefined, layout)), golden.onnx.matMulNBitsSym);
  assert.ok(grouped.symmetric);
});

test('asymmetric UINT4 of V in blocks of 16 has the scales, zero points and blob of the card', () => {
  const q = parseFormat('uint4/g16').encode(V(32), 1, 32);
  wide(0.0316666663, q.scales[0]);
  wide(0.0414999984, q.scales[1]);
  const layout = { N: 1, K: 32, bits: 4, block: 16 };
  const grouped = packing.groupedCodes(q, 4, 2);
  assert.deepEqual([...grouped.zeros], [9, 8]);
  assert.equal(hex(packing.packZeroPoints(grouped.zeros, layout)), golden.onnx.uint4AsymZp);
  assert.equal(hex(packing.packMatMulNBits(grouped.codes, grouped.zeros, layout)), golden.onnx.uint4Asym);
});

test('a short last MatMulNBits block is stored in full, padded with its zero point', () => {
  const layout = { N: 2, K: 20, bits: 4, block: 16 };
  const codes = new Uint8Array(40).fill(1);
  const blob = packing.packMatMulNBits(codes, Uint8Array.of(3, 5, 7, 9), layout);
  assert.equal(hex(blob), '1111111111111111' + '1111555555555555' + '1111111111111111' + '1111999999999999');
  assert.equal(hex(packing.packMatMulNBits(codes, undefined, layout).subarray(8, 16)), '1111888888888888');
  assert.deepEqual(packing.unpackMatMulNBits(blob, layout), codes);
});

test('2-bit raw data holds four codes a byte, low first, and pads an odd tail with zero', () => {
  assert.equal(hex(packing.packLowFirst([0, 1, 2, 3, 3], 2)), 'e403');
  assert.equal(hex(packing.packLowFirst([-1, -2, 1], 4)), 'ef01');
});

test('four FP6 codes fill three bytes as a little-endian bit stream', () => {
  assert.equal(hex(packing.packLowFirst([0x01, 0x02, 0x03, 0x3f], 6)), '8130fc');
});

test('GPTQ words are those of the card', () => {
  assert.deepEqual(words(packing.packGptqWeight(ramp(8, 8), 1, 8, 4)), ['76543210']);
  assert.deepEqual(words(packing.packGptqZeros(new Uint8Array(8).fill(8), 8, 1, 4, 'v1')), ['77777777']);
  assert.deepEqual(words(packing.packGptqZeros(new Uint8Array(8).fill(8), 8, 1, 4, 'v2')), ['88888888']);
  assert.deepEqual(words(packing.packGptqWeight(ramp(32, 8), 1, 32, 3)), ['88fac688', 'c688fac6', 'fac688fa']);
});

test('GPTQ v1 refuses a zero point of 0, and v2 keeps it', () => {
  const zeros = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7);
  assert.throws(() => packing.packGptqZeros(zeros, 8, 1, 4, 'v1'), { code: 'packing.zeroPointZero' });
  assert.deepEqual(packing.unpackGptqZeros(packing.packGptqZeros(zeros, 8, 1, 4, 'v2'), 8, 1, 4, 'v2'), zeros);
  assert.deepEqual([...packing.unpackGptqZeros(Int32Array.of(-1), 8, 1, 4, 'v1')], new Array(8).fill(0));
});

test('the version of symmetric GPTQ zeros shows in their values', () => {
  assert.equal(packing.detectGptqVersion(Int32Array.of(0x77777777), 4), 'v1');
  assert.equal(packing.detectGptqVersion(Int32Array.of(0x88888888 | 0), 4), 'v2');
  assert.equal(packing.detectGptqVersion(Int32Array.of(0x87777777 | 0), 4), undefined);
});

test('AWQ words carry columns in the order of the card', () => {
  assert.deepEqual(words(packing.packAwq(ramp(8, 8), 8, 1)), ['75316420']);
});

test('compressed-tensors words are those of the card', () => {
  const lifted = (codes: number[]) => Uint8Array.from(codes, (c) => c + 8);
  assert.deepEqual(words(packing.packQuantized(lifted([-8, -7, -6, -5, -4, -3, -2, -1]), 1, 8, 4)), ['76543210']);
  assert.deepEqual(words(packing.packQuantized(lifted([-4, -3, -2, -1, 0, 1, 2, 3]), 1, 8, 4)), ['ba987654']);
  assert.equal(packing.packQuantized(new Uint8Array(11), 1, 11, 3).length, 2);
  assert.deepEqual(words(packing.packQuantizedZeros(ramp(16, 8), 8, 2, 4)), ['64206420', '75317531']);
});

test('NVFP4 packs to the bytes of the card, and its two global scales are reciprocal', () => {
  const q = parseFormat('nvfp4').encode(V(64), 1, 64);
  assert.equal(hex(packing.packFp4(q.codes as Uint8Array, 64)), golden.nvfp4_64.codesPackedLowFirst.join(''));
  assert.equal(hex(packing.scalesToE4M3(q.scales)), golden.nvfp4_64.scales);
  assert.deepEqual(packing.scalesFromE4M3(packing.scalesToE4M3(q.scales)), q.scales);
  const { weight_global_scale, weight_scale_2 } = packing.nvfp4GlobalScales(q);
  assert.equal(weight_scale_2, golden.nvfp4_64.tensorScale);
  assert.ok(Math.abs(weight_global_scale - 4370.7314) < 1e-3);
});

test('MXFP4 packs to the bytes of the card', () => {
  const q = parseFormat('mxfp4').encode(V(32), 1, 32);
  assert.equal(hex(packing.packFp4(q.codes as Uint8Array, 32)), golden.mx.mxfp4.codesPackedLowFirst);
  assert.equal(hex(packing.scalesToE8M0(q.scales)), '7b');
});

test('NF4 packs to the bytes of the card, first code high', () => {
  const q = parseFormat('nf4').encode(V(64), 1, 64);
  assert.equal(hex(packing.packHighFirst(q.codes)), golden.nf4_64.packedHighFirst);
});

test('every layout gives back the codes it was given', () => {
  const dims = fc.record({ n: fc.integer({ min: 1, max: 5 }), k: fc.integer({ min: 1, max: 70 }), seed: fc.integer({ min: 0, max: 9999 }) });
  fc.assert(fc.property(dims, fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8), ({ n, k, seed }, bits) => {
    const codes = codesOf(bits, n * k, seed);
    assert.deepEqual(packing.unpackLowFirst(packing.packLowFirst(codes, bits), n * k, bits), codes);
    assert.deepEqual(packing.unpackQuantized(packing.packQuantized(codes, n, k, bits), n, k, bits), codes);
    assert.deepEqual(packing.unpackQuantizedZeros(packing.packQuantizedZeros(codes, n, k, bits), n, k, bits), codes);
    if (bits >= 2) {
      const layout = { N: n, K: k, bits, block: 16 };
      assert.deepEqual(packing.unpackMatMulNBits(packing.packMatMulNBits(codes, undefined, layout), layout), codes);
      const zeros = codesOf(bits, n * Math.ceil(k / 16), seed);
      assert.deepEqual(packing.unpackZeroPoints(packing.packZeroPoints(zeros, layout), layout), zeros);
    }
    if (bits === 4) {
      assert.deepEqual(packing.unpackHighFirst(packing.packHighFirst(codes), n * k), codes);
      const lines = codesOf(4, 8 * n * k, seed);
      assert.deepEqual(packing.unpackAwq(packing.packAwq(lines, 8 * n, k), 8 * n, k), lines);
    }
    if ([2, 3, 4, 8].includes(bits)) {
      const full = codesOf(bits, n * 32 * 3, seed);
      assert.deepEqual(packing.unpackGptqWeight(packing.packGptqWeight(full, 3 * n, 32, bits), 3 * n, 32, bits), full);
      const zeros = full.map((z) => (z === 0 ? 1 : z));
      for (const version of ['v1', 'v2'] as const) {
        assert.deepEqual(packing.unpackGptqZeros(packing.packGptqZeros(zeros, 32, 3 * n, bits, version), 32, 3 * n, bits, version), zeros);
      }
    }
  }), { seed: 7, numRuns: 150 });
});

test('layouts refuse widths that do not fill their words', () => {
  assert.throws(() => packing.packGptqWeight(new Uint8Array(6), 1, 6, 4), /needs input width divisible by 8, got 6/);
  assert.throws(() => packing.packAwq(new Uint8Array(6), 6, 1), /needs output width divisible by 8, got 6/);
  assert.throws(() => packing.packFp4(new Uint8Array(3), 3), /divisible by 2, got 3/);
  assert.throws(() => packing.packGptqWeight(new Uint8Array(32), 1, 32, 5), /holds codes of 2, 3, 4 or 8 bits, not 5/);
});

test('grouped codes decode to what the format decodes', () => {
  const values = V(96);
  for (const spelling of ['int4/g16', 'uint4/g16', 'int4/channel', 'uint4/tensor', 'int4-full/g16', 'int3/g48']) {
    const format = parseFormat(spelling);
    const q = format.encode(values, 2, 48);
    const decoded = packing.decodeGrouped(packing.groupedCodes(q, format.bits, 3), 16);
    assert.deepEqual(decoded, format.decode(q), spelling);
  }
  for (const spelling of ['int4/g32', 'int4/4x16']) {
    assert.throws(() => packing.groupedCodes(parseFormat(spelling).encode(values, 2, 48), 4, 3), { code: 'packing.groups' });
  }
});
