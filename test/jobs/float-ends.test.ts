import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { activationValues } from '../../src/export/onnx-static.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { floatEnds } from '../../src/jobs/float-ends.ts';
import { floatLoudest } from '../../src/jobs/loud-activations.ts';
import { losingLayers, losingNote } from '../../src/jobs/losing-layers.ts';
import { staticNoise } from '../../src/jobs/static-noise.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';

const count = 16;

/** Sixteen 1×1 convolutions over two channels; the one at `wide` makes the second channel a thousand times larger, the next takes that back. */
function chain(wide: number): Graph {
  const g = new GraphBuilder('chain', 21);
  let value = g.input('x', 'f32', [1, 2, 16, 16]);
  for (let i = 0; i < count; i++) {
    const scale = i === wide ? 1000 : i === wide + 1 ? 0.001 : 1;
    const mixed = i === wide || i === wide + 1 ? [1, 0, 0, scale] : [0.8, 0.6, -0.6, 0.8];
    value = g.op('Conv', [value, g.weight(floatTensor(`w${i}`, [2, 2, 1, 1], Float32Array.from(mixed)))], {}, { outputs: [`c${i}`] });
  }
  g.output(value, `c${count - 1}`, 'f32', [1, 2, 16, 16]);
  return g.graph();
}

const batches = () => [{ x: f32([1, 2, 16, 16], Float32Array.from({ length: 512 }, (_, i) => normal(3, 0, i))) }];
const applied = (graph: Graph) => applyRecipe(findRecipe('krishnamoorthi-int8'), graph, { engine: ortNode, activationValues, formatOf: () => parseFormat('int8/channel'), batches });
/** Activations that lose their range. */
const dropped = async (graph: Graph) => {
  const before = await applied(graph);
  const { ranges } = await floatEnds(before, staticNoise(before.graph, ortNode, batches()));
  return [...before.ranges.keys()].filter((value) => !ranges.has(value)).sort();
};

test('results of last convolutions stay float, those of first ones where rounding them costs most', async () => {
  assert.deepEqual(await dropped(chain(0)), ['c0', 'c15']);
  assert.deepEqual(await dropped(chain(7)), ['c15']);
});

test('an activation in the middle that makes most of the noise stays float, and the run says so', async () => {
  const before = await applied(chain(7));
  const after = await floatLoudest(before, staticNoise(before.graph, ortNode, batches()));
  assert.deepEqual([...before.ranges.keys()].filter((value) => !after.ranges.has(value)), ['c7']);
  assert.match(after.notes.at(-1)!, /^c7 stays float: rounding it alone would bring the outputs \d+\.\d dB further/);
});

test('names the activation that loses most, and what leaves it float', async () => {
  const losing = await losingLayers(await applied(chain(1)), ortNode, batches());
  const [worst, ...rest] = losing.layers;
  assert.deepEqual([worst.value, worst.maker], ['c1', 'w1']);
  assert.ok(rest.every(({ gain }) => gain < worst.gain / 3));
  assert.ok(losing.weightsAlone > losing.sqnr + worst.gain);
  assert.match(losingNote(losing), /most is lost at c1 of w1 \(\+\d+\.\d dB as float\).*--keep 'c1/);
});
