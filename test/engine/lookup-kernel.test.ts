/** Products that only add: the bits of the plain twins, exact sums, and the figures of the cards of ternary and complex networks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockSize, imaginary, lookupKernels, packDigits, packRowScales, real, ternary, type LookupKernels, type Signs } from '../../src/engine/kernels/lookup.ts';
import { plainLookup } from '../../src/engine/kernels/lookup-plain.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { normal, randomInteger } from '../../src/numeric/random.ts';

const [rows, blocks, tokens] = [32, 3, 2];
const cols = blocks * blockSize;
const x = Float32Array.from({ length: tokens * cols }, (_, i) => normal(1, 0, i) * (i % 37 === 0 ? 12 : 1));
const digits = Uint8Array.from({ length: rows * cols }, (_, i) => randomInteger(2, 0, i, 4));
const scales = Float32Array.from({ length: rows * blocks }, (_, i) => 0.01 + Math.abs(normal(3, 0, i)));
const place = { x: 1024, weights: 16_384, wScales: 28_672, tables: 65_536, scales: 32_768, out: 40_960 };
const inputs = { tokens, blocks, tables: place.tables, scales: place.scales };
const output = { out: place.out, stride: rows, first: 0, last: rows / 16, panels: rows / 16 };

function filled(own = digits, values = x): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 3 });
  const F = new Float32Array(memory.buffer);
  F.set(values, place.x / 4);
  new Uint8Array(memory.buffer).set(packDigits(own, rows, cols), place.weights);
  F.set(packRowScales(rows, cols, (row, block) => scales[row * blocks + block]), place.wScales / 4);
  return memory;
}

function multiplied(kernels: LookupKernels, signs: Signs, whole: boolean): void {
  kernels.tables(place.x, signs, whole, inputs);
  kernels.product(place.weights, place.wScales, inputs, output);
}

const sign = (digit: number, { plus, minus }: Signs): number => Number(digit === plus) - Number(digit === minus);

for (const [name, signs] of Object.entries({ ternary, real, imaginary })) {
  test(`${name}: the bits of the plain twin for any panels at a time, and exact sums of 8-bit codes`, () => {
    for (const whole of [false, true]) {
      const [fast, plain, parts] = [filled(), filled(), filled()];
      multiplied(lookupKernels(fast), signs, whole);
      multiplied(plainLookup(plain), signs, whole);
      assert.deepEqual(Buffer.from(fast.buffer), Buffer.from(plain.buffer));
      const kernels = lookupKernels(parts);
      kernels.tables(place.x, signs, whole, inputs);
      for (let p = output.last - 1; p >= 0; p--) kernels.product(place.weights, place.wScales, inputs, { ...output, first: p, last: p + 1 });
      assert.deepEqual(Buffer.from(parts.buffer), Buffer.from(fast.buffer));
      const format = parseFormat(whole ? 'int8/token' : `int8/g${blockSize}`);
      const { codes, scales: own } = format.encode(x, tokens, cols);
      const F = new Float32Array(fast.buffer);
      for (let t = 0; t < tokens; t++) {
        for (let r = 0; r < rows; r++) {
          let total = 0;
          for (let b = 0; b < blocks; b++) {
            let sum = 0;
            for (let c = b * blockSize; c < (b + 1) * blockSize; c++) sum += sign(digits[r * cols + c], signs) * codes[t * cols + c];
            total = Math.fround(total + Math.fround(Math.fround(sum * scales[r * blocks + b]) * own[whole ? t : t * blocks + b]));
          }
          assert.equal(F[place.out / 4 + t * rows + r], total);
        }
      }
    }
  });
}

test('sums of the largest codes do not overflow', () => {
  for (const [digit, expected] of [[1, 127], [2, -127], [0, 0]]) {
    const memory = filled(new Uint8Array(rows * cols).fill(digit), new Float32Array(tokens * cols).fill(127));
    new Float32Array(memory.buffer).fill(1, place.wScales / 4, place.wScales / 4 + rows * blocks);
    multiplied(lookupKernels(memory), ternary, false);
    for (let i = 0; i < tokens * rows; i++) assert.equal(new Float32Array(memory.buffer)[place.out / 4 + i], expected * cols);
  }
});

test('ternary weights of the format: the product of decoded weights', () => {
  const format = parseFormat(`ternary/g${blockSize}`);
  const weights = Float32Array.from({ length: rows * cols }, (_, i) => normal(5, 0, i));
  const quantized = format.encode(weights, rows, cols);
  const decoded = format.decode(quantized);
  const memory = filled(Uint8Array.from(decoded, (w) => (w === 0 ? 0 : w > 0 ? 1 : 2)));
  const F = new Float32Array(memory.buffer);
  F.set(packRowScales(rows, cols, (row, block) => Math.abs(quantized.scales[row * blocks + block])), place.wScales / 4);
  multiplied(lookupKernels(memory), ternary, false);
  const seen = parseFormat(`int8/g${blockSize}`);
  const rounded = seen.decode(seen.encode(x, tokens, cols));
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < rows; r++) {
      let [sum, size] = [0, 0];
      for (let c = 0; c < cols; c++) { sum += decoded[r * cols + c] * rounded[t * cols + c]; size += Math.abs(decoded[r * cols + c] * rounded[t * cols + c]); }
      assert.ok(Math.abs(F[place.out / 4 + t * rows + r] - sum) <= 1e-6 * size);
    }
  }
});

test('card of iFairy: i times 2 and −1 times 2 with the conjugate of 3 + 4i', () => {
  // Parts 3 and 4 in the first column of two tokens; the weight of row 0 is i, that of row 1 is −1.
  const parts = new Float32Array(tokens * cols);
  parts[0] = 3;
  parts[cols] = 4;
  const own = new Uint8Array(rows * cols);
  own[0] = 1;
  own[cols] = 2;
  const sums = [real, imaginary].map((signs) => {
    const memory = filled(own, parts);
    new Float32Array(memory.buffer).fill(2, place.wScales / 4, place.wScales / 4 + rows * blocks);
    multiplied(lookupKernels(memory), signs, true);
    return new Float32Array(memory.buffer, place.out, tokens * rows);
  });
  // y = w·x̄: real part s·x_r on the real axis + s·x_i on the imaginary one; imaginary part s·x_r on the imaginary − s·x_i on the real one.
  const y = (row: number): number[] => [sums[0][row] + sums[1][rows + row], sums[1][row] - sums[0][rows + row]];
  assert.deepEqual([y(0), y(1)].flat().map((v) => Number(v.toFixed(5))), [8, 6, -6, 8]);
});
