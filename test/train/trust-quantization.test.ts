/** Networks trained on QuEST's grid: rotation changes nothing, and the file computes what training computed. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { exportTrustQuantize } from '../../src/export/onnx-trust-quantize.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { lower } from '../../src/graph/composite.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { readFloats } from '../../src/graph/values.ts';
import { saveLanguageModel } from '../../src/jobs/save-language-model-node.ts';
import { byteTokenizer } from '../../src/models/byte-tokenizer.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { initialLlama, withTrainedWeights } from '../../src/models/llama-init.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { logSoftmax } from '../../src/numeric/distribution.ts';
import { tokenWindows } from '../../src/observe/data/index.ts';
import { composites } from '../../src/train/composites/index.ts';
import { fit } from '../../src/train/fit.ts';
import { languageLoss, openLanguageTrainer } from '../../src/train/language.ts';
import { insertTrustQuantize, type TrustQuantization } from '../../src/train/trust-quantization.ts';

const text = readFileSync(new URL('../../assets/shakespeare/heldout.txt', import.meta.url));
const [window, batch, steps] = [32, 4, 12];
// Heads that shared keys and values would be alike at the first token: rotation then gives exact zeros, and on a grid
// without a zero the noise of sums decides their sign.
const size = { vocabulary: 256, hidden: 64, intermediate: 96, layers: 1, heads: 2, context: window };
const data = tokenWindows('heldout', text.subarray(0, 8000), { window });
const model = initialLlama('tiny', size, { seed: 3, tokenizer: byteTokenizer(window) });

/** Mean loss over the first batch by a file's logits. */
async function fileLoss(graph: Graph): Promise<number> {
  const session = await ortNode.open({ bytes: await onnxBytes(graph) });
  const { feeds, labels } = await data.batch([0, 1, 2, 3]);
  const { logits } = await session.run(feeds);
  await session.dispose();
  const targets = (labels as { values: Int32Array }).values;
  return -targets.reduce((sum, target, row) => sum + logSoftmax(logits.data as Float32Array, row * 256, 256)[target], 0) / targets.length;
}

async function trained(quantization: TrustQuantization | undefined) {
  const quantize = (graph: Graph): Graph => (quantization === undefined ? graph : insertTrustQuantize(graph, () => true, quantization));
  const training = await openLanguageTrainer(model.graph(), { engine: ortNode, batch, window, steps, rate: 1e-2, quantize });
  const { losses } = await fit(training.trainer, { data, batch, steps, feed: training.feed });
  const after = training.trainer.graph();
  for (const name of model.linears) assert.notDeepEqual(await readFloats(after.weights.get(name)!), await readFloats(model.graph().weights.get(name)!), `${name} is trained`);
  const loss = await languageLoss(training, { ...data, count: batch }, { engine: ortNode, batch });
  await training.trainer.dispose();
  const float = withTrainedWeights(model, after);
  return { losses, loss, float, graph: quantize(float.graph()) };
}

test('rotating both operands leaves the function as it was', async () => {
  const rotated = lower(insertTrustQuantize(model.graph(), () => true, { weights: undefined, activations: undefined, rotate: true }), composites);
  assert.ok(Math.abs(await fileLoss(rotated) - await fileLoss(model.graph())) < 1e-6);
});

for (const { bits, rotate } of [{ bits: 4, rotate: true }, { bits: 2, rotate: false }, { bits: 1, rotate: true }, { bits: 8, rotate: true }]) {
  test(`W${bits}A${bits}${rotate ? ' with rotation' : ''} learns, and the loss of its file is that of the training graph`, async () => {
    const { losses, loss, graph } = await trained({ weights: bits, activations: bits, rotate });
    assert.ok(losses.at(-1)! < losses[0] - 1, `loss ${losses[0]} to ${losses.at(-1)}`);
    const file = await exportTrustQuantize(graph);
    assert.ok([...file.weights.values()].filter(({ type }) => type === (bits > 4 ? 'u8' : 'u4')).length >= 14);
    assert.ok(!file.nodes.some(({ domain }) => domain !== ''));
    const found = await fileLoss(file);
    // Sums of other rounding move a few values that lie between two codes.
    assert.ok(Math.abs(found - loss) < 1e-3, `file ${found}, training ${loss}`);
  });
}

test('weights alone at 4 bits: activations are only rotated', async () => {
  const { loss, graph } = await trained({ weights: 4, activations: undefined, rotate: true });
  assert.ok(Math.abs(await fileLoss(await exportTrustQuantize(graph)) - loss) < 1e-5);
});

test('a trained float model is saved as a folder that loads, with its bytes as tokens', async () => {
  const { loss, float } = await trained(undefined);
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-llama-'));
  try {
    await saveLanguageModel(float, folder);
    const opened = await openLanguageModel(await openFolder(folder));
    assert.ok(Math.abs(await fileLoss(opened.graph()) - loss) < 1e-5);
    const tokenizer = openTokenizer(opened.tokenizer!);
    const ids = tokenizer.encode('To be — or\nnot\t?');
    assert.deepEqual(ids, [...new TextEncoder().encode('To be — or\nnot\t?')]);
    assert.equal(tokenizer.decode(ids), 'To be — or\nnot\t?');
    await opened.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the start is a function of the seed: gains are one, matrices have deviation 0.02', async () => {
  const name = 'model.layers.0.mlp.gate_proj.weight';
  const values = await readFloats(model.tensors.get(name)!);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  assert.ok(Math.abs(deviation - 0.02) < 0.0006, `deviation ${deviation}`);
  assert.deepEqual(await readFloats(initialLlama('tiny', size, { seed: 3 }).tensors.get(name)!), values);
  assert.notDeepEqual(await readFloats(initialLlama('tiny', size, { seed: 4 }).tensors.get(name)!), values);
  assert.deepEqual([...await readFloats(model.tensors.get('model.norm.weight')!)], Array.from({ length: 64 }, () => 1));
});
