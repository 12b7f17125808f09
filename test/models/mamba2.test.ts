/** Mamba-2 against the recurrence written out token by token, against the reference of the trained model, and in training. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { readFloats } from '../../src/graph/values.ts';
import { openLanguageModel, type LanguageModel } from '../../src/models/language-model.ts';
import { withTrainedWeights } from '../../src/models/llama-init.ts';
import { readMamba2Config } from '../../src/models/mamba2-config.ts';
import { initialMamba2, mamba2Config } from '../../src/models/mamba2-init.ts';
import { readNpy } from '../../src/observe/data/npy.ts';
import { tokenWindows } from '../../src/observe/data/text.ts';
import { openLanguageTrainer } from '../../src/train/language.ts';
import { ids, lively, size } from './lively-mamba2.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const silu = (x: number): number => x * sigmoid(x);
const product = (matrix: ArrayLike<number>, x: readonly number[]): number[] => Array.from({ length: matrix.length / x.length }, (_, row) => x.reduce((sum, value, col) => sum + matrix[row * x.length + col] * value, 0));
const normed = (x: readonly number[], gain: ArrayLike<number>, group = x.length): number[] => x.map((value, i) => {
  const part = x.slice(Math.floor(i / group) * group, Math.floor(i / group) * group + group);
  return (value / Math.sqrt(part.reduce((sum, v) => sum + v * v, 0) / group + 1e-5)) * gain[i];
});

/** Logits by the recurrence as the architecture states it, in float64; `normGroup` channels share a root mean square. */
async function recurrence(model: LanguageModel, normGroup: number, embedding: string): Promise<number[][]> {
  const { hidden, headDim, state, groups, layers } = size;
  const inner = 2 * hidden;
  const heads = inner / headDim;
  const weights = new Map(await Promise.all([...model.tensors].map(async ([name, tensor]) => [name, await readFloats(tensor)] as const)));
  const table = weights.get(embedding)!;
  let stream = ids.map((id) => [...table.subarray(id * hidden, (id + 1) * hidden)]);
  for (let layer = 0; layer < layers; layer++) {
    const w = (part: string): Float32Array => weights.get(`backbone.layers.${layer}.${part}`)!;
    const states = Array.from({ length: inner }, () => Array<number>(state).fill(0));
    const history: number[][] = [];
    stream = stream.map((residual) => {
      const projected = product(w('mixer.in_proj.weight'), normed(residual, w('norm.weight')));
      const z = projected.slice(0, inner);
      history.push(projected.slice(inner, -heads));
      const mixed = history[0].map((_, channel) => {
        let sum = w('mixer.conv1d.bias')[channel];
        for (let tap = 0; tap < 4; tap++) sum += w('mixer.conv1d.weight')[channel * 4 + tap] * (history.at(history.length - 4 + tap < 0 ? 1e9 : history.length - 4 + tap)?.[channel] ?? 0);
        return silu(sum);
      });
      const x = mixed.slice(0, inner);
      const y = x.map((value, channel) => {
        const head = Math.floor(channel / headDim);
        const group = Math.floor(head / (heads / groups));
        const dt = Math.log1p(Math.exp(projected[projected.length - heads + head] + w('mixer.dt_bias')[head]));
        let sum = w('mixer.D')[head] * value;
        for (let n = 0; n < state; n++) {
          const [B, C] = [mixed[inner + group * state + n], mixed[inner + groups * state + group * state + n]];
          states[channel][n] = Math.exp(-Math.exp(w('mixer.A_log')[head]) * dt) * states[channel][n] + dt * value * B;
          sum += C * states[channel][n];
        }
        return sum * silu(z[channel]);
      });
      return product(w('mixer.out_proj.weight'), normed(y, w('mixer.norm.weight'), normGroup)).map((value, i) => value + residual[i]);
    });
  }
  return stream.map((residual) => product(table, normed(residual, weights.get('backbone.norm_f.weight')!)));
}

const transformers = {
  model_type: 'mamba2', architectures: ['Mamba2ForCausalLM'], vocab_size: size.vocabulary, hidden_size: size.hidden, num_hidden_layers: size.layers, head_dim: size.headDim,
  num_heads: (2 * size.hidden) / size.headDim, state_size: size.state, n_groups: size.groups, chunk_size: 256, conv_kernel: 4, expand: 2, tie_word_embeddings: true,
};

for (const [spelling, raw, normGroup, embedding] of [
  ["the authors' spelling", mamba2Config(size), (2 * size.hidden) / size.groups, 'backbone.embedding.weight'],
  ['the spelling of transformers', transformers, 2 * size.hidden, 'backbone.embeddings.weight'],
] as const) {
  test(`${spelling}: the matrix form gives what the recurrence gives, over chunks and in part`, async () => {
    const model = lively({}, raw, (name) => name.replace('backbone.embedding.', embedding.replace('weight', '')));
    const expected = await recurrence(model, normGroup, embedding);
    const session = await ortNode.open({ bytes: await onnxBytes(model.graph({ cache: true })) });
    for (const length of [1, 4, ids.length]) {
      const { logits } = await session.run({ input_ids: i64([1, length], ids.slice(0, length)) });
      assert.deepEqual(logits.shape, [1, length, size.vocabulary]);
      const wanted = expected.slice(0, length).flat();
      for (const [i, value] of wanted.entries()) assert.ok(Math.abs((logits.data as Float32Array)[i] - value) < 2e-5, `length ${length}, logit ${i}: ${(logits.data as Float32Array)[i]} for ${value}`);
    }
    await session.dispose();
    const last = await ortNode.open({ bytes: await onnxBytes(model.graph({ lastLogits: true })) });
    const { logits } = await last.run({ input_ids: i64([1, ids.length], ids), num_logits_to_keep: i64([], [1]) });
    assert.ok((logits.data as Float32Array).every((value, i) => Math.abs(value - expected.at(-1)![i]) < 2e-5));
    await last.dispose();
  });
}

