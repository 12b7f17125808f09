/** Low-bit kernels give the bits of their plain twins, and both what float64 arithmetic over decoded weights gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastestBuild, lowBitKernels, reservedBytes, inputBytes, type LowBitKernels, type ProductPlace, type RoundedPlace } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { normal, randomInteger } from '../../src/numeric/random.ts';

const [groups, panels, tokens] = [9, 3, 6];
const cols = groups * 32;
const rows = panels * 8;
/** Addresses of everything a product touches. */
const [x, at, weights, scales, mins, out, more] = [0, 8192, 20_480, 28_672, 32_768, 36_864, 40_960].map((offset) => reservedBytes + offset);
const place = { x, at, weights, wScales: scales, mins, out };
const product = { weights, groups, tokens, out, stride: rows + 4, first: 0, last: panels };

function filled(shared = false): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 4, ...(shared ? { maximum: 65_536, shared } : {}) });
  const F = new Float32Array(memory.buffer);
  for (let i = 0; i < tokens * cols; i++) F[x / 4 + i] = normal(1, 0, i) * (i % 32 === 3 ? 8 : 1);
  F.fill(0, x / 4 + 64, x / 4 + 96);
  new Uint8Array(memory.buffer).set(Uint8Array.from({ length: rows * cols }, (_, i) => randomInteger(2, 0, i, 256)), weights);
  for (let i = 0; i < panels * groups * 16; i++) {
    F[scales / 4 + i] = Math.abs(normal(3, 0, i)) / 50;
    if (i < panels * groups * 8) F[mins / 4 + i] = Math.abs(normal(4, 0, i)) / 10;
  }
  return memory;
}
type Multiply = (k: LowBitKernels, to: ProductPlace, inputs: RoundedPlace) => void;
const products: Readonly<Record<string, Multiply>> = {
  'four bits': (k, to, inputs) => k.product4(to, scales, 0, inputs),
  'four bits with minima': (k, to, inputs) => k.product4(to, scales, mins, inputs),
  'eight bits': (k, to, inputs) => k.product8(to, scales, 0, inputs),
  'eight bits with minima': (k, to, inputs) => k.product8(to, scales, mins, inputs),
  'eight bits, scales of halves': (k, to, inputs) => k.product8Halves(to, scales, inputs),
};

const bytesOf = (memory: WebAssembly.Memory): Buffer => Buffer.from(memory.buffer.slice(reservedBytes));
const outputs = (memory: WebAssembly.Memory): Buffer => Buffer.from(memory.buffer.slice(out, out + tokens * product.stride * 4));

for (const [name, run] of Object.entries(products)) {
  for (const bits of [8, 16] as const) {
    test(`${name}, inputs of ${bits}: the bits of the plain twin, in every build that this engine runs rightly, for any number of tokens and panels at a time`, () => {
      const inputs = { at, bits };
      const plain = filled();
      const twin = plainLowBit(plain);
      twin.roundInputs(x, tokens * groups, inputs);
      run(twin, product, inputs);
      const fast = filled();
      const kernels = lowBitKernels(fast, 'plain SIMD');
      kernels.roundInputs(x, tokens * groups, inputs);
      run(kernels, product, inputs);
      assert.deepEqual(outputs(fast), outputs(plain));
      for (const [memory, build] of [[filled(), fastestBuild()], [filled(true), fastestBuild()]] as const) {
        const others = lowBitKernels(memory, build, 3);
        others.roundInputs(x, tokens * groups, inputs);
        for (let t = 0; t < tokens; t++) {
          for (let p = 0; p < panels; p++) run(others, { ...product, tokens: 1, out: out + t * product.stride * 4, first: p, last: p + 1 }, { at: at + t * groups * inputBytes, bits });
        }
        assert.deepEqual(outputs(memory), outputs(plain));
      }
    });
  }
}

test('rows past the last are not written', () => {
  const [whole, cut] = [filled(), filled()];
  for (const [memory, stride] of [[whole, rows], [cut, rows - 4]] as const) {
    const kernels = lowBitKernels(memory);
    kernels.roundInputs(x, tokens * groups, { at, bits: 8 });
    kernels.product4({ ...product, stride }, scales, 0, { at, bits: 8 });
  }
  const [all, some] = [whole, cut].map((memory) => new Float32Array(memory.buffer, out, tokens * rows));
  for (let t = 0; t < tokens; t++) assert.deepEqual(some.subarray(t * (rows - 4), (t + 1) * (rows - 4)), all.subarray(t * rows, (t + 1) * rows - 4));
});

