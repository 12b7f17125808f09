/** Low-bit kernels give the bits of their plain twins, and both what float64 arithmetic over decoded weights gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastestBuild, lowBitKernels, reservedBytes, type LowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { normal, randomInteger } from '../../src/numeric/random.ts';

const [groups, panels, tokens] = [5, 3, 3];
const cols = groups * 32;
const rows = panels * 4;
/** Addresses of everything a product touches. */
const place = { codes: reservedBytes, bytes: 4096, scales: 8192, totals: 9216, x: 10240, weights: 16384, wScales: 65536, mins: 81920, out: 98304 };
const product = { weights: place.weights, groups, tokens, out: place.out, stride: rows + 4, first: 0, last: panels };

function filled(): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const F = new Float32Array(memory.buffer);
  for (let i = 0; i < tokens * cols; i++) F[place.x / 4 + i] = normal(1, 0, i) * (i % 32 === 3 ? 8 : 1);
  F.fill(0, place.x / 4 + 64, place.x / 4 + 96);
  new Uint8Array(memory.buffer).set(Uint8Array.from({ length: rows * cols }, (_, i) => randomInteger(2, 0, i, 256)), place.weights);
  for (let i = 0; i < panels * groups * 8; i++) {
    F[place.wScales / 4 + i] = Math.abs(normal(3, 0, i)) / 50;
    F[place.mins / 4 + i] = Math.abs(normal(4, 0, i)) / 10;
  }
  return memory;
}
const inputs = { codes: place.codes, bytes: place.bytes, scales: place.scales, totals: place.totals };
const products: Readonly<Record<string, (k: LowBitKernels) => void>> = {
  'four bits': (k) => k.product4(product, place.wScales, place.mins, inputs),
  'eight bits': (k) => k.product8(product, place.wScales, 0, inputs),
  'eight bits with minima': (k) => k.product8(product, place.wScales, place.mins, inputs),
  'eight bits, scales of halves': (k) => k.product8Halves(product, place.wScales, inputs),
};

const bytesOf = (memory: WebAssembly.Memory): Buffer => Buffer.from(memory.buffer.slice(reservedBytes));

for (const [name, run] of Object.entries(products)) {
  test(`${name}: the bits of the plain twin, for any number of rows and panels at a time`, () => {
    const [fast, plain, parts] = [filled(), filled(), filled()];
    for (const kernels of [lowBitKernels(fast), plainLowBit(plain)]) {
      kernels.roundInputs(place.x, tokens * groups, inputs);
      run(kernels);
    }
    assert.deepEqual(bytesOf(fast), bytesOf(plain));
    const kernels = lowBitKernels(parts);
    kernels.roundInputs(place.x, tokens * groups, inputs);
    for (let t = 0; t < tokens; t++) {
      const one = { codes: place.codes + t * groups * 64, bytes: place.bytes + t * groups * 32, scales: place.scales + t * groups * 4, totals: place.totals + t * groups * 4 };
      for (let p = 0; p < panels; p++) {
        const at = { ...product, tokens: 1, out: place.out + t * product.stride * 4, first: p, last: p + 1 };
        if (name === 'four bits') kernels.product4(at, place.wScales, place.mins, one);
        else if (name.endsWith('halves')) kernels.product8Halves(at, place.wScales, one);
        else kernels.product8(at, place.wScales, name === 'eight bits' ? 0 : place.mins, one);
      }
    }
    assert.deepEqual(bytesOf(parts), bytesOf(fast));
  });
}

test('four bits: decoded weights times rounded inputs in float64', () => {
  const memory = filled();
  const kernels = lowBitKernels(memory);
  kernels.roundInputs(place.x, tokens * groups, inputs);
  kernels.product4(product, place.wScales, place.mins, inputs);
  const [F, S, B] = [new Float32Array(memory.buffer), new Int16Array(memory.buffer), new Uint8Array(memory.buffer)];
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < rows; r++) {
      let expected = 0;
      let size = 0;
      for (let c = 0; c < cols; c++) {
        const [g, i] = [Math.floor(c / 32), c % 32];
        const side = ((r >> 2) * groups + g) * 4 + (r & 3);
        const byte = B[place.weights + ((r >> 2) * groups + g) * 64 + (r & 3) * 16 + (i % 16)];
        const weight = (i < 16 ? byte & 15 : byte >> 4) * F[place.wScales / 4 + side] - F[place.mins / 4 + side];
        const x = S[place.codes / 2 + t * cols + c] * F[place.scales / 4 + t * groups + g];
        expected += weight * x;
        size += Math.abs(weight * x);
      }
      assert.ok(Math.abs(F[place.out / 4 + t * product.stride + r] - expected) <= 1e-6 * size);
    }
  }
});

