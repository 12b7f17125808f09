import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTrellisFast } from '../../src/engine/kernels/trellis.ts';
import { parseFormat } from '../../src/formats/index.ts';
import { hybrid, oneMad, stateValues, threeInst, weightsPerState } from '../../src/formats/trellis/codes.ts';
import { statesOf } from '../../src/formats/trellis/trellis.ts';
import { encodeTrellis, viterbi, type Trellis } from '../../src/formats/trellis/viterbi.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeMatrix } from '../../src/round/encode-matrix.ts';

const gaussian = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => normal(seed, 0, i));
const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 5e-8, `${a} is not ${b}`);

test('states stand for the values that QTIP computes', () => {
  const states = [0, 1, 2, 3, 100, 65535];
  states.forEach((s, i) => near(oneMad(s), [-1.2516869, -0.8389685, -0.4262501, -0.0135318, 0.3382938, 0.4127184][i]));
  states.forEach((s, i) => near(threeInst(s), [0.76806640625, -0.9193115234, 0.9313964844, 0.2944335938, 0.12109375, -0.1582031250][i]));
  const pairs: [number, number, boolean][] = [[0, 0, false], [1, 0, false], [2, 0, false], [3, 0, false], [255, 508, true], [300, 386, false], [65535, 0, false]];
  for (const [state, entry, negative] of pairs) assert.deepEqual(hybrid(state, 9), { entry, negative });
  const all = Float64Array.from({ length: 65536 }, (_, s) => oneMad(s));
  const mean = all.reduce((sum, x) => sum + x, 0) / 65536;
  assert.ok(Math.abs(mean + 0.000394) < 5e-7);
  assert.ok(Math.abs(Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 65536) - 1.000088) < 5e-7);
  assert.ok(Math.abs(Math.sqrt(Float64Array.from({ length: 65536 }, (_, s) => threeInst(s) ** 2).reduce((sum, x) => sum + x, 0) / 65536) - 1.243709) < 5e-7);
});

test('the toy trellis of the card is coded as worked out there, free and biting its tail', () => {
  const values = Float32Array.of(-1.251687, -0.838969, -0.42625, -0.013532, 0.399187, -0.913393, -0.500675, -0.087956, -1.400536, 0.73748, -0.575099, -0.162381, 0.250337, -1.062242, 1.075774, -1.962104);
  const toy: Trellis = { stateBits: 4, stepBits: 2, perState: 1, values };
  const x = Float32Array.of(0.5, -1, 0.25, 1.5, -0.3, 0, 0.8, -0.7);
  const error = (states: Uint16Array) => states.reduce((sum, s, t) => sum + (values[s] - x[t]) ** 2, 0) / 8;
  const free = viterbi(toy, x);
  assert.deepEqual([...free], [4, 0, 3, 14, 10, 11, 14, 10]);
  near(error(free), 0.0645781);
  const biting = encodeTrellis(toy, x, 8);
  assert.deepEqual([...biting], [9, 5, 7, 14, 10, 11, 14, 10]);
  near(error(biting), 0.0689723);
  const symbols = biting.map((s) => s & 3);
  assert.deepEqual([...symbols], [1, 1, 3, 2, 2, 3, 2, 2]);
  assert.deepEqual(statesOf(toy, symbols), biting);
});

test('the kernel finds the states of the plain search, and new bits alone give them back', () => {
  const sequences = gaussian(512, 3);
  for (const [code, stateBits, stepBits] of [['hyb', 10, 3], ['hyb', 12, 6], ['hyb', 12, 10], ['1mad', 10, 1], ['1mad', 11, 2], ['3inst', 10, 3], ['hyb', 9, 7]] as const) {
    const trellis = { stateBits, stepBits, perState: weightsPerState[code], values: stateValues(code, stateBits, stepBits) };
    const plain = encodeTrellis(trellis, sequences, 256);
    assert.deepEqual(encodeTrellisFast(trellis, sequences, 256), plain, `${code} ${stateBits} ${stepBits}`);
    const steps = 256 / trellis.perState;
    for (const at of [0, steps]) {
      const states = plain.subarray(at, at + steps);
      assert.deepEqual(statesOf(trellis, states.map((s) => s & (2 ** stepBits - 1))), states);
    }
  }
});

test('the kernel is at least three times as fast as its plain twin', () => {
  const trellis = { stateBits: 12, stepBits: 6, perState: 2 as const, values: stateValues('hyb', 12, 6) };
  const sequences = gaussian(2 * 256, 4);
  encodeTrellisFast(trellis, sequences, 256);
  encodeTrellis(trellis, sequences, 256);
  const ratios: number[] = [];
  for (let round = 0; round < 5; round++) {
    const begin = performance.now();
    encodeTrellis(trellis, sequences, 256);
    const between = performance.now();
    encodeTrellisFast(trellis, sequences, 256);
    ratios.push((between - begin) / (performance.now() - between));
  }
  assert.ok(ratios.sort((a, b) => a - b)[2] >= 3, `${ratios}`);
});

test('decoding the packed bytes gives the values of the states that the encoder chose', () => {
  for (const name of ['tcq2.25', 'tcq3', 'tcq4.25', 'tcq1/l10@1mad', 'tcq3+had']) {
    const format = parseFormat(name);
    const [rows, cols] = [20, 70];
    const values = gaussian(rows * cols, 5).map((x, i) => x * (1 + (i % 3)));
    const quantized = encodeMatrix(format, values, rows, cols);
    const decoded = format.decode(quantized);
    const error = decoded.reduce((sum, x, i) => sum + (x - values[i]) ** 2, 0);
    assert.ok(Math.abs(error - quantized.squaredError) <= 1e-9 * error, name);
    assert.deepEqual(encodeMatrix(format, values, rows, cols).codes, quantized.codes);
  }
  const small = gaussian(16 * 32, 6);
  const plain = parseFormat('tcq2').encode(small, 16, 32);
  assert.deepEqual(encodeMatrix(parseFormat('tcq2'), small, 16, 32), plain);
});

test('on normal values trellis codes of 12 state bits err at most 1.15 times what Q-Palette states at 16, and never below the bound', () => {
  const stated: Record<string, number> = {
    1.5: 0.14034, 1.75: 0.10569, 2: 0.07101, 2.25: 0.05366, 2.5: 0.03631, 2.75: 0.02762, 3: 0.01891, 3.25: 0.01455, 3.5: 0.01018, 3.75: 0.00804, 4: 0.0059,
    4.25: 0.00414, 4.5: 0.00303, 4.75: 0.00219, 5: 0.00162,
  };
  const [rows, cols] = [16, 64 * 16];
  const values = gaussian(rows * cols, 11);
  for (const [bits, error] of Object.entries(stated)) {
    const { squaredError } = encodeMatrix(parseFormat(`tcq${bits}`), values, rows, cols);
    const found = squaredError / values.reduce((sum, x) => sum + x * x, 0);
    assert.ok(found <= 1.15 * error, `${bits} bits: ${found}`);
    // 1024 columns and a standard error of about a per cent.
    assert.ok(found > 4 ** -Number(bits) * 0.97, `${bits} bits: ${found}`);
  }
});