test('decoded weights times inputs in float64: rounding of sums alone for rounded inputs, half a step of each input more for floats', () => {
  for (const bits of [8, 16] as const) {
    for (const minima of [0, mins]) {
      const memory = filled();
      const kernels = lowBitKernels(memory);
      kernels.roundInputs(x, tokens * groups, { at, bits });
      kernels.product4(product, scales, minima, { at, bits });
      const [F, S, B] = [new Float32Array(memory.buffer), new Int16Array(memory.buffer), new Uint8Array(memory.buffer)];
      for (let t = 0; t < tokens; t++) {
        for (let r = 0; r < rows; r++) {
          const [sum, size] = [[0, 0], [0, 0]];
          for (let c = 0; c < cols; c++) {
            const [g, i] = [Math.floor(c / 32), c % 32];
            const side = (r >> 3) * groups + g;
            const word = B[weights + side * 128 + (i >> 3) * 32 + (r & 7) * 4 + (i & 1) * 2] | (B[weights + side * 128 + (i >> 3) * 32 + (r & 7) * 4 + (i & 1) * 2 + 1] << 8);
            const code = (word >> (4 * ((i >> 1) & 3))) & 15;
            const weight = (code - (minima === 0 ? 8 : 0)) * F[scales / 4 + side * 8 + (r & 7)] - (minima === 0 ? 0 : F[mins / 4 + side * 8 + (r & 7)]);
            const record = at + (t * groups + g) * inputBytes;
            const given = F[x / 4 + t * cols + c];
            const rounded = S[record / 2 + i] * F[record / 4 + 32];
            assert.ok(Math.abs(rounded - given) <= 0.50001 * F[record / 4 + 32]);
            sum[0] += weight * rounded;
            size[0] += Math.abs(weight * rounded) + (minima === 0 ? 0 : 2 * Math.abs(F[mins / 4 + side * 8 + (r & 7)] * rounded));
            sum[1] += weight * given;
            // Half a step: the largest of the group, which its largest code stands for, over twice this code.
            size[1] += Math.abs(weight) * 0.50001 * F[record / 4 + 32];
          }
          const got = F[out / 4 + t * product.stride + r];
          assert.ok(Math.abs(got - sum[0]) <= 1e-6 * size[0]);
          assert.ok(Math.abs(got - sum[1]) <= 1e-6 * size[0] + size[1]);
        }
      }
    }
  }
});

test('inputs of 16 bits are off by at most 2^-16 of the largest of their group, within two percent', () => {
  const memory = filled();
  lowBitKernels(memory).roundInputs(x, tokens * groups, { at, bits: 16 });
  const [F, S] = [new Float32Array(memory.buffer), new Int16Array(memory.buffer)];
  for (let g = 0; g < tokens * groups; g++) {
    const record = at + g * inputBytes;
    const given = F.subarray(x / 4 + g * 32, x / 4 + g * 32 + 32);
    const most = given.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
    const codes = S.subarray(record / 2, record / 2 + 32);
    assert.equal(F[record / 4 + 33], codes.reduce((sum, code) => sum + code, 0));
    given.forEach((value, i) => assert.ok(Math.abs(codes[i] * F[record / 4 + 32] - value) <= 1.02 * 2 ** -16 * most));
  }
});

test('float products, norms, rotations, gates and attention: the bits of the plain twins and the values of the formulas', () => {
  const [fast, plain] = [filled(), filled()];
  const [width, positions, stride] = [16, 7, 128];
  for (const memory of [fast, plain]) new Uint32Array(memory.buffer, 132_000, 3).set([3, 4, 6]);
  for (const kernels of [lowBitKernels(fast), plainLowBit(plain)]) {
    kernels.productFloat({ ...product, groups: 1, weights: place.wScales, last: 1 }, place.x);
    kernels.rmsNorm(place.x, place.mins, 64, 1e-5, more);
    kernels.rotate(place.x + 1024, 2, 8, place.wScales, place.mins);
    kernels.siluTimes(place.x + 1280, place.x, 64);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, positions, width, 0.25, more + 1024, more + 2048);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 5, width, 0.25, more + 1024, 131_200);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 3, width, 0.25, more + 1024, 131_328, 132_000, 2);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 3, width, 0.25, more + 1024, 131_456, 132_000, 3);
    kernels.addTo(place.x, place.mins, 32);
  }
  assert.deepEqual(bytesOf(fast), bytesOf(plain));
  assert.deepEqual(new Float32Array(fast.buffer, 131_328, width), new Float32Array(fast.buffer, 131_200, width), 'listed positions are like a range');
  const before = new Float32Array(filled().buffer);
  const after = new Float32Array(fast.buffer);
  const query = [...before.subarray(place.x / 4, place.x / 4 + width)];
  const scores = Array.from({ length: positions - 1 }, (_, p) => query.reduce((sum, q, i) => sum + q * before[(place.wScales + (p + 1) * stride) / 4 + i], 0) * 0.25);
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
  for (let i = 0; i < width; i++) {
    const expected = scores.reduce((mixed, score, p) => mixed + (Math.exp(score) / sum) * before[(place.wScales + 64 + (p + 1) * stride) / 4 + i], 0);
    assert.ok(Math.abs(after[(more + 2048) / 4 + i] - expected) < 1e-6 * Math.max(1, Math.abs(expected)));
  }
  for (let i = 0; i < 64; i++) {
    const g = before[(place.x + 1280) / 4 + i];
    const expected = (g / (1 + Math.exp(-g))) * before[place.x / 4 + i];
    assert.ok(Math.abs(after[(place.x + 1280) / 4 + i] - expected) < 1e-6 * Math.max(1, Math.abs(expected)));
  }
});
