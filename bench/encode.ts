/**
 * Seconds from an f16 GGUF file to a GGUF file of one block type, against native llama.cpp (`llama_model_quantize`, pure):
 * node --import tsx bench/encode.ts [gigabytes] [runs] [types]. Two threads each, both outputs synced, the source in the page cache.
 * Also encoding alone, from float32 in memory, against `ggml_quantize_chunk`; and processor seconds, which other work on the machine hardly changes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileSink, openFile } from '../src/files/fs-node.ts';
import { writeGguf } from '../src/files/gguf-write.ts';
import { openGguf } from '../src/files/gguf.ts';
import type { GgufValue } from '../src/files/gguf.ts';
import { blockTypes, byteLengthOf, copyTensor } from '../src/tensor-ref.ts';
import type { TensorOut } from '../src/tensor-ref.ts';
import { decodeBlocks, type GgmlType } from '../src/formats/ggml/index.ts';
import { encodeF16 } from '../src/numeric/half.ts';
import { normal, randomInteger } from '../src/numeric/random.ts';
import { encodeTensor } from '../src/round/encode-tensor.ts';
import { poolNode } from '../src/round/pool-node.ts';
import type { Pool } from '../src/round/pool.ts';
import { ggmlReference } from '../test/formats/ggml-reference.ts';

const threads = 2;

/** llama.cpp's number of the file type, and how many times as fast we mean to be. */
const wanted: Partial<Record<GgmlType, { ftype: number; times: number }>> = {
  q2_k: { ftype: 10, times: 3 }, q3_k: { ftype: 11, times: 1.5 }, q4_k: { ftype: 14, times: 3 }, q5_k: { ftype: 16, times: 3 },
  q6_k: { ftype: 18, times: 2 }, iq4_nl: { ftype: 25, times: 3 }, iq4_xs: { ftype: 30, times: 3 },
  q8_0: { ftype: 7, times: 1 }, q4_0: { ftype: 2, times: 1 }, q5_0: { ftype: 8, times: 1 }, mxfp4: { ftype: 38, times: 1 },
};

const [gigabytes = '1', runs = '3', ...only] = process.argv.slice(2);
const types = (Object.keys(wanted) as GgmlType[]).filter((type) => only.length === 0 || only.includes(type));

/** Gaussian values, one in two thousand twenty times as large. */
const table = Float32Array.from({ length: 1 << 20 }, (_, i) => normal(1, 0, i) * (i % 2003 === 0 ? 20 : 1));

function weights(name: string, rows: number, cols: number): TensorOut {
  const shape = [rows, cols];
  return {
    name, type: 'f16', shape, byteLength: byteLengthOf('f16', shape),
    async *chunks() {
      for (let row = 0; row < rows; row++) {
        const from = randomInteger(2, rows, row, table.length - cols);
        const scale = 0.02 * (1 + (row % 7) / 7);
        yield new Uint8Array(encodeF16(table.slice(from, from + cols).map((v) => v * scale)).buffer);
      }
    },
  };
}

function ones(name: string, length: number): TensorOut {
  const bytes = new Uint8Array(new Float32Array(length).fill(1).buffer);
  return { name, type: 'f32', shape: [length], byteLength: bytes.byteLength, async *chunks() { yield bytes; } };
}

/** A llama of width 2048 with as many layers as the size needs. */
async function writeModel(path: string, bytes: number): Promise<void> {
  const [width, hidden, vocabulary] = [2048, 5632, 512];
  const layers = Math.max(1, Math.round(bytes / 2 / (4 * width * width + 3 * width * hidden)));
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'llama' }], ['general.file_type', u32(1)],
    ['llama.block_count', u32(layers)], ['llama.context_length', u32(512)], ['llama.embedding_length', u32(width)],
    ['llama.feed_forward_length', u32(hidden)], ['llama.attention.head_count', u32(16)], ['llama.attention.head_count_kv', u32(16)],
    ['llama.vocab_size', u32(vocabulary)], ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['tokenizer.ggml.model', { type: 'string', value: 'no_vocab' }],
  ]);
  const tensors = [weights('token_embd.weight', vocabulary, width)];
  for (let layer = 0; layer < layers; layer++) {
    const at = `blk.${layer}.`;
    tensors.push(ones(`${at}attn_norm.weight`, width));
    for (const part of ['q', 'k', 'v', 'output']) tensors.push(weights(`${at}attn_${part}.weight`, width, width));
    tensors.push(ones(`${at}ffn_norm.weight`, width));
    tensors.push(weights(`${at}ffn_gate.weight`, hidden, width), weights(`${at}ffn_up.weight`, hidden, width), weights(`${at}ffn_down.weight`, width, hidden));
  }
  tensors.push(ones('output_norm.weight', width), weights('output.weight', vocabulary, width));
  const sink = await fileSink(path);
  await writeGguf(sink, metadata, tensors);
  await sink.commit();
}

/** Seconds by the clock, and of the processors by all threads together. */
interface Spent { readonly seconds: number; readonly cpu: number }

