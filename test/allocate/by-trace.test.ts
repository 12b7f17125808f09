import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { chooseByTrace, omega, type TracedOptions } from '../../src/allocate/by-trace.ts';

/** The published ResNet-18 instance of HAWQ-V3 (its ILP.ipynb); the optima are those of exhaustive search. */
const instance = JSON.parse(readFileSync(new URL('../vectors/hawqv3-resnet18.json', import.meta.url), 'utf8')) as Record<string, number[]> & { ties: number[][] };

test('the published ResNet-18 instance of HAWQ-V3 has its known optima', async () => {
  const { hessian_trace_per_parameter: trace, weight_error_sq_int4: error4, weight_error_sq_int8: error8, parameters, macs, ties } = instance;
  const layers = trace.map((t, i): TracedOptions => {
    const tie = ties.findIndex((list) => list.includes(i));
    return {
      trace: t * parameters[i], count: parameters[i], ...(tie < 0 ? {} : { tie: String(tie) }),
      options: [{ error: error4[i], uses: [parameters[i] * 4, macs[i] * 16] }, { error: error8[i], uses: [parameters[i] * 8, macs[i] * 64] }],
    };
  });
  const all = (option: number): string => layers.reduce((sum, layer) => sum + omega(layer, layer.options[option]), 0).toFixed(7);
  assert.deepEqual([all(0), all(1)], ['1.3077131', '0.0042579']);
  const solved = async (use: 0 | 1, share: number): Promise<{ omega: string; low: number[]; size: string }> => {
    const { choice, loss, uses } = await chooseByTrace(layers, [0, 1].map((k) => (k === use ? share : undefined)));
    return { omega: loss.toFixed(5), low: choice.flatMap((option, i) => (option === 0 ? [i] : [])), size: (uses[0] / 8 / 2 ** 20).toFixed(4) };
  };
  assert.deepEqual(await solved(0, 0.5), { omega: '0.07451', low: [15, 17, 18], size: '7.2656' });
  const quarter = await solved(0, 0.25);
  assert.deepEqual([quarter.omega, quarter.low], ['0.11830', [14, 15, 16, 17, 18]]);
  const most = await solved(0, 0.75);
  assert.deepEqual([most.omega, most.low], ['0.03344', [13, 18]]);
  const operations = await solved(1, 0.5);
  assert.deepEqual([operations.omega, operations.low], ['0.21569', [3, 8, 12, 13, 14, 15, 16, 17, 18]]);
});

test('a trace below zero counts as none, and tied layers take one option', async () => {
  const layer = (trace: number, tie?: string): TracedOptions => ({ trace, count: 1, ...(tie === undefined ? {} : { tie }), options: [{ error: 1, uses: [4] }, { error: 0.1, uses: [8] }] });
  assert.deepEqual((await chooseByTrace([layer(-5), layer(1), layer(0.1)], [0.34])).choice, [0, 1, 0]);
  // Alone, the first would be widened; tied to the second, both would cost too much.
  assert.deepEqual((await chooseByTrace([layer(3, 'a'), layer(0.1, 'a'), layer(1)], [0.34])).choice, [0, 0, 1]);
});
