import { test } from 'node:test';
import assert from 'node:assert/strict';
import { e2m1, e2m3, e3m2, e4m3, e5m2, encodeE8M0, encodeMiniFloat, miniFloat, ue5m3, type MiniFloat } from '../../src/formats/minifloat-code.ts';
import { nf4Table, parseFormat, tableFormat } from '../../src/formats/index.ts';
import { inverseNormal } from '../../src/numeric/random.ts';
import { golden, hex, pairsLowFirst, V } from './vectors.ts';

const same = (actual: number, expected: number, digits = 8) =>
  assert.ok(Math.abs(actual - expected) <= Math.abs(expected) * 10 ** (1 - digits), `${actual} is not ${expected}`);

test('symmetric integers of V(0..7) have the scales and codes of the card', () => {
  const rows: [number, number, number[]][] = [
    [2, 0.29249999, [-1, -1, 0, 0, -1, 0, 1, 0]],
    [3, 0.0975, [-3, -2, 1, -1, -2, -1, 2, -1]],
    [4, 0.041785713, [-7, -4, 2, -3, -4, -2, 4, -1]],
    [8, 0.0023031496, [-127, -75, 45, -48, -73, -30, 79, -23]],
  ];
  for (const [bits, scale, codes] of rows) {
    const q = parseFormat(`int${bits}/tensor`).encode(V(8), 1, 8);
    same(q.scales[0], scale);
    assert.deepEqual([...q.codes], codes);
  }
});

test('asymmetric integers of V(0..7) have the scales, zero points and codes of the card', () => {
  const rows: [number, number, number, number[]][] = [
    [2, 0.15833333, 2, [0, 1, 3, 1, 1, 2, 3, 2]],
    [3, 0.067857139, 4, [0, 1, 6, 2, 2, 3, 7, 3]],
    [4, 0.031666666, 9, [0, 4, 12, 6, 4, 7, 15, 7]],
    [8, 0.001862745, 157, [0, 64, 212, 98, 67, 119, 255, 129]],
  ];
  for (const [bits, scale, zero, codes] of rows) {
    const q = parseFormat(`uint${bits}/tensor`).encode(V(8), 1, 8);
    same(q.scales[0], scale, 7);
    assert.equal(q.zeros![0], zero);
    assert.deepEqual([...q.codes], codes);
  }
});

test('the full symmetric range divides by 7.5 at four bits', () => {
  const q = parseFormat('int4-full/tensor').encode(Float32Array.of(-0.75, 0.75, 0.1), 1, 3);
  same(q.scales[0], 0.1);
  assert.deepEqual([...q.codes], [-8, 7, 1]);
});

test('the code tables of the small floats are those of the card', () => {
  for (const [name, type] of [['e2m1', e2m1], ['e2m3', e2m3], ['e3m2', e3m2]] as const) {
    const table = golden.miniFloatPositive[name] as number[];
    table.forEach((value, code) => {
      assert.equal(type.values[code], value);
      assert.ok(Object.is(type.values[code + table.length], -value));
      assert.equal(encodeMiniFloat(value, type), code);
      assert.equal(encodeMiniFloat(-value, type), code + table.length);
    });
  }
});

test('small floats round at the decision points of the card', () => {
  const rows: [MiniFloat, number[], string][] = [
    [e2m1, [0.25, 0.2500001, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.01, 7, -0.1, -5, -0.25], '00010202040406060707080e08'],
    [e4m3, [240, 448, 449, 464, 464.1, 480, Infinity, 2 ** -10, 1.5 * 2 ** -10, 1.0625, 1.1875, 17, -0], '777e7e7e7e7e7e0001383a5880'],
    [e5m2, [57344, 61439, 61440, 1.125, 1.375, 2 ** -17, 1.5 * 2 ** -17, 3], '7b7b7b3c3e000142'],
    [e2m3, [7.5, 7.74, 0.0625, 0.9375, 1.0625, 1.1875], '1f1f0008080a'],
    [e3m2, [28, 30, 0.0625, 0.03125, 1.125, 1.375], '1f1f01000c0e'],
    [ue5m3, [1, 0.07, 448, 1e-5, 65536, 114688, 1.0625, 1.1875], '7859be01f8fe787a'],
  ];
  for (const [type, values, codes] of rows) assert.equal(hex(values.map((x) => encodeMiniFloat(x, type))), codes, type.name);
  assert.equal(hex([1, 0.5, 2 ** -127, 2 ** 127, 3, 1.5, 1.4].map(encodeE8M0)), '7f7e00fe81807f');
});

test('the extremes of each float type are those of the card', () => {
  const rows: [MiniFloat, number, number, number][] = [
    [e2m1, 6, 1, 0.5], [e2m3, 7.5, 1, 0.125], [e3m2, 28, 0.25, 0.0625], [e4m3, 448, 2 ** -6, 2 ** -9],
    [e5m2, 57344, 2 ** -14, 2 ** -16], [ue5m3, 114688, 2 ** -14, 2 ** -17],
  ];
  for (const [type, max, minNormal, minSubnormal] of rows) {
    assert.equal(type.max, max);
    assert.equal(type.values[1 << type.mantissaBits], minNormal);
    assert.equal(type.values[1], minSubnormal);
  }
  assert.ok(Number.isNaN(e4m3.values[0x7f]) && Number.isNaN(e4m3.values[0xff]) && Number.isNaN(ue5m3.values[0xff]));
  assert.equal(e5m2.values[0x7c], Infinity);
  assert.ok(Number.isNaN(e5m2.values[0x7d]));
  for (let code = 8; code < 0x7f; code++) assert.equal(ue5m3.values[code + 0x40], e4m3.values[code]);
});

