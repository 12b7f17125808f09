import { test } from 'node:test';
import { random, randomIntegers, same, value } from './against-ort.ts';

test('MatMulNBits in every width, with zero points and a bias', async () => {
  const [n, k, block] = [5, 40, 16];
  for (const bits of [2, 4, 8]) {
    const attributes = { N: n, K: k, bits, block_size: block, accuracy_level: 0 };
    const codes = randomIntegers('u8', [n, 3, (block * bits) / 8], 0, 255);
    const inputs = [random([2, 3, k]), codes, random([n, 3], 0.01, 0.1)];
    const options = { domain: 'com.microsoft', weights: [1, 2, 3, 5] };
    await same('MatMulNBits', inputs, attributes, options);
    await same('MatMulNBits', [...inputs, randomIntegers('u8', [n, Math.ceil((3 * bits) / 8)], 0, 255)], attributes, options);
  }
  await same('MatMulNBits', [random([2, k]), randomIntegers('u8', [n, 3, 8], 0, 255), random([n, 3], 0.01, 0.1), undefined, undefined, random([n])],
    { N: n, K: k, bits: 4, block_size: block }, { domain: 'com.microsoft', weights: [1, 2, 5] });
});

test('GatherBlockQuantized of packed rows, with zero points', async () => {
  const indices = value('i64', [2, 2], [0, 5, 3, 3]);
  for (const bits of [2, 4, 8]) {
    const attributes = { bits, block_size: 16, gather_axis: 0, quantize_axis: 1 };
    const options = { domain: 'com.microsoft', weights: [0, 2, 3] };
    const inputs = [randomIntegers('u8', [6, 4 * bits], 0, 255), indices, random([6, 2], 0.01, 0.1)];
    await same('GatherBlockQuantized', inputs, attributes, options);
    await same('GatherBlockQuantized', [...inputs, randomIntegers('u8', [6, Math.ceil((2 * bits) / 8)], 0, 255)], attributes, options);
  }
});
