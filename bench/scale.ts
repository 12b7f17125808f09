/**
 * Memory and interruption at size: a generated sharded Hugging Face folder (6 GB unless told) becomes GGUF Q4_K and ONNX
 * int4/g128 without a verdict (other targets when named: `npm run bench scale 1.5 transformers.js,safetensors`). Prints the
 * peak resident memory of the whole process tree; then a run is killed half-way with SIGKILL, resumed, and every file that
 * its result lists compared byte for byte.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const gigabytes = Number(process.argv[2] ?? 6);
const targets = (process.argv[3] ?? 'gguf,onnx').split(',');
const folder = mkdtempSync(join(process.env.FEWBIT_SCRATCH ?? tmpdir(), 'fewbit-scale-'));
const cli = new URL('../dist/cli/main.js', import.meta.url).pathname;
if (!existsSync(cli)) {
  console.log('build first: npm run build');
  process.exit(2);
}

/** Llama with as many layers as fill the size; hidden 4096, feed-forward 11008, bfloat16. */
const hidden = 4096, inner = 11008, vocabulary = 32000;
const layerShapes: readonly (readonly [name: string, shape: readonly number[]])[] = [
  ['input_layernorm.weight', [hidden]], ['self_attn.q_proj.weight', [hidden, hidden]], ['self_attn.k_proj.weight', [1024, hidden]],
  ['self_attn.v_proj.weight', [1024, hidden]], ['self_attn.o_proj.weight', [hidden, hidden]], ['post_attention_layernorm.weight', [hidden]],
  ['mlp.gate_proj.weight', [inner, hidden]], ['mlp.up_proj.weight', [inner, hidden]], ['mlp.down_proj.weight', [hidden, inner]],
];
const bytesOf = (shape: readonly number[]): number => 2 * shape.reduce((a, b) => a * b, 1);
const layerBytes = layerShapes.reduce((sum, [, shape]) => sum + bytesOf(shape), 0);
const layers = Math.max(1, Math.round((gigabytes * 1e9 - 2 * bytesOf([vocabulary, hidden])) / layerBytes));

async function generate(): Promise<number> {
  const model = join(folder, 'model');
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
  return total;
}

/** Resident bytes of a process and all its children. */
function resident(pid: number): number {
  let bytes = 0;
  try {
    bytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean)) bytes += resident(Number(child));
    }
  } catch { return bytes; }
  return bytes;
}

interface Run { readonly seconds: number; readonly peak: number; readonly code: number | null; readonly warned: boolean }

function fewbit(args: readonly string[], killAfter?: (output: string) => boolean): Promise<Run> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, 'quantize', join(folder, 'model'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let peak = 0;
  let text = '';
  let warned = false;
  child.stderr.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
    warned ||= /Warning:/.test(text);
  });
  const timer = setInterval(() => {
    peak = Math.max(peak, resident(child.pid!));
    if (killAfter?.(text)) child.kill('SIGKILL');
  }, 50);
  return new Promise((resolve) => child.on('exit', (code) => {
    clearInterval(timer);
    if (code !== 0 && killAfter === undefined) console.log(text);
    resolve({ seconds: (performance.now() - started) / 1000, peak, code, warned });
  }));
}

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
};

interface Listed { readonly path: string; readonly bytes: number; readonly sha256: string }

/** What the result of a run lists. */
const listed = (output: string): Listed[] => (JSON.parse(readFileSync(join(output, 'result.json'), 'utf8')) as { outputs: { files: Listed[] }[] }).outputs[0].files;

/** Bytes of all files below a folder, those on their way included. */
const bytesBelow = (path: string): number =>
  readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => sum + (entry.isDirectory() ? bytesBelow(join(path, entry.name)) : statSync(join(path, entry.name)).size), 0);

const formats: Readonly<Record<string, string>> = { gguf: 'q4_k', onnx: 'int4/g128', 'transformers.js': 'q4', safetensors: 'int4/g128' };

try {
  const bytes = await generate();
  console.log(`${(bytes / 1e9).toFixed(2)} GB in bfloat16, ${layers} layers, sharded`);
  for (const target of targets) {
    const args = ['--to', target, '--weights', formats[target], '--recipe', 'rtn', '--no-verdict'];
    const label = `${target} ${formats[target]}`.padEnd(24);
    const whole = join(folder, 'whole'), cut = join(folder, 'cut');
    const run = await fewbit([...args, '-o', whole]);
    const files = listed(whole);
    const size = files.reduce((sum, file) => sum + file.bytes, 0);
    console.log(`${label} ${run.seconds.toFixed(0)} s (${(run.seconds / (bytes / 1e9)).toFixed(1)} s per GB), ${(size / 1e9).toFixed(2)} GB in ${files.length} files, peak resident ${(run.peak / 1e6).toFixed(0)} MB, exit ${run.code}${run.warned ? ', WARNINGS' : ''}`);
    const killed = await fewbit([...args, '-o', cut], () => existsSync(cut) && bytesBelow(cut) > size / 2);
    const left = bytesBelow(cut);
    const resumed = await fewbit([...args, '-o', cut, '--resume']);
    const hashes = await Promise.all([whole, cut].map((output) => Promise.all(files.map(({ path }) => hashOf(join(output, path))))));
    const equal = hashes[0].join() === hashes[1].join() && JSON.stringify(listed(cut)) === JSON.stringify(files);
    console.log(`${label} killed after ${killed.seconds.toFixed(0)} s with ${(left / 1e9).toFixed(2)} GB, resumed in ${resumed.seconds.toFixed(0)} s (peak ${(resumed.peak / 1e6).toFixed(0)} MB, exit ${resumed.code}): ${equal ? 'the same bytes in all files' : 'DIFFERENT BYTES'}`);
    if (!equal || run.code !== 0 || Math.max(run.peak, resumed.peak) > 800e6 || run.warned || resumed.warned) process.exitCode = 1;
    rmSync(whole, { recursive: true, force: true });
    rmSync(cut, { recursive: true, force: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
