/** Products with inputs of 4 and 8 bits by block: the bits of the plain twins, the values of float64, and the figures of the method's card. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockSize, codeBytes, mixedKernels, packBytes, packNibbles, packScales, wordOf, type MixedInputs, type MixedKernels } from '../../src/engine/kernels/mixed.ts';
import { plainMixed } from '../../src/engine/kernels/mixed-plain.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { normal, permutation } from '../../src/numeric/random.ts';

const [rows, blocks, tokens, rank] = [12, 5, 3, 3];
const cols = blocks * blockSize;
const wide = [0, 1, 0, 0, 1];
const weights = Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i));
const quantized = parseFormat(`int4/g${blockSize}`).encode(weights, rows, cols);
const x = Float32Array.from({ length: tokens * cols }, (_, i) => normal(2, 0, i) * (i % cols < blockSize || i % 29 === 0 ? 9 : 1));
x.fill(0, cols + 2 * blockSize, cols + 3 * blockSize);

const place = { x: 1024, order: 16_384, wide: 20_480, codes: 32_768, scales: 49_152, lifts: 50_176, weights: 65_536, wScales: 98_304, up: 102_400, down: 104_448, out: 110_592 };
const inputs = (flags: readonly number[]): MixedInputs => ({ tokens, blocks, wide: place.wide, codes: place.codes, width: codeBytes(flags), scales: place.scales, lifts: place.lifts });
const output = { out: place.out, stride: rows + 4, first: 0, last: rows / 4 };
const branch = { up: place.up, down: place.down, rank };

function filled(flags: readonly number[], codes = quantized.codes as Int8Array): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const [F, B] = [new Float32Array(memory.buffer), new Uint8Array(memory.buffer)];
  F.set(x, place.x / 4);
  new Uint32Array(memory.buffer).set(permutation(3, 0, cols), place.order / 4);
  B.set(flags, place.wide);
  B.set(packNibbles(codes, rows, cols), place.weights);
  F.set(packScales(quantized.scales, rows, blocks), place.wScales / 4);
  for (let i = 0; i < rows * rank; i++) F[place.up / 4 + i] = normal(4, 0, i);
  for (let i = 0; i < tokens * rank; i++) F[place.down / 4 + i] = normal(5, 0, i);
  return memory;
}

function multiplied(kernels: MixedKernels, flags: readonly number[], order = 0): void {
  kernels.roundBlocks(place.x, order, inputs(flags));
  kernels.product(place.weights, place.wScales, inputs(flags), output, branch);
}

// Where a test looks at rounded inputs: each build lays them out in its own way, of which the plain twin has that of plain SIMD.
test('4 and 8 bits by block: the bits of the plain twin, for any number of tokens and panels at a time', () => {
  for (const [flags, order] of [[wide, 0], [wide, place.order], [[1, 1, 1, 1, 1], 0], [[0, 0, 0, 0, 0], 0]] as const) {
    const [fast, plain, parts] = [filled(flags), filled(flags), filled(flags)];
    multiplied(mixedKernels(fast, 'plain SIMD'), flags, order);
    multiplied(plainMixed(plain), flags, order);
    assert.deepEqual(Buffer.from(fast.buffer), Buffer.from(plain.buffer));
    const kernels = mixedKernels(parts, 'plain SIMD');
    const all = inputs(flags);
    kernels.roundBlocks(place.x, order, all);
    for (let t = 0; t < tokens; t++) {
      const one: MixedInputs = { ...all, tokens: 1, codes: all.codes + t * all.width, scales: all.scales + 4 * t * blocks, lifts: all.lifts + 4 * t * blocks };
      for (let p = 0; p < rows / 4; p++) kernels.product(place.weights, place.wScales, one, { ...output, out: place.out + 4 * t * output.stride, first: p, last: p + 1 }, { ...branch, down: place.down + 4 * t * rank });
    }
    assert.deepEqual(Buffer.from(parts.buffer), Buffer.from(fast.buffer));
  }
});

test('the product is that of decoded weights with decoded inputs in float64, branch included', () => {
  const memory = filled(wide);
  multiplied(mixedKernels(memory), wide, place.order);
  const F = new Float32Array(memory.buffer);
  const order = permutation(3, 0, cols);
  const decoded = parseFormat(`int4/g${blockSize}`).decode(quantized);
  for (let t = 0; t < tokens; t++) {
    const sorted = Float32Array.from({ length: cols }, (_, i) => x[t * cols + order[i]]);
    const seen = wide.flatMap((isWide, b) => {
      const format = parseFormat(isWide === 1 ? 'int8/token' : 'int4/token');
      return [...format.decode(format.encode(sorted.subarray(b * blockSize, (b + 1) * blockSize), 1, blockSize))];
    });
    for (let r = 0; r < rows; r++) {
      let [expected, size] = [0, 0];
      for (let k = 0; k < rank; k++) expected += F[place.up / 4 + ((r >> 2) * rank + k) * 4 + (r & 3)] * F[place.down / 4 + t * rank + k];
      for (let c = 0; c < cols; c++) { expected += decoded[r * cols + c] * seen[c]; size += Math.abs(decoded[r * cols + c] * seen[c]); }
      assert.ok(Math.abs(F[place.out / 4 + t * output.stride + r] - expected) <= 1e-6 * size);
    }
  }
});

test('extreme codes on both sides carry into no neighbouring field', () => {
  for (const [code, sign] of [[-8, 1], [-8, -1], [7, 1], [7, -1]] as const) {
    const memory = filled([0, 0, 0, 0, 0], new Int8Array(rows * cols).fill(code));
    const F = new Float32Array(memory.buffer);
    F.fill(7 * sign, place.x / 4, place.x / 4 + tokens * cols);
    F.fill(1, place.wScales / 4, place.wScales / 4 + rows * blocks);
    const kernels = mixedKernels(memory);
    kernels.roundBlocks(place.x, 0, inputs([0, 0, 0, 0, 0]));
    kernels.product(place.weights, place.wScales, inputs([0, 0, 0, 0, 0]), output);
    for (let r = 0; r < rows; r++) assert.equal(F[place.out / 4 + r], 7 * sign * code * cols);
  }
});

test('card: codes of a block at both widths, and a code in the high nibble', () => {
  const values = Float32Array.of(0.875, -0.1875, 0.0625, 0.4);
  const [four, eight] = ['int4/token', 'int8/token'].map((spelling) => parseFormat(spelling).encode(values, 1, 4));
  assert.deepEqual([four.scales[0], [...four.codes], [...parseFormat('int4/token').decode(four)]], [0.125, [7, -2, 0, 3], [0.875, -0.25, 0, 0.375]]);
  assert.ok(Math.abs(eight.scales[0] - 0.0068897638) < 1e-10);
  assert.deepEqual([...eight.codes], [127, -27, 9, 58]);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const F = new Float32Array(memory.buffer);
  for (const [isWide, expected] of [[0, four], [1, eight]] as const) {
    const to = { tokens: 1, blocks: 1, wide: 0, codes: 4096, width: 128 * (1 + isWide), scales: 8192, lifts: 8196 };
    new Uint8Array(memory.buffer)[0] = isWide;
    F.set(values, 256);
    mixedKernels(memory, 'plain SIMD').roundBlocks(1024, 0, to);
    assert.equal(F[2048], expected.scales[0]);
    const S = new Int16Array(memory.buffer, 4096);
    // Columns 0 to 3 are nibble 0: of a narrow pair the part that is multiplied by 4096.
    assert.deepEqual(Array.from({ length: 4 }, (_, i) => (isWide === 1 ? S[i] : S[i] / 4096)), [...expected.codes]);
  }
  const words = new Uint16Array(packNibbles(Int8Array.from({ length: 128 }, (_, c) => (c === 24 ? -3 : 0)), 1, 128).buffer);
  const word = words[wordOf(1, 0, 24)];
  assert.equal(word >> 12, 0xd);
  assert.equal(((word & 0xf000) << 16) >> 16, 4096 * -3);
});

test('8 bits on both sides, one scale for each row and token: the bits of the plain twin and exact sums', () => {
  const whole = parseFormat('int8/channel').encode(weights, rows, cols);
  const memories = [mixedKernels, plainMixed].map((made) => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    new Float32Array(memory.buffer).set(x, 1024 / 4);
    new Int8Array(memory.buffer).set(packBytes(whole.codes as Int8Array, rows, cols), 65_536);
    new Float32Array(memory.buffer).set(whole.scales, 81_920 / 4);
    const kernels = made(memory);
    kernels.roundTokens(1024, tokens, cols, 98_304, 90_112);
    kernels.product8(65_536, 81_920, cols, 98_304, 90_112, tokens, output);
    return memory;
  });
  assert.deepEqual(Buffer.from(memories[0].buffer), Buffer.from(memories[1].buffer));
  const F = new Float32Array(memories[0].buffer);
  const codes = parseFormat('int8/token').encode(x, tokens, cols);
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < rows; r++) {
      let dot = 0;
      for (let c = 0; c < cols; c++) dot += whole.codes[r * cols + c] * codes.codes[t * cols + c];
      assert.equal(F[output.out / 4 + t * output.stride + r], Math.fround(Math.fround(dot * whole.scales[r]) * codes.scales[t]));
    }
  }
});
