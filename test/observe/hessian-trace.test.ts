import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { hessianTraces } from '../../src/observe/hessian-trace.ts';

/** Σ a·w² + (Σ u)² / 2: Hessian 2·diag(a) for w, ones for u. */
async function quadratic() {
  const g = new GraphBuilder('quadratic', 21);
  const a = g.input('a', 'f32', [3]);
  const w = g.weight(floatTensor('w', [3], Float32Array.of(1, -2, 3)));
  const u = g.weight(floatTensor('u', [4], Float32Array.of(1, 2, 3, 4)));
  const sum = (value: string): string => g.op('ReduceSum', [value], { keepdims: int(0) });
  const total = sum(u);
  g.output(g.op('Add', [sum(g.op('Mul', [a, g.op('Mul', [w, w])])), g.op('Mul', [g.op('Mul', [total, total]), g.weight(floatTensor('half', [], Float32Array.of(0.5)))])]), 'loss', 'f32', []);
  return inferTypes(g.graph());
}

test('the trace of a diagonal Hessian is exact, whatever the vector', async () => {
  const [w] = await hessianTraces(await quadratic(), 'loss', ['w', 'u'], ortNode, [{ a: { type: 'f32', shape: [3], data: Float32Array.of(1, 5, 0.5) } }], { probes: 2 });
  assert.ok(Math.abs(w.trace - 13) < 1e-5);
  assert.ok(w.error < 1e-3);
});

test('off the diagonal, the mean over vectors comes to the trace within its own error', async () => {
  const [, u] = await hessianTraces(await quadratic(), 'loss', ['w', 'u'], ortNode, [{ a: { type: 'f32', shape: [3], data: new Float32Array(3) } }], { probes: 400 });
  assert.ok(u.error > 0.05 && u.error < 0.4);
  assert.ok(Math.abs(u.trace - 4) < 4 * u.error, `${u.trace} ± ${u.error}`);
});
