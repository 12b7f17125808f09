/** A sharded Hugging Face folder of any size, with plausible weights; and the memory that a tree of processes takes. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** Llama with as many layers as fill the size; hidden 4096, feed-forward 11008, bfloat16. */
const hidden = 4096, inner = 11008, vocabulary = 32000;
const layerShapes: readonly (readonly [name: string, shape: readonly number[]])[] = [
  ['input_layernorm.weight', [hidden]], ['self_attn.q_proj.weight', [hidden, hidden]], ['self_attn.k_proj.weight', [1024, hidden]],
  ['self_attn.v_proj.weight', [1024, hidden]], ['self_attn.o_proj.weight', [hidden, hidden]], ['post_attention_layernorm.weight', [hidden]],
  ['mlp.gate_proj.weight', [inner, hidden]], ['mlp.up_proj.weight', [inner, hidden]], ['mlp.down_proj.weight', [hidden, inner]],
];
const bytesOf = (shape: readonly number[]): number => 2 * shape.reduce((a, b) => a * b, 1);
const layerBytes = layerShapes.reduce((sum, [, shape]) => sum + bytesOf(shape), 0);

export async function generateModel(model: string, gigabytes: number): Promise<{ readonly bytes: number; readonly layers: number }> {
  const layers = Math.max(1, Math.round((gigabytes * 1e9 - 2 * bytesOf([vocabulary, hidden])) / layerBytes));
  mkdirSync(model);
  writeFileSync(join(model, 'config.json'), JSON.stringify({
    architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: vocabulary, hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers,
    num_attention_heads: 32, num_key_value_heads: 8, hidden_act: 'silu', max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false, torch_dtype: 'bfloat16',
  }));
  // One block of plausible bfloat16 values, 16 MiB, read from different starts: writing should not be the bench.
  const block = new Uint16Array(8 * 1024 * 1024);
  let state = 1;
  const float = new Float32Array(1), bits = new Uint32Array(float.buffer);
  for (let i = 0; i < block.length; i++) {
    let sum = 0;
    for (let k = 0; k < 4; k++) { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; sum += state / 2 ** 32 - 0.5; }
    float[0] = 0.03 * sum;
    block[i] = bits[0] >>> 16;
  }
  const source = Buffer.from(block.buffer);
  const all: [string, readonly number[]][] = [['model.embed_tokens.weight', [vocabulary, hidden]]];
  for (let i = 0; i < layers; i++) for (const [name, shape] of layerShapes) all.push([`model.layers.${i}.${name}`, shape]);
  all.push(['model.norm.weight', [hidden]], ['lm_head.weight', [vocabulary, hidden]]);
  const shards: [string, readonly number[]][][] = [[]];
  let size = 0;
  for (const item of all) {
    if (size > 2e9) { shards.push([]); size = 0; }
    shards.at(-1)!.push(item);
    size += bytesOf(item[1]);
  }
  const map: Record<string, string> = {};
  let total = 0;
  for (const [index, shard] of shards.entries()) {
    const name = `model-${String(index + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
    const header: Record<string, unknown> = {};
    let at = 0;
    for (const [tensor, shape] of shard) {
      map[tensor] = name;
      header[tensor] = { dtype: 'BF16', shape, data_offsets: [at, at += bytesOf(shape)] };
    }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const file = await open(join(model, name), 'w');
    await file.writeFile(Buffer.concat([length, text]));
    for (let left = at, turn = index; left > 0; turn++) {
      const start = (turn * 7919 * 2) % (source.length / 2);
      const chunk = source.subarray(start, start + Math.min(left, source.length / 2));
      await file.writeFile(chunk);
      left -= chunk.length;
    }
    await file.close();
    total += at;
  }
  writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: total }, weight_map: map }));
  return { bytes: total, layers };
}

/** Resident bytes of a process and all its children. */
export function resident(pid: number): number {
  let bytes = 0;
  try {
    bytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean)) bytes += resident(Number(child));
    }
  } catch { return bytes; }
  return bytes;
}
