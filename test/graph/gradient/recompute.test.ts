import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { interpret, type Value64 } from '../../../src/engine/interpreter/interpret.ts';
import { floatTensor } from '../../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../../src/graph/build.ts';
import { lower } from '../../../src/graph/composite.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { Random } from './random.ts';

const seen = (graph: Graph, names: readonly string[]): Graph => ({ ...graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) });

/** Three blocks with BatchNormalization over the batch, pools with places, layer statistics and a connection over two blocks. */
function blocks(): { graph: Graph; feeds: Record<string, Value64>; ends: string[] } {
  const g = new GraphBuilder('blocks', 21);
  const random = new Random(2);
  const feeds: Record<string, Value64> = {};
  const input = (name: string, shape: readonly number[]): string => {
    feeds[name] = { type: 'f32', shape, data: Float64Array.from(random.floats(shape.reduce((a, b) => a * b, 1))) };
    return g.input(name, 'f32', shape);
  };
  const ones = (): string => g.weight(floatTensor('running', [4], new Float32Array(4).fill(1)));
  let x = input('x', [2, 4, 6, 6]);
  const start = x;
  const ends: string[] = [];
  for (let i = 0; i < 3; i++) {
    const y = g.op('Conv', [x, input(`w${i}`, [4, 4, 3, 3])], { pads: ints([1, 1, 1, 1]) });
    const [normal] = g.op('BatchNormalization', [y, input(`scale${i}`, [4]), input(`bias${i}`, [4]), ones(), ones()], { training_mode: int(1) }, { outputs: 3 });
    const pooled = g.op('MaxPool', [g.op('Softplus', [normal])], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) });
    const layer = g.op('LayerNormalization', [pooled, input(`gain${i}`, [6])]);
    x = g.op('Add', [layer, i === 2 ? start : g.op('Reshape', [x, g.ints([2, 4, 6, 6])])]);
    ends.push(x);
  }
  g.output(g.op('ReduceSum', [g.op('Mul', [x, g.op('Tanh', [x])])], { keepdims: int(0) }), 'loss');
  return { graph: g.graph(), feeds, ends };
}

test('gradients through recomputed blocks are those of kept ones', async () => {
  const { graph, feeds, ends } = blocks();
  const wrt = Object.keys(feeds);
  const run = async (recompute: readonly string[]) => {
    const made = await gradient(graph, 'loss', wrt, { recompute });
    const lowered = lower(seen(made.graph, [...made.gradients.values()]));
    const found = await interpret(lowered, feeds);
    return { convolutions: lowered.nodes.filter(({ op }) => op === 'Conv').length, values: wrt.map((name) => [...found[made.gradients.get(name)!].data]) };
  };
  const kept = await run([]);
  const again = await run(ends.slice(0, 2));
  assert.deepEqual(again.values, kept.values);
  // The convolutions of both blocks before the last kept value stand there once more.
  assert.equal(again.convolutions, kept.convolutions + 2);
});

test('a boundary that no node makes is named', async () => {
  const { graph } = blocks();
  await assert.rejects(gradient(graph, 'loss', ['w0'], { recompute: ['x'] }), /no node makes the value x/);
});

test('recomputing lowers the peak of memory and changes no bit, with and without the optimisations of the engine', async () => {
  const script = join(import.meta.dirname, 'peak-memory.ts');
  for (const optimize of ['all', 'none']) {
    const [keep, recompute] = await Promise.all(['keep', 'recompute'].map(async (mode) => {
      const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script, mode, optimize]);
      return JSON.parse(stdout) as { rise: number; hash: string };
    }));
    assert.equal(recompute.hash, keep.hash);
    assert.ok(recompute.rise < 0.5 * keep.rise, `${optimize}: ${recompute.rise} MB instead of ${keep.rise} MB`);
  }
});
