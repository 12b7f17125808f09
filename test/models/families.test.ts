/** Every family and option against logits of an independent implementation; fixtures/README.md says how they were made. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import type { Session } from '../../src/engine/session.ts';
import { f32, i64, type Tensor } from '../../src/engine/tensor.ts';
import { openFile, openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { openSafetensors } from '../../src/files/safetensors.ts';
import { readFloats, readNumbers } from '../../src/graph/values.ts';
import { isStateSpace, openLanguageModel, type LanguageModel } from '../../src/models/language-model.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const names = ['llama-biases-llama3', 'llama-linear-gelu', 'mistral-window', 'qwen2-yarn-window', 'qwen3-shards', 'smollm3-nope'];

async function expectedOf(name: string) {
  const source = await openFile(join(fixtures, name, 'expected.safetensors'));
  const { tensors } = await openSafetensors(source);
  const result = {
    ids: await readNumbers(tensors.get('ids')!), logits: await readFloats(tensors.get('logits')!),
    shortIds: await readNumbers(tensors.get('short_ids')!), shortLogits: await readFloats(tensors.get('short_logits')!),
  };
  await source.close();
  return result;
}

function difference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(found.length, expected.length);
  let worst = 0;
  for (let i = 0; i < found.length; i++) worst = Math.max(worst, Math.abs(found[i] - expected[i]));
  return worst;
}

/** Logits have a spread of 1.4 to 6: float32 sums in another order differ by some 1e-5. */
const tolerance = 5e-5;

function emptyCache({ config }: LanguageModel, batch: number): Record<string, Tensor> {
  assert.ok(!isStateSpace(config));
  const none = f32([batch, config.kvHeads, 0, config.headDim], new Float32Array(0));
  return Object.fromEntries(config.layers.flatMap((_, i) => [[`past_key_values.${i}.key`, none], [`past_key_values.${i}.value`, none]]));
}

/** Feeds columns of `ids` [batch][length] in pieces; gives the logits [batch][length × vocabulary]. */
async function inPieces(session: Session, model: LanguageModel, ids: readonly (readonly number[])[], mask: readonly (readonly number[])[], pieces: readonly number[]): Promise<number[][]> {
  const batch = ids.length;
  const positions = mask.map((row) => row.map((seen, i) => (seen === 0 ? 1 : row.slice(0, i).reduce((sum, one) => sum + one, 0))));
  const logits: number[][] = ids.map(() => []);
  let cache = emptyCache(model, batch);
  let at = 0;
  for (const piece of pieces) {
    const columns = (rows: readonly (readonly number[])[]): Tensor => i64([batch, piece], rows.flatMap((row) => row.slice(at, at + piece)));
    const { logits: made, ...present } = await session.run({
      input_ids: columns(ids), position_ids: columns(positions), ...cache,
      attention_mask: i64([batch, at + piece], mask.flatMap((row) => row.slice(0, at + piece))),
    });
    const width = piece * model.config.vocabSize;
    const values = made.data as Float32Array;
    for (let row = 0; row < batch; row++) logits[row].push(...values.subarray(row * width, (row + 1) * width));
    cache = Object.fromEntries(Object.entries(present).map(([name, value]) => [name.replace('present', 'past_key_values'), value]));
    at += piece;
  }
  return logits;
}

for (const name of names) {
  test(`${name}: logits are those of the reference, whole, in part and with a cache, alone and padded`, async () => {
    const model = await openLanguageModel(await openFolder(join(fixtures, name)));
    const { ids, logits, shortIds, shortLogits } = await expectedOf(name);
    const plain = await ortNode.open({ bytes: await onnxBytes(model.graph()) });
    const whole = await plain.run({ input_ids: i64([1, ids.length], ids) });
    assert.deepEqual(whole.logits.shape, [1, ids.length, model.config.vocabSize]);
    assert.ok(difference(whole.logits.data as Float32Array, logits) < tolerance);
    await plain.dispose();

    const last = await ortNode.open({ bytes: await onnxBytes(model.graph({ lastLogits: true })) });
    for (const count of [0, 1, 5]) {
      const kept = await last.run({ input_ids: i64([1, ids.length], ids), num_logits_to_keep: i64([], [count]) });
      assert.deepEqual(kept.logits.data, (whole.logits.data as Float32Array).slice(count === 0 ? 0 : -count * model.config.vocabSize));
    }
    await last.dispose();

    const cached = await ortNode.open({ bytes: await onnxBytes(model.graph({ cache: true })) });
    const vocabulary = model.config.vocabSize;
    const padding = Array.from({ length: ids.length - shortIds.length }, () => 0);
    const [ones, shortOnes] = [ids, shortIds].map((row) => row.map(() => 1));
    const [stepwise] = await inPieces(cached, model, [ids], [ones], ids.map(() => 1));
    assert.ok(difference(stepwise, logits) < tolerance, 'one token at a time');
    const left = await inPieces(cached, model, [ids, [...padding, ...shortIds]], [ones, [...padding, ...shortOnes]], [10, 1, 13]);
    assert.ok(difference(left[0], logits) < tolerance, 'beside a padded row');
    assert.ok(difference(left[1].slice(padding.length * vocabulary), shortLogits) < tolerance, 'padded on the left');
    const right = await inPieces(cached, model, [ids, [...shortIds, ...padding]], [ones, [...shortOnes, ...padding]], [24]);
    assert.ok(difference(right[1].slice(0, shortLogits.length), shortLogits) < tolerance, 'padded on the right');
    await cached.dispose();
    await model.close();
  });
}
