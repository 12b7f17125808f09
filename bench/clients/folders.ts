/** Folders of the main job in their clients: transformers.js generates, and low-bit layouts are decoded by two readers. */
import { dirname, join } from 'node:path';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { FewbitError } from '../../src/errors.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { readFloats } from '../../src/files/values.ts';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { sqnr } from '../../src/numeric/statistics.ts';
import { layer, readFolder } from '../../test/export/low-bit-reader.ts';
import type { ClientModel } from './models.ts';

const newTokens = 64;
const dtypes = ['fp32', 'fp16', 'q8', 'q4', 'q4f16'];

export interface Generation { readonly dtype: string; /** Leading tokens equal to those of the float model. */ readonly same: number; readonly count: number }

/** The folder with all variants, generating greedily from the model's prompt. */
export async function generations({ name, folder, prompt }: ClientModel, work: string): Promise<Generation[]> {
  const output = join(work, `${name}-transformers.js`);
  const { outputs } = await quantize({ model: folder, to: 'transformers.js', weights: dtypes, recipe: ['rtn'], output, verdict: false, allowFallback: true });
  const { AutoModelForCausalLM, AutoTokenizer, env } = await import('@huggingface/transformers');
  env.allowRemoteModels = false;
  env.localModelPath = output;
  const client = outputs[0].file.split('/')[0];
  const tokenizer = await AutoTokenizer.from_pretrained(client);
  const inputs = tokenizer([prompt]);
  const start = (inputs.input_ids as { tolist(): bigint[][] }).tolist()[0].map(Number);
  const expected = await greedy(folder, start);
  const found: Generation[] = [];
  for (const dtype of dtypes) {
    const loaded = await AutoModelForCausalLM.from_pretrained(client, { dtype: dtype as 'fp32' });
    const made = await loaded.generate({ ...inputs, max_new_tokens: newTokens, do_sample: false }) as { tolist(): bigint[][] };
    await loaded.dispose();
    const ids = made.tolist()[0].slice(start.length).map(Number);
    const differing = expected.findIndex((id, i) => id !== ids[i]);
    found.push({ dtype, same: differing === -1 ? expected.length : differing, count: expected.length });
  }
  return found;
}

/** The float model on ONNX Runtime, without a cache: every step computes all positions. Stops where the model ends its text. */
async function greedy(folder: string, start: readonly number[]): Promise<number[]> {
  const model = await openLanguageModel(await openFolder(folder));
  const session = await ortNode.open({ bytes: await onnxBytes(model.graph()) }, { threads: 1 });
  const ends = new Set([model.rawConfig.eos_token_id].flat());
  const ids = [...start];
  const { vocabSize } = model.config;
  while (ids.length < start.length + newTokens && !(ids.length > start.length && ends.has(ids.at(-1)!))) {
    const { logits } = await session.run({ input_ids: i64([1, ids.length], ids) });
    const row = (logits.data as Float32Array).subarray((ids.length - 1) * vocabSize);
    ids.push(row.reduce((best, logit, i) => (logit > row[best] ? i : best), 0));
  }
  await session.dispose();
  await model.close();
  return ids.slice(start.length);
}

/** Groups of 32 do not divide the width of 172, whole rows fit always; GPTQ and AWQ pack eight outputs to a word. */
const layouts = [
  ['compressed-tensors', 'int4/g32'], ['compressed-tensors', 'int4/channel'], ['compressed-tensors', 'int8/channel'], ['compressed-tensors', 'e4m3/channel'],
  ['gptq', 'int4/g32'], ['gptq', 'int8/channel'], ['awq', 'uint4/g32'],
] as const;

export interface FolderRow {
  readonly layout: string;
  readonly format: string;
  /** Low-bit weights in the folder. */
  readonly weights: number;
  /** Largest |ours − independent| ÷ |independent|. */
  readonly apart: number;
  /** dB, over all low-bit weights. */
  readonly sqnr: number;
  readonly refused?: string;
}

/** Every low-bit weight of every layout, as decoded by `src/models` and by the reader that judges it. */
export async function compareFolders({ name, folder }: ClientModel, work: string): Promise<FolderRow[]> {
  const rows: FolderRow[] = [];
  const float = await openLanguageModel(await openFolder(folder));
  for (const [layout, format] of layouts) {
    const output = join(work, `${name}-${layout}-${format.replaceAll('/', '-')}`);
    try {
      const { outputs: [{ file }] } = await quantize({ model: folder, to: 'safetensors', layout, weights: [format], recipe: ['rtn'], output, verdict: false });
      const place = join(output, dirname(file));
      const { tensors, config } = await readFolder(place);
      const model = await openLanguageModel(await openFolder(place));
      let apart = 0;
      const [decoded, original]: [number[][], number[][]] = [[], []];
      for (const weight of model.lowBit) {
        const ref = model.tensors.get(weight)!;
        const [height, width] = ref.shape;
        const at = layer(tensors, weight.replace(/\.weight$/, ''), ref.shape, config);
        const own = await readFloats(ref);
        for (let n = 0, i = 0; n < height; n++) {
          for (let k = 0; k < width; k++, i++) {
            const { level, scale } = at(n, k);
            const value = level * scale;
            if (value !== own[i]) apart = Math.max(apart, Math.abs(own[i] - value) / Math.abs(value));
          }
        }
        decoded.push(Array.from(own));
        original.push(Array.from(await readFloats(float.tensors.get(weight)!)));
      }
      await model.close();
      rows.push({ layout, format, weights: model.lowBit.length, apart, sqnr: sqnr(Float32Array.from(original.flat()), Float32Array.from(decoded.flat())) });
    } catch (error) {
      if (!(error instanceof FewbitError)) throw error;
      rows.push({ layout, format, weights: 0, apart: 0, sqnr: 0, refused: error.message });
    }
  }
  await float.close();
  return rows;
}