test('four bits with inputs that are not rounded: the bits of the plain twin, the values of float64', () => {
  const [fast, plain] = [filled(), filled()];
  const spread = { values: 140_000, totals: place.totals };
  for (const kernels of [lowBitKernels(fast), plainLowBit(plain)]) {
    kernels.spreadInputs(place.x, tokens * groups, spread);
    kernels.product4Float(product, place.wScales, place.mins, spread);
  }
  assert.deepEqual(bytesOf(fast), bytesOf(plain));
  const [F, B] = [new Float32Array(fast.buffer), new Uint8Array(fast.buffer)];
  for (let r = 0; r < rows; r++) {
    let [expected, size] = [0, 0];
    for (let c = 0; c < cols; c++) {
      const [g, i] = [Math.floor(c / 32), c % 32];
      const side = ((r >> 2) * groups + g) * 4 + (r & 3);
      const byte = B[place.weights + ((r >> 2) * groups + g) * 64 + (r & 3) * 16 + (i % 16)];
      const weight = (i < 16 ? byte & 15 : byte >> 4) * F[place.wScales / 4 + side];
      expected += (weight - F[place.mins / 4 + side]) * F[place.x / 4 + c];
      size += (weight + F[place.mins / 4 + side]) * Math.abs(F[place.x / 4 + c]);
    }
    assert.ok(Math.abs(F[place.out / 4 + r] - expected) <= 1e-6 * size);
  }
});

test('on shared memory, and in every build that this engine runs rightly, the same bits', () => {
  const [alone, shared] = [filled(), new WebAssembly.Memory({ initial: 4, maximum: 65_536, shared: true })];
  new Uint8Array(shared.buffer).set(new Uint8Array(alone.buffer));
  const [one, two] = [lowBitKernels(alone, 'plain SIMD'), lowBitKernels(shared, fastestBuild())];
  for (const kernels of [one, two]) {
    kernels.roundInputs(place.x, tokens * groups, inputs);
    kernels.product4(product, place.wScales, place.mins, inputs);
  }
  assert.deepEqual(Buffer.from(new Uint8Array(shared.buffer).slice(reservedBytes)), bytesOf(alone));
});

test('rounded inputs are within half a step, with exact sums', () => {
  const memory = filled();
  lowBitKernels(memory).roundInputs(place.x, tokens * groups, inputs);
  const [F, S] = [new Float32Array(memory.buffer), new Int16Array(memory.buffer)];
  for (let g = 0; g < tokens * groups; g++) {
    const codes = S.subarray(place.codes / 2 + g * 32, place.codes / 2 + g * 32 + 32);
    assert.equal(F[place.totals / 4 + g], codes.reduce((sum, code) => sum + code, 0));
    codes.forEach((code, i) => assert.ok(Math.abs(code * F[place.scales / 4 + g] - F[place.x / 4 + g * 32 + i]) <= 0.50001 * F[place.scales / 4 + g]));
  }
});

test('float products, norms, rotations, gates and attention: the bits of the plain twins and the values of the formulas', () => {
  const [fast, plain] = [filled(), filled()];
  const [width, positions, stride] = [16, 7, 128];
  for (const memory of [fast, plain]) new Uint32Array(memory.buffer, 132_000, 3).set([3, 4, 6]);
  for (const kernels of [lowBitKernels(fast), plainLowBit(plain)]) {
    kernels.productFloat({ ...product, groups: 1, weights: place.wScales, last: 1 }, place.x);
    kernels.rmsNorm(place.x, place.mins, 64, 1e-5, 120_000);
    kernels.rotate(place.x + 1024, 2, 8, place.wScales, place.mins);
    kernels.siluTimes(place.x + 1280, place.x, 64);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, positions, width, 0.25, 130_000, 131_072);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 5, width, 0.25, 130_000, 131_200);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 3, width, 0.25, 130_000, 131_328, 132_000, 2);
    kernels.attend(place.x, place.wScales, place.wScales + 64, stride, 1, 3, width, 0.25, 130_000, 131_456, 132_000, 3);
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
    assert.ok(Math.abs(after[131_072 / 4 + i] - expected) < 1e-6 * Math.max(1, Math.abs(expected)));
  }
  for (let i = 0; i < 64; i++) {
    const g = before[(place.x + 1280) / 4 + i];
    const expected = (g / (1 + Math.exp(-g))) * before[place.x / 4 + i];
    assert.ok(Math.abs(after[(place.x + 1280) / 4 + i] - expected) < 1e-6 * Math.max(1, Math.abs(expected)));
  }
});
