/** Attention of four tokens at once has the bits of each token alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastestBuild, lowBitKernels, reservedBytes } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { normal } from '../../src/numeric/random.ts';

for (const [width, from, to] of [[4, 0, 1], [8, 0, 2], [12, 3, 9], [32, 5, 40], [64, 0, 131]]) {
  test(`heads of ${width}, positions ${from} to ${to}`, () => {
    const outputs = [lowBitKernels, plainLowBit].flatMap((open) => [true, false].map((together) => {
      const memory = new WebAssembly.Memory({ initial: 8 });
      const F = new Float32Array(memory.buffer);
      const stride = 4 * (width + 4);
      const [query, keys, values, scores, out] = [0, 2048, 90_000, 180_000, 300_000].map((at) => reservedBytes + at);
      for (let i = 0; i < 40_000; i++) F[reservedBytes / 4 + i] = normal(1, 0, i);
      const kernels = open(memory);
      if (together) kernels.attendRows(query, stride, keys, values, stride, from, to, width, 0.3, scores, out, stride);
      else for (let r = 0; r < 4; r++) kernels.attend(query + r * stride, keys, values, stride, from, to + r, width, 0.3, scores, out + r * stride);
      return F.slice(out / 4, out / 4 + 4 * (width + 4));
    }));
    assert.ok(outputs[0].some((value) => value !== 0) && outputs[0].every(Number.isFinite), fastestBuild());
    for (const other of outputs.slice(1)) assert.deepEqual(other, outputs[0]);
  });
}
