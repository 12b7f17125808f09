import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainIntegers, type IntegerTensor } from '../../src/engine/integer/products.ts';
import { integerKernels } from '../../src/engine/kernels/integer.ts';
import { dyadic } from '../../src/numeric/dyadic.ts';
import { normal } from '../../src/numeric/random.ts';

const kernels = integerKernels();
const codes = (seed: number, count: number, most: number): Int32Array => Int32Array.from({ length: count }, (_, i) => Math.max(-most, Math.min(most, Math.round(normal(seed, 0, i) * most))));
const tensor = (seed: number, shape: readonly number[], most: number): IntegerTensor => ({ shape, data: codes(seed, shape.reduce((a, b) => a * b, 1), most) });

const cases = [
  { name: 'three channels', x: [2, 3, 9, 11], outputs: 6, groups: 1, kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] },
  { name: 'strides, uneven padding', x: [1, 8, 10, 7], outputs: 5, groups: 1, kernel: [3, 2], strides: [2, 3], dilations: [1, 1], pads: [0, 1, 2, 1] },
  { name: 'dilations', x: [1, 5, 12, 12], outputs: 9, groups: 1, kernel: [3, 3], strides: [1, 2], dilations: [2, 3], pads: [2, 3, 2, 3] },
  { name: 'groups', x: [2, 6, 6, 6], outputs: 9, groups: 3, kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] },
  { name: 'every channel alone', x: [2, 19, 8, 9], outputs: 19, groups: 19, kernel: [3, 3], strides: [2, 1], dilations: [1, 2], pads: [1, 2, 1, 2] },
  { name: 'points', x: [1, 33, 5, 5], outputs: 17, groups: 1, kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] },
  { name: 'windows that end behind the padding', x: [1, 4, 5, 5], outputs: 4, groups: 4, kernel: [2, 2], strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0], out: [3, 3] },
];

for (const { name, x: shape, outputs, groups, kernel, strides, dilations, pads, out } of cases) {
  test(`a convolution in WASM gives the integers of the plain one: ${name}`, () => {
    const x = tensor(1, shape, 32_767);
    const w = Int8Array.from(codes(2, (outputs * shape[1] * kernel[0] * kernel[1]) / groups, 127));
    const made = out ?? [0, 1].map((axis) => Math.floor((shape[2 + axis] + pads[axis] + pads[2 + axis] - (kernel[axis] - 1) * dilations[axis] - 1) / strides[axis]) + 1);
    const windows = { kernel, strides, dilations, begin: pads.slice(0, 2), end: pads.slice(2), out: made };
    assert.deepEqual(kernels.convolve(x, w, outputs, groups, windows), plainIntegers.convolve(x, w, outputs, groups, windows));
  });
}

for (const transposed of [false, true]) {
  test(`rows times a matrix${transposed ? ' stored the other way round' : ''}`, () => {
    const x = tensor(3, [2, 5, 21], 255);
    const w = Int8Array.from(codes(4, 21 * 10, 127));
    assert.deepEqual(kernels.multiply(x, w, 10, transposed), plainIntegers.multiply(x, w, 10, transposed));
  });
}

test('rescaling rounds as integers of any length do', () => {
  const x = tensor(5, [2, 3, 50], 2 ** 31 - 1);
  x.data.set([2 ** 31 - 1, -(2 ** 31), 0, 1, -1, 3]);
  const factors = [0.3, 2 ** -31, 1.75, 0, 1 / 3, 2 ** -8].map(dyadic);
  for (const some of [factors, factors.slice(1, 4)]) {
    const found = kernels.rescale(x, some, 50, -128, 127);
    assert.deepEqual(found, plainIntegers.rescale(x, some, 50, -128, 127));
    x.data.forEach((value, i) => {
      const { multiplier, shift } = some[Math.floor(i / 50) % some.length];
      const exact = (BigInt(value) * BigInt(multiplier) + (shift > 0 ? 1n << BigInt(shift - 1) : 0n)) >> BigInt(shift);
      assert.equal(BigInt(found.data[i]), exact > 127n ? 127n : exact < -128n ? -128n : exact);
    });
  }
});

test('a layer after a larger one is not disturbed by what that left', () => {
  const small = tensor(6, [1, 3, 4, 4], 100);
  const w = Int8Array.from(codes(7, 4 * 3 * 9, 127));
  const windows = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], begin: [1, 1], end: [1, 1], out: [4, 4] };
  const first = integerKernels().convolve(small, w, 4, 1, windows);
  kernels.convolve(tensor(8, [1, 16, 20, 20], 32_767), Int8Array.from(codes(9, 16 * 16 * 9, 127)), 16, 1, { ...windows, out: [20, 20] });
  assert.deepEqual(kernels.convolve(small, w, 4, 1, windows), first);
});