async function ours(input: string, output: string, type: GgmlType, pool: Pool): Promise<Spent> {
  const start = performance.now();
  const before = process.cpuUsage();
  const source = await openFile(input);
  const { metadata, tensors } = await openGguf(source);
  const sink = await fileSink(output);
  await writeGguf(sink, metadata, [...tensors.values()].map((tensor) => (tensor.shape.length < 2 ? copyTensor(tensor) : encodeTensor(tensor, type, { pool }))));
  await sink.commit();
  await source.close();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
}

function theirs(input: string, output: string, type: GgmlType): Spent {
  const script = fileURLToPath(new URL('llama-quantize.mjs', import.meta.url));
  const args = [script, input, output, String(wanted[type]!.ftype), String(blockTypes[type].id), String(threads)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`llama.cpp failed on ${type}: ${stderr.slice(-2000)}`);
  // llama.cpp may write lines of its own before ours.
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Spent;
}

/** How alike the tensors of two files are: in their bytes, or at least in what they decode to. */
async function compare(a: string, b: string): Promise<string> {
  const [left, right] = await Promise.all([openFile(a), openFile(b)]);
  let answer = 'same bytes';
  try {
    const [{ tensors }, other] = await Promise.all([openGguf(left), openGguf(right)]);
    if (tensors.size !== other.tensors.size) return 'OTHER TENSORS';
    for (const [name, tensor] of tensors) {
      const twin = other.tensors.get(name);
      if (!twin || twin.type !== tensor.type) return 'OTHER TENSORS';
      const [mine, native] = [await tensor.read(), await twin.read()];
      if (Buffer.compare(mine, native) === 0) continue;
      answer = 'same values';
      const [x, y] = [mine, native].map((bytes) => decodeBlocks(tensor.type as GgmlType, bytes));
      if (x.some((value, i) => value !== y[i])) return `OTHER VALUES in ${name}`;
    }
    return answer;
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** Milliseconds per million float32 values in memory: [ours, theirs]. */
async function encodeOnly(type: GgmlType, pool: Pool): Promise<[number, number]> {
  const reference = ggmlReference()!;
  const [rows, cols] = [4096, 2048];
  const values = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) values.set(table.subarray((i * 977) % (table.length - cols), ((i * 977) % (table.length - cols)) + cols), i * cols);
  const out = new Uint8Array(byteLengthOf(type, [rows, cols]));
  const tileRows = 128;
  const tiles = Array.from({ length: rows / tileRows }, (_, t) => new Uint8Array(values.buffer, t * tileRows * cols * 4, tileRows * cols * 4).slice());
  let start = performance.now();
  await Promise.all(tiles.map((bytes) => pool.encode({ source: 'f32', bytes, rows: tileRows, cols, target: type, measure: false })));
  const mine = performance.now() - start;
  start = performance.now();
  await reference.encodeThreaded(type, values, rows, cols, threads, out);
  return [mine, performance.now() - start].map((ms) => ms / (rows * cols / 1e6)) as [number, number];
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];
const shown = (spent: readonly Spent[]): string =>
  `${median(spent.map(({ seconds }) => seconds)).toFixed(2)} s (${median(spent.map(({ cpu }) => cpu)).toFixed(2)} of the processors)`;
const spread = (values: number[]): string => `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)})`;

if (!ggmlReference()) {
  process.stderr.write('encode: node-llama-cpp has no library for this machine\n');
  process.exit(3);
}
const folder = await mkdtemp(join(tmpdir(), 'fewbit-bench-'));
const pool = poolNode(threads);
try {
  const [input, minePath, nativePath] = ['f16.gguf', 'ours.gguf', 'llama.gguf'].map((name) => join(folder, name));
  await writeModel(input, Number(gigabytes) * 1e9);
  console.log(`${threads} threads, ${gigabytes} GB of f16, ${runs} runs: times as fast as llama.cpp, median (least–most)`);
  for (const type of types) {
    const whole: number[] = [];
    const alone: number[] = [];
    const work: number[] = [];
    const [mine, native]: [Spent[], Spent[]] = [[], []];
    let same = '';
    for (let run = 0; run < Number(runs); run++) {
      const [a, b] = await encodeOnly(type, pool);
      alone.push(b / a);
      // Who goes first alternates, so that neither always meets the colder disk.
      if (run % 2 === 0) native.push(theirs(input, nativePath, type));
      mine.push(await ours(input, minePath, type, pool));
      if (run % 2 === 1) native.push(theirs(input, nativePath, type));
      whole.push(native[run].seconds / mine[run].seconds);
      work.push(native[run].cpu / mine[run].cpu);
      if (run === 0) same = await compare(minePath, nativePath);
    }
    const met = median(whole) >= wanted[type]!.times ? 'met' : 'missed';
    console.log(
      `${type.padEnd(7)} file to file ${spread(whole)}, wanted ${wanted[type]!.times}: ${met}; encoding alone ${spread(alone)}; processor seconds ${spread(work)}; ` +
      `${shown(mine)} against ${shown(native)}; ${same}`,
    );
  }
} finally {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
}
