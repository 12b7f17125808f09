/** WebGPU kernels of attention in codes and of products with inputs of 4 and 8 bits, beside the plain twins of the WASM ones. */
import { causal, type AttentionInputs, type Visible } from '../../src/engine/kernels/attention.ts';
import { plainAttention } from '../../src/engine/kernels/attention-plain.ts';
import { blockSize, codeBytes, packNibbles, packScales } from '../../src/engine/kernels/mixed.ts';
import { plainMixed } from '../../src/engine/kernels/mixed-plain.ts';
import { attendCodes, encodeHeads, keyMeans, type CodedAttention } from '../../src/engine/webgpu/attend-codes.ts';
import type { Gpu } from '../../src/engine/webgpu/gpu.ts';
import { mixedProduct, packMixedRows, roundBlocks } from '../../src/engine/webgpu/mixed-product.ts';
import { permutation } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { apart, random, type Case } from './webgpu-cases.ts';

/** Sums of floats in another order, and the device's own exponential. */
const floatBound = 2e-5;
/** The twin rounds values and their weights to steps of 1/4095 of their largest, which the device does not: farthest of thousands of sums. */
const twinBound = 1e-2;

export async function mixedProducts(gpu: Gpu, cases: Case[]): Promise<void> {
  const [rows, blocks, rank] = [22, 5, 3];
  const cols = blocks * blockSize;
  const codes = Int8Array.from(random(50, rows * cols, 3), (value) => Math.max(-8, Math.min(7, Math.round(value))));
  const [scales, up] = [random(51, rows * blocks).map(Math.abs), random(52, rows * rank)];
  const order = Uint32Array.from(permutation(5, 0, cols));
  const weights = [gpu.buffer('weights', packMixedRows(codes, rows, cols)), gpu.buffer('scales', scales)];
  for (const flags of [[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]) {
    for (const [tokens, withBranch] of [[1, false], [3, true], [9, false]] as const) {
      const [x, down] = [random(53 + tokens, tokens * cols), random(54, tokens * rank)];
      const arena = new Arena();
      const put = (values: { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }): number => {
        const at = arena.take(values.byteLength);
        arena.bytesAt(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        return at;
      };
      const wide = Uint8Array.from(flags);
      const inputs = { tokens, blocks, wide: put(wide), codes: arena.take(2 * tokens * cols), width: codeBytes(wide), scales: arena.take(4 * tokens * blocks), lifts: arena.take(4 * tokens * blocks) };
      const panels = new Float32Array(Math.ceil(rows / 4) * 4 * rank);
      up.forEach((value, i) => { const row = Math.floor(i / rank); panels[((row >> 2) * rank + (i % rank)) * 4 + (row & 3)] = value; });
      const stride = Math.ceil(rows / 4) * 4;
      const out = arena.take(4 * tokens * stride);
      const plain = plainMixed(arena.memory);
      plain.roundBlocks(put(x), put(order), inputs);
      plain.product(put(packNibbles(codes, rows, cols)), put(packScales(scales, rows, blocks)), inputs, { out, stride, first: 0, last: stride / 4 }, withBranch ? { up: put(panels), down: put(down), rank } : undefined);
      const expected = Float32Array.from({ length: tokens * rows }, (_, i) => arena.floats(out, tokens * stride)[Math.floor(i / rows) * stride + (i % rows)]);

      const [made, sides, results] = [gpu.buffer('inputs', tokens * cols), gpu.buffer('sides', 8 * tokens * blocks), gpu.buffer('results', 4 * tokens * rows)];
      const shape = tokens === 1 ? { rows: 4, tokens: 1, threads: 32 } : { rows: 2, tokens: 4, threads: 32 };
      gpu.run([
        gpu.step(roundBlocks(tokens, blocks), [gpu.buffer('x', x), gpu.buffer('wide', Uint32Array.from(flags)), gpu.buffer('order', order), made, sides], Math.ceil((tokens * blocks) / 64)),
        gpu.step(mixedProduct({ rows, blocks, tokens, rank: withBranch ? rank : 0 }, shape, gpu.able), [...weights, made, sides, results, ...(withBranch ? [gpu.buffer('up', up), gpu.buffer('down', down)] : [])], Math.ceil(rows / shape.rows), Math.ceil(tokens / shape.tokens)),
      ]);
      cases.push({ name: `4-bit weights, blocks of ${flags} × ${tokens} tokens${withBranch ? ', with a branch' : ''}`, error: apart(new Float32Array(await gpu.read(results, 4 * tokens * rows)), expected), bound: floatBound });
    }
  }
}

/** In float64, from codes and scales on. */
function exactAttention(q: Coded, k: Coded, values: Float32Array, { heads, kvHeads, width, rows, count, scale, visible: { shown, step, window = Infinity } }: CodedAttention): Float64Array {
  const out = new Float64Array(heads * rows * width);
  for (let h = 0; h < heads; h++) {
    const kv = Math.floor((h * kvHeads) / heads) * count;
    for (let r = 0; r < rows; r++) {
      const own = h * rows + r;
      const to = Math.max(0, Math.min(count, shown + r * step));
      const weights = Array.from({ length: count }, (_, c) => {
        if (c < to - window || c >= to) return 0;
        let dot = 0;
        for (let i = 0; i < width; i++) dot += q.codes[own * width + i] * k.codes[(kv + c) * width + i];
        return Math.exp(dot * q.scales[own] * k.scales[kv + c] * scale);
      });
      const norm = weights.reduce((a, b) => a + b, 0);
      for (let i = 0; i < width; i++) out[own * width + i] = norm > 0 ? weights.reduce((sum, w, c) => sum + w * values[(kv + c) * width + i], 0) / norm : 0;
    }
  }
  return out;
}

interface Coded { readonly codes: Int8Array; readonly scales: Float32Array }

export async function codedAttentions(gpu: Gpu, cases: Case[]): Promise<void> {
  const shapes: readonly (readonly [heads: number, kvHeads: number, rows: number, count: number, width: number, visible: Visible, queries: number])[] = [
    [4, 2, 70, 130, 32, causal(70, 130), 32], [2, 2, 41, 150, 128, causal(41, 150, 70), 16], [1, 1, 5, 7, 20, { shown: -2, step: 1 }, 16],
  ];
  for (const [heads, kvHeads, rows, count, width, visible, queries] of shapes) {
    const bias = random(60, width, 2);
    const inputs: AttentionInputs = { query: random(61, heads * rows * width), keys: random(62, kvHeads * count * width).map((value, i) => value + bias[i % width]), values: random(63, kvHeads * count * width), heads, kvHeads, width };
    const shape: CodedAttention = { heads, kvHeads, width, rows, count, scale: 1 / Math.sqrt(width), visible };
    const [query, keys, values] = [inputs.query, inputs.keys, inputs.values].map((data) => gpu.buffer('x', data));
    const means = gpu.buffer('means', 4 * kvHeads * width);
    const room = (name: string, count: number): [codes: GPUBuffer, scales: GPUBuffer] => [gpu.buffer(name, count * width), gpu.buffer(`${name} scales`, 4 * count)];
    const [q, k, out] = [room('queries', heads * rows), room('keys', kvHeads * count), gpu.buffer('results', inputs.query.byteLength)];
    gpu.run([
      gpu.step(keyMeans(shape), [keys, means], Math.ceil((kvHeads * width) / 64)),
      gpu.step(encodeHeads({ heads, rows, width, smooth: false }), [query, ...q], Math.ceil((heads * rows) / 64)),
      gpu.step(encodeHeads({ heads: kvHeads, rows: count, width, smooth: true }), [keys, ...k, means], Math.ceil((kvHeads * count) / 64)),
      gpu.step(attendCodes(shape, queries, gpu.able), [...q, ...k, values, out], Math.ceil(rows / queries), heads),
    ]);
    const found = new Float32Array(await gpu.read(out, inputs.query.byteLength));
    const coded = async ([codes, scales]: [GPUBuffer, GPUBuffer], count: number): Promise<Coded> => ({ codes: new Int8Array(await gpu.read(codes, count * width)), scales: new Float32Array(await gpu.read(scales, 4 * count)) });
    const twin = plainAttention(inputs, { visible, lowBit: { bits: 8, grouping: 'token', smooth: { queries: false, keys: true, values: false } } });
    const name = `attention in codes of 8 bits, ${heads} heads of ${width}, ${rows} queries`;
    cases.push(
      { name, error: apart(found, exactAttention(await coded(q, heads * rows), await coded(k, kvHeads * count), inputs.values, shape)), bound: floatBound },
      { name: `${name}, to the twin`, error: apart(found, twin), bound: twinBound },
    );
  }
}
