/** Products whose inputs take a form of their own: what the codecs of weights and inputs give in float64, by integers and by floats. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lowBitKernels, type LowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { mixedKernels } from '../../src/engine/kernels/mixed.ts';
import { plainMixed } from '../../src/engine/kernels/mixed-plain.ts';
import { codesOf, isCoded, type InputForm, type LowRankBranch } from '../../src/formats/coded.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { numberTensor } from '../../src/graph/values.ts';
import { boardBytes } from '../../src/engine/kernels/team.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { blockWidths, packOwn } from '../../src/runtime/own-products.ts';
import { floatTensor, type TensorRef } from '../../src/tensor-ref.ts';

const [rows, tokens] = [24, 35];

interface Case { readonly cols: number; readonly weights: string; readonly inputs?: string; readonly order?: boolean; readonly factors?: boolean; readonly rank?: number; readonly integers: boolean }
const cases: readonly Case[] = [
  { cols: 256, weights: 'int4/g128', inputs: 'int4/g128', integers: true },
  { cols: 256, weights: 'int4/g128', inputs: 'int8/g128', order: true, integers: true },
  { cols: 384, weights: 'int4/g128', inputs: 'int4/g128+int8at0.2', order: true, factors: true, rank: 8, integers: true },
  { cols: 352, weights: 'int4/g128', inputs: 'int4/g128+int8at2', order: true, rank: 6, integers: true },
  { cols: 256, weights: 'int4/g64', inputs: 'int4/g64', factors: true, rank: 8, integers: false },
  { cols: 96, weights: 'nvfp4', inputs: 'nvfp4', order: true, rank: 5, integers: false },
  { cols: 96, weights: 'int4/g32', factors: true, integers: false },
  { cols: 128, weights: 'int4/g32', inputs: 'int8/token', integers: false },
];

/** The matrix of a case, what it decodes to, and the numbers of its form. */
function made({ cols, weights, inputs, order, factors, rank }: Case) {
  const format = parseFormat(weights);
  assert.ok(isCoded(format, cols));
  const quantized = format.encode(Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i)), rows, cols);
  const places = Array.from({ length: cols }, (_, i) => (order === true ? (i * 37 + 5) % cols : i));
  assert.equal(new Set(places).size, cols);
  const by = Float32Array.from({ length: cols }, (_, i) => (factors === true ? Math.exp(normal(2, 0, i) / 2) : 1));
  const branch: LowRankBranch | undefined = rank === undefined ? undefined : {
    rank, down: Float32Array.from({ length: rank * cols }, (_, i) => normal(3, 0, i) / 16), up: Float32Array.from({ length: rows * rank }, (_, i) => normal(4, 0, i)),
  };
  const form: InputForm = {
    ...(order === true ? { order: numberTensor('order', 'i64', [cols], places) } : {}), ...(factors === true ? { factors: floatTensor('by', [cols], by) } : {}), ...(inputs === undefined ? {} : { format: parseFormat(inputs) }),
  };
  const decoded = format.decode(quantized);
  const tensor: TensorRef = { ...floatTensor('w', [rows, cols], decoded), coded: { read: async () => codesOf(format, quantized), inputs: form, ...(branch === undefined ? {} : { branch: async () => branch }) } };
  return { tensor, decoded, places, by, branch, codes: codesOf(format, quantized), format: form.format };
}

for (const one of cases) {
  const { cols, weights, inputs = 'floats', integers } = one;
  test(`${weights} times ${inputs}${one.order === true ? ', sorted' : ''}${one.factors === true ? ', scaled' : ''}${one.rank === undefined ? '' : `, beside a branch of rank ${one.rank}`}: what the codecs say, and the bits of the plain twins`, async () => {
    const { tensor, decoded, places, by, branch, codes, format } = made(one);
    assert.equal(blockWidths(codes, format, cols) !== undefined, integers);
    const width = Math.ceil(cols / 32) * 32;
    const values = Float32Array.from({ length: tokens * width }, (_, i) => (i % width < cols ? normal(5, 0, i) * (i % 17 === 0 ? 9 : 1) : 0));
    const outputs: Float32Array[] = [];
    for (const [kernels, mixed] of [[lowBitKernels, mixedKernels], [plainLowBit, plainMixed]] as const) {
      const arena = new Arena();
      const own = (await packOwn(tensor, arena, mixed))!;
      const [x, out] = [arena.take(4 * tokens * width), arena.take(4 * tokens * rows)];
      arena.floats(x, values.length).set(values);
      const run: LowBitKernels = kernels(arena.memory);
      own.multiply(run, x, tokens, out, rows);
      outputs.push(arena.floats(out, tokens * rows).slice());
      assert.deepEqual(arena.floats(x, values.length), values, 'inputs stay what they are');
    }
    assert.deepEqual(outputs[0], outputs[1]);
    const scaled = Float32Array.from({ length: tokens * cols }, (_, i) => Math.fround(values[Math.floor(i / cols) * width + (i % cols)] * by[i % cols]));
    const sorted = scaled.map((_, i) => scaled[Math.floor(i / cols) * cols + places[i % cols]]);
    const rounded = sorted.slice();
    // Tokens one by one: scales of whole tensors are those of a token.
    if (format !== undefined) for (let t = 0; t < tokens; t++) rounded.set(format.decode(format.encode(sorted.slice(t * cols, (t + 1) * cols), 1, cols)), t * cols);
    for (let t = 0; t < tokens; t++) {
      for (let r = 0; r < rows; r++) {
        let [expected, size] = [0, 0];
        for (let c = 0; c < cols; c++) {
          expected += decoded[r * cols + c] * rounded[t * cols + c];
          size += Math.abs(decoded[r * cols + c] * rounded[t * cols + c]);
        }
        for (let k = 0; branch !== undefined && k < branch.rank; k++) {
          let low = 0;
          for (let c = 0; c < cols; c++) low += branch.down[k * cols + c] * scaled[t * cols + c];
          expected += branch.up[r * branch.rank + k] * low;
          size += Math.abs(branch.up[r * branch.rank + k] * low);
        }
        // Products of integers are exact but for scales; floats are taken as 16 bits.
        assert.ok(Math.abs(outputs[0][t * rows + r] - expected) <= (integers ? 2e-6 : 2e-4) * size, `${outputs[0][t * rows + r]} where ${expected} belongs`);
      }
    }
  });
}

test('threads of a team give the bits of one thread', async () => {
  const one: Case = { cols: 4096, weights: 'int4/g128', inputs: 'int4/g128+int8at0.2', order: true, factors: true, rank: 8, integers: true };
  const { tensor } = made(one);
  const outputs: Float32Array[] = [];
  for (const members of [1, 3]) {
    const arena = new Arena(members > 1);
    const board = arena.take(boardBytes);
    const own = (await packOwn(tensor, arena))!;
    const [x, out] = [arena.take(4 * tokens * one.cols), arena.take(4 * tokens * rows)];
    arena.floats(x, tokens * one.cols).forEach((_, i, all) => { all[i] = normal(5, 0, i); });
    const team = members > 1 ? await nodeTeam(members).start(arena.memory, board, members, ['mixed']) : undefined;
    own.multiply(team ?? lowBitKernels(arena.memory), x, tokens, out, rows);
    team?.stop();
    outputs.push(arena.floats(out, tokens * rows).slice());
  }
  assert.ok(outputs[0].some((value) => value !== 0));
  assert.deepEqual(outputs[1], outputs[0]);
});
