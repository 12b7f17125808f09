/** Mamba-1 against the recurrence written out token by token, in both spellings of its configuration, and in training. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { readFloats } from '../../src/graph/values.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import { withTrainedWeights } from '../../src/models/llama-init.ts';
import { readMamba1Config } from '../../src/models/mamba1-config.ts';
import { randomInteger } from '../../src/numeric/random.ts';
import { tokenWindows } from '../../src/observe/data/text.ts';
import { openLanguageTrainer } from '../../src/train/language.ts';
import { authors, hidden, layers, lively, rank, state, vocabulary } from './lively-mamba1.ts';

const inner = 2 * hidden;
const ids = Array.from({ length: 70 }, (_, i) => randomInteger(5, 0, i, vocabulary));

const transformers = {
  model_type: 'mamba', architectures: ['MambaForCausalLM'], vocab_size: vocabulary, hidden_size: hidden, num_hidden_layers: layers, state_size: state, time_step_rank: rank,
  intermediate_size: inner, conv_kernel: 4, tie_word_embeddings: false,
};

const silu = (x: number): number => x / (1 + Math.exp(-x));
const product = (matrix: ArrayLike<number>, x: readonly number[]): number[] => Array.from({ length: matrix.length / x.length }, (_, row) => x.reduce((sum, value, col) => sum + matrix[row * x.length + col] * value, 0));
const normed = (x: readonly number[], gain: ArrayLike<number>): number[] => x.map((value, i) => (value / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-5)) * gain[i]);

/** Logits by the recurrence as the architecture states it, in float64. */
async function recurrence(model: LanguageModel, embedding: string): Promise<number[][]> {
  const weights = new Map(await Promise.all([...model.tensors].map(async ([name, tensor]) => [name, await readFloats(tensor)] as const)));
  const table = weights.get(embedding)!;
  let stream = ids.map((id) => [...table.subarray(id * hidden, (id + 1) * hidden)]);
  for (let layer = 0; layer < layers; layer++) {
    const w = (part: string): Float32Array => weights.get(`backbone.layers.${layer}.${part}`)!;
    const states = Array.from({ length: inner }, () => Array<number>(state).fill(0));
    const history: number[][] = Array.from({ length: 3 }, () => Array<number>(inner).fill(0));
    stream = stream.map((residual) => {
      const projected = product(w('mixer.in_proj.weight'), normed(residual, w('norm.weight')));
      history.push(projected.slice(0, inner));
      const x = history[0].map((_, channel) => silu(history.slice(-4).reduce((sum, past, tap) => sum + w('mixer.conv1d.weight')[channel * 4 + tap] * past[channel], w('mixer.conv1d.bias')[channel])));
      const low = product(w('mixer.x_proj.weight'), x);
      const steps = product(w('mixer.dt_proj.weight'), low.slice(0, rank)).map((value, i) => Math.log1p(Math.exp(value + w('mixer.dt_proj.bias')[i])));
      const y = x.map((value, channel) => {
        let sum = w('mixer.D')[channel] * value;
        for (let n = 0; n < state; n++) {
          states[channel][n] = Math.exp(-Math.exp(w('mixer.A_log')[channel * state + n]) * steps[channel]) * states[channel][n] + steps[channel] * value * low[rank + n];
          sum += low[rank + state + n] * states[channel][n];
        }
        return sum * silu(projected[inner + channel]);
      });
      return product(w('mixer.out_proj.weight'), y).map((value, i) => value + residual[i]);
    });
  }
  return stream.map((residual) => product(weights.get('lm_head.weight') ?? table, normed(residual, weights.get('backbone.norm_f.weight')!)));
}

for (const [spelling, raw, embedding] of [["the authors' spelling", authors, 'backbone.embedding.weight'], ['the spelling of transformers', transformers, 'backbone.embeddings.weight']] as const) {
  test(`${spelling}: the parallel form gives what the recurrence gives, over chunks and in part`, async () => {
    const model = lively(raw);
    const expected = await recurrence(model, embedding);
    const session = await ortNode.open({ bytes: await onnxBytes(model.graph({ cache: true })) });
    for (const length of [1, 32, 33, ids.length]) {
      const { logits } = await session.run({ input_ids: i64([1, length], ids.slice(0, length)) });
      assert.deepEqual(logits.shape, [1, length, vocabulary]);
      for (const [i, value] of expected.slice(0, length).flat().entries()) assert.ok(Math.abs((logits.data as Float32Array)[i] - value) < 3e-5, `length ${length}, logit ${i}: ${(logits.data as Float32Array)[i]} for ${value}`);
    }
    await session.dispose();
  });
}

test('training lowers the loss, and every kind of weight takes part', async () => {
  const [window, batch, steps] = [40, 2, 30];
  const model = lively(authors);
  const data = tokenWindows('cycle', Array.from({ length: batch * window + 1 }, (_, i) => (i * i) % 7), { window });
  const { trainer, feed } = await openLanguageTrainer(model.graph(), { engine: ortNode, batch, window, steps, rate: 2e-2 });
  const feeds = feed(await data.batch([0, 1]));
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) losses.push((await trainer.step(feeds)).loss);
  assert.ok(losses.at(-1)! < 0.7 * losses[0], losses.join(' '));
  const trained = withTrainedWeights(model, trainer.graph());
  for (const [name, tensor] of model.tensors) assert.notDeepEqual(await readFloats(trained.tensors.get(name)!), await readFloats(tensor), `${name} has not moved`);
  await trainer.dispose();
});

test('configurations that mean another network are refused by name', () => {
  assert.throws(() => readMamba1Config({ ...authors, d_model: 0 }), { message: 'config.json: d_model is 0, must be a whole number from 1 to 1048576' });
  assert.throws(() => readMamba1Config({ ...authors, rms_norm: false }), { message: 'config.json: rms_norm false is not supported' });
  assert.throws(() => readMamba1Config({ ...transformers, hidden_act: 'relu' }), { message: 'config.json: hidden_act "relu" is not supported' });
  assert.equal(readMamba1Config({ ...authors, ssm_cfg: {} }).stepRank, 1);
  assert.equal(readMamba1Config({ ...transformers, time_step_rank: 'auto', hidden_size: 40 }).stepRank, 3);
});