test('training lowers the loss, and every kind of weight takes part', async () => {
  const [window, batch, steps] = [10, 4, 30];
  const model = initialMamba2('fresh', size, { seed: 1 });
  const data = tokenWindows('cycle', Array.from({ length: batch * window + 1 }, (_, i) => (i * i) % 7), { window });
  const { trainer, feed } = await openLanguageTrainer(model.graph(), { engine: ortNode, batch, window, steps, rate: 1e-2 });
  const feeds = feed(await data.batch([0, 1, 2, 3]));
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) losses.push((await trainer.step(feeds)).loss);
  assert.ok(losses.at(-1)! < 0.7 * losses[0], losses.join(' '));
  const trained = withTrainedWeights(model, trainer.graph());
  for (const [name, tensor] of model.tensors) {
    assert.notDeepEqual(await readFloats(trained.tensors.get(name)!), await readFloats(tensor), `${name} has not moved`);
    assert.deepEqual(trained.tensors.get(name)!.shape, tensor.shape);
  }
  await trainer.dispose();
});

const base = mamba2Config(size);
const ssm = (change: object): object => ({ ssm_cfg: { ...(base.ssm_cfg as object), ...change } });
const refused: readonly (readonly [change: object, message: string])[] = [
  [{ d_model: 0 }, 'config.json: d_model is 0, must be a whole number from 1 to 1048576'],
  [{ n_layer: undefined }, 'config.json: n_layer is missing'],
  [{ d_intermediate: 64 }, 'config.json: d_intermediate 64 is not supported'],
  [{ attn_layer_idx: [3] }, 'config.json: attn_layer_idx [3] is not supported'],
  [{ rms_norm: false }, 'config.json: rms_norm false is not supported'],
  [{ architectures: ['Mamba2ForCausalLM'] }, 'config.json: architecture "Mamba2ForCausalLM" cannot be built, only MambaLMHeadModel'],
  [ssm({ headdim: 5 }), 'config.json: 6.4 heads of 5 channels are not the 32 inner channels'],
  [ssm({ ngroups: 3 }), 'config.json: 8 heads do not fall into 3 state groups'],
  [ssm({ D_has_hdim: true }), 'config.json: D_has_hdim true is not supported'],
  [ssm({ norm_before_gate: true }), 'config.json: norm_before_gate true is not supported'],
  [ssm({ dt_limit: [1, 0] }), 'config.json: dt_limit is [1,0], must be two bounds from 0 upward'],
];
test('configurations that mean another network are refused by name', () => {
  for (const [change, message] of refused) assert.throws(() => readMamba2Config({ ...base, ...change }), { name: 'FewbitError', message });
  assert.throws(() => readMamba2Config({ ...transformers, num_heads: 3 }), { message: 'config.json: 3 heads of 4 channels are not the 32 inner channels' });
});

const assets = process.env.FEWBIT_ASSETS;
test('the trained model has the logits, the likelihood and the continuation of its float32 original', { skip: assets === undefined }, async () => {
  const folder = join(assets!, 'host-mamba2-shakespeare');
  const model = await openLanguageModel(await openFolder(folder));
  const session = await ortNode.open({ bytes: await onnxBytes(model.graph()) });
  const bytes = await readFile(join(folder, 'heldout.ids.u16'));
  const tokens = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i));
  const expected = readNpy(await readFile(join(folder, 'logits_window0_first64.npy'))).data as Float32Array;
  const likelihoods = readNpy(await readFile(join(folder, 'heldout_window_nll.npy'))).data as Float64Array;
  for (const window of [0, 192]) {
    const { logits } = await session.run({ input_ids: i64([1, 256], tokens.slice(window * 256, window * 256 + 256)) });
    const found = logits.data as Float32Array;
    // The original's own two forms of the recurrence differ by 1.6e-5.
    if (window === 0) for (const [i, value] of expected.entries()) assert.ok(Math.abs(found[i] - value) < 3e-5, `logit ${i}`);
    let sum = 0;
    for (let at = 0; at < 256; at++) {
      const row = found.subarray(at * 1024, (at + 1) * 1024);
      const top = row.reduce((a, b) => Math.max(a, b));
      sum += top + Math.log(row.reduce((total, logit) => total + Math.exp(logit - top), 0)) - row[tokens[window * 256 + at + 1]];
    }
    assert.ok(Math.abs(sum / 256 - likelihoods[window]) < 1e-6, `window ${window}: ${sum / 256}`);
  }
  const text = [814, 26, 199];
  for (let i = 0; i < 16; i++) {
    const { logits } = await session.run({ input_ids: i64([1, text.length], text) });
    const row = (logits.data as Float32Array).subarray((text.length - 1) * 1024);
    text.push(row.indexOf(row.reduce((a, b) => Math.max(a, b))));
  }
  assert.deepEqual(text.slice(3), [41, 458, 732, 419, 436, 292, 383, 14, 199, 199, 603, 706, 931, 26, 199, 41]);
  await session.dispose();
  await model.close();
});