test('every finite code of every float type up to 8 bits encodes its own value', () => {
  for (let e = 1; e <= 7; e++) for (let m = 0; e + m <= 7; m++) {
    const type = miniFloat(e, m);
    for (let code = 0; code < 2 ** type.bits; code++) {
      const value = type.values[code];
      if (Number.isFinite(value)) assert.equal(encodeMiniFloat(value, type), code, `${type.name} ${code}`);
    }
  }
});

test('the MX formats give the codes and the error of the card', () => {
  const errors: Record<string, number> = {
    mxfp4: 5.03369131e-4, mxfp6_e2m3: 2.22594814e-5, mxfp6_e3m2: 6.69677744e-5, mxfp8_e4m3: 2.16491286e-5,
    mxfp8_e5m2: 6.69677744e-5, mxint8: 1.04980487e-6,
  };
  for (const [name, expected] of Object.entries(golden.mx) as [string, { e: number; codes?: string | number[]; codesPackedLowFirst?: string }][]) {
    const q = parseFormat(name).encode(V(32), 1, 32);
    assert.equal(encodeE8M0(q.scales[0]), expected.e, name);
    if (expected.codesPackedLowFirst !== undefined) assert.equal(hex(pairsLowFirst(q.codes)), expected.codesPackedLowFirst);
    else if (typeof expected.codes === 'string') assert.equal(hex(q.codes), expected.codes, name);
    else assert.deepEqual([...q.codes], expected.codes);
    same(q.squaredError / 32, errors[name]);
  }
});

test('NVFP4 gives the tensor scale, block scales, codes and error of the card', () => {
  const q = parseFormat('nvfp4').encode(V(64), 1, 64);
  assert.equal(q.tensorScale, golden.nvfp4_64.tensorScale);
  assert.equal(hex(Array.from(q.scales, (s) => encodeMiniFloat(s, e4m3))), golden.nvfp4_64.scales);
  assert.equal(hex(pairsLowFirst(q.codes)), golden.nvfp4_64.codesPackedLowFirst.join(''));
  same(q.squaredError / 64, 7.97935869e-4, 7);
  same(1 / q.tensorScale!, 4370.7314);
});

test('NF4 gives the codes and the error of the card', () => {
  const q = parseFormat('nf4/b64').encode(V(64), 2, 32);
  assert.deepEqual(nf4Table, golden.nf4);
  assert.equal(q.scales[0], golden.nf4_64.absmax);
  assert.equal(hex(Array.from({ length: 32 }, (_, i) => (q.codes[2 * i] << 4) | q.codes[2 * i + 1])), golden.nf4_64.packedHighFirst);
  same(q.squaredError / 64, 9.16393378e-4);
});

test('the NF4 table agrees with its generator to 3e-7', () => {
  const steps = (n: number) => Array.from({ length: n - 1 }, (_, i) => inverseNormal(0.9677083 + ((0.5 - 0.9677083) * i) / (n - 1)));
  const raw = [...steps(9), 0, ...steps(8).map((x) => -x)].sort((a, b) => a - b);
  const max = raw[15];
  raw.forEach((x, i) => assert.ok(Math.abs(x / max - nf4Table[i]) < 3e-7));
});

test('FP4 with UE5M3 scales takes UE5M3(amax/6) of each block and no tensor scale', () => {
  const q = parseFormat('e2m1/b16@ue5m3').encode(V(64), 1, 64);
  const values = V(64);
  assert.equal(q.tensorScale, undefined);
  for (let b = 0; b < 4; b++) {
    const amax = Math.max(...values.subarray(16 * b, 16 * b + 16).map(Math.abs));
    assert.equal(encodeMiniFloat(q.scales[b], ue5m3), encodeMiniFloat(amax / 6, ue5m3));
    assert.equal(ue5m3.values[encodeMiniFloat(q.scales[b], ue5m3)], q.scales[b]);
  }
});

test('the extremes of MXINT8 stay within 127 and leave −128 unused', () => {
  const q = parseFormat('mxint8').encode(Float32Array.of(1.999, -1.999, -2, 0.5), 1, 4);
  assert.deepEqual([q.scales[0], ...q.codes], [2, 64, -64, -64, 16]);
  assert.deepEqual([...parseFormat('mxint8').encode(Float32Array.of(1.999, -1.999), 1, 2).codes], [127, -127]);
});

test('a fixed table takes its scale from the extreme and its nearest level, ties down', () => {
  const format = tableFormat('thirds', [-1, -1 / 3, 1 / 3, 1], { kind: 'channel' });
  const q = format.encode(Float32Array.of(3, -0.9, 0, 2.5), 1, 4);
  assert.equal(format.bits, 2);
  assert.deepEqual([q.scales[0], ...q.codes], [3, 3, 1, 1, 3]);
});
