import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  bf16ToF32, decodeBf16, decodeF16, encodeBf16, encodeF16, f16ToF32, f32ToBf16, f32ToF16,
} from '../../src/numeric/half.ts';

test('halves of known values have the bit patterns of IEEE 754', () => {
  const known: [number, number][] = [
    [0, 0], [-0, 0x8000], [1, 0x3c00], [-2, 0xc000], [65504, 0x7bff], [0.1, 0x2e66], [1 / 3, 0x3555],
    [6.103515625e-5, 0x0400], [5.960464477539063e-8, 0x0001], [6.097555160522461e-5, 0x03ff], [Infinity, 0x7c00],
  ];
  for (const [x, bits] of known) assert.equal(f32ToF16(x), bits, `${x}`);
});

test('half ties go to the even neighbour, in normals and subnormals', () => {
  assert.equal(f32ToF16(1 + 2 ** -11), 0x3c00);
  assert.equal(f32ToF16(1 + 3 * 2 ** -11), 0x3c02);
  assert.equal(f32ToF16(1 + 2 ** -11 + 2 ** -20), 0x3c01);
  assert.equal(f32ToF16(2 ** -25), 0);
  assert.equal(f32ToF16(2 ** -25 + 2 ** -40), 1);
  assert.equal(f32ToF16(3 * 2 ** -25), 2);
  assert.equal(f32ToF16(1023.5 * 2 ** -24), 0x400);
});

test('a value of 65520 or more overflows to infinity, one below stays finite', () => {
  assert.equal(f32ToF16(65519.996), 0x7bff);
  assert.equal(f32ToF16(65520), 0x7c00);
  assert.equal(f32ToF16(-1e30), 0xfc00);
});

test('every half survives the way to float32 and back', () => {
  for (let h = 0; h < 65536; h++) {
    const back = f32ToF16(f16ToF32(h));
    if ((h & 0x7fff) > 0x7c00) assert.ok(Number.isNaN(f16ToF32(h)) && (back & 0x7fff) > 0x7c00);
    else assert.equal(back, h);
  }
});

test('a half is a nearest half of its source', () => {
  fc.assert(fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (x) => {
    const bits = f32ToF16(x);
    const error = Math.abs(f16ToF32(bits) - x);
    for (const other of [bits + 1, bits - 1]) {
      if (other < 0 || (other & 0x7c00) === 0x7c00 || (other & 0x8000) !== (bits & 0x8000)) continue;
      assert.ok(error <= Math.abs(f16ToF32(other) - x));
    }
  }), { seed: 1, numRuns: 2000 });
});

test('bfloat16 rounds to nearest even and overflows to infinity', () => {
  const known: [number, number][] = [
    [1, 0x3f80], [-0, 0x8000], [1 + 2 ** -8, 0x3f80], [1 + 3 * 2 ** -8, 0x3f82], [3.4028234663852886e38, 0x7f80],
    [3.3895313892515355e38, 0x7f7f], [1e-45, 0], [9.183549615799121e-41, 1],
  ];
  for (const [x, bits] of known) assert.equal(f32ToBf16(x), bits, `${x}`);
  assert.ok(Number.isNaN(bf16ToF32(f32ToBf16(NaN))));
  for (let b = 0; b < 65536; b++) if ((b & 0x7fff) <= 0x7f80) assert.equal(f32ToBf16(bf16ToF32(b)), b);
});

test('the array forms equal the scalar forms', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const half = decodeF16(bits);
  const bfloat = decodeBf16(bits);
  for (let i = 0; i < 65536; i++) {
    assert.ok(Object.is(half[i], f16ToF32(i)));
    assert.ok(Object.is(bfloat[i], bf16ToF32(i)));
  }
  const values = Float32Array.from({ length: 1000 }, (_, i) => (i - 500) * 0.37 * 2 ** ((i % 60) - 40));
  const f16 = encodeF16(values);
  const bf16 = encodeBf16(values);
  values.forEach((x, i) => {
    assert.equal(f16[i], f32ToF16(x));
    assert.equal(bf16[i], f32ToBf16(x));
  });
});
