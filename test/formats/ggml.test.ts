import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { decodeBlocks, encodeBlocks, ggmlFormats, ggmlTypes, type GgmlType } from '../../src/formats/ggml/index.ts';
import { blockTypes } from '../../src/tensor-ref.ts';

interface Golden { input: 'V' | 'ternary'; bytes: number; hex: string; decoded012: number[]; mse: number }
const vectors = JSON.parse(readFileSync(new URL('../vectors/formats.json', import.meta.url), 'utf8')) as {
  gguf: Record<string, Golden>;
  ggufImportance: Record<string, { hex: string; mse: number }>;
};

const V = (i: number): number => Math.fround((((31 * i * i + 17 * i + 11) % 257) - 128) * (1 + Math.floor(i / 32)) / 400);
const ternary = (i: number): number => 0.5 * (((7 * i + Math.floor(i / 3)) % 3) - 1);
const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const close = (found: number, expected: number): void => assert.ok(Math.abs(found - expected) <= 1e-8 * Math.abs(expected) + 1e-12, `${found} ≠ ${expected}`);

for (const [name, golden] of Object.entries(vectors.gguf)) {
  const type = name.toLowerCase() as GgmlType;
  const n = blockTypes[type].block;
  const values = Float32Array.from({ length: n }, (_, i) => (golden.input === 'V' ? V(i) : ternary(i)));
  test(`${name} gives the golden bytes and values`, () => {
    const quantized = ggmlFormats[type].encode(values, 1, n);
    assert.equal(hex(quantized.blocks!), golden.hex);
    const decoded = ggmlFormats[type].decode(quantized);
    golden.decoded012.forEach((expected, i) => close(decoded[i], expected));
    close(quantized.squaredError / n, golden.mse);
  });
}

for (const [name, golden] of Object.entries(vectors.ggufImportance)) {
  test(`${name} under importance gives the golden bytes`, () => {
    const type = name.toLowerCase() as GgmlType;
    const n = blockTypes[type].block;
    const values = Float32Array.from({ length: n }, (_, i) => V(i));
    const importance = Float32Array.from({ length: n }, (_, i) => 1 + (i % 5));
    const quantized = ggmlFormats[type].encode(values, 1, n, { importance });
    assert.equal(hex(quantized.blocks!), golden.hex);
    close(quantized.squaredError / n, golden.mse);
  });
}

test('a block of zeros and a block of ones are stored as the reference stores them', () => {
  const zeros = (type: GgmlType): string => hex(encodeBlocks(type, new Float32Array(blockTypes[type].block), 1, blockTypes[type].block));
  assert.equal(zeros('q4_0'), `0080${'88'.repeat(16)}`);
  for (const type of ['q8_0', 'mxfp4', 'nvfp4', 'q4_k'] as const) assert.match(zeros(type), /^(00)+$/);
  assert.equal(zeros('tq1_0'), `${'80'.repeat(48)}${'7f'.repeat(4)}0000`);
  const ones = new Float32Array(32).fill(1);
  assert.equal(hex(encodeBlocks('q4_0', ones, 1, 32)), `00b0${'00'.repeat(16)}`);
  assert.equal(hex(encodeBlocks('q4_1', ones, 1, 32)), `0000003c${'00'.repeat(16)}`);
  assert.equal(hex(encodeBlocks('mxfp4', ones, 1, 32)), `7d${'66'.repeat(16)}`);
});

for (const type of ggmlTypes) {
  test(`${type} restores zeros, alone and beside a block that is not zero`, () => {
    const { block } = blockTypes[type];
    const values = new Float32Array(2 * block);
    for (let i = 0; i < block; i++) values[i] = V(i);
    const decoded = decodeBlocks(type, encodeBlocks(type, values, 2, block));
    assert.ok(decoded.subarray(block).every((v) => v === 0));
    assert.ok(decoded.subarray(0, block).every((v) => v - v === 0));
  });
}

test('values that are not finite, scales beyond half precision and partial blocks are refused', () => {
  const values = new Float32Array(256);
  values[77] = NaN;
  assert.throws(() => encodeBlocks('q4_k', values, 1, 256), /value NaN at index 77/);
  values[77] = -Infinity;
  assert.throws(() => encodeBlocks('mxfp4', values, 1, 256), /value -Infinity at index 77/);
  values[77] = 3e38;
  assert.throws(() => encodeBlocks('q8_0', values, 1, 256), /row 0 needs a scale above 65504/);
  assert.throws(() => encodeBlocks('q4_k', new Float32Array(96), 1, 96), /needs rows divisible by 256, got 96/);
  assert.throws(() => encodeBlocks('q4_0', new Float32Array(32), 1, 32, new Float32Array(31)), /importance: expected 32 values, got 31/);
});

test('codebook types of less than four bits are refused in one line', () => {
  for (const type of ['iq1_s', 'iq1_m', 'iq2_xxs', 'iq2_xs', 'iq2_s', 'iq3_xxs', 'iq3_s'] as const) {
    assert.throws(() => decodeBlocks(type, new Uint8Array(blockTypes[type].bytes)), /^FewbitError: block type iq/);
  }
});
