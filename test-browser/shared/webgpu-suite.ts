/**
 * Every WebGPU kernel against the plain twin of the low-bit engine, on one device. Errors are farthest values as shares of
 * the root mean square of what is expected; each has the bound that its arithmetic stays within.
 */
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { attendMerge } from '../../src/engine/webgpu/attend-merge.ts';
import { attendParts } from '../../src/engine/webgpu/attend-parts.ts';
import { attendTiles, attentionTile } from '../../src/engine/webgpu/attend-tiles.ts';
import { cacheBytes, leftFloats, partPositions, partTokens, stateBytes, type AttentionShape } from '../../src/engine/webgpu/attention-shape.ts';
import { usage, type Gpu } from '../../src/engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../../src/engine/webgpu/inputs.ts';
import { rmsNorm } from '../../src/engine/webgpu/rms-norm.ts';
import { rotate } from '../../src/engine/webgpu/rotate.ts';
import { siluTimes } from '../../src/engine/webgpu/silu-times.ts';
import { f16ToF32, roundToF16 } from '../../src/numeric/half.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { apart, floatBound, random, type Case } from './webgpu-cases.ts';
import { codedAttentions, mixedProducts } from './webgpu-few-bits.ts';
import { fewBitProducts, products, stacked, trellisProducts } from './webgpu-products.ts';

/** Scores of up to 11 in half precision are off by 11 · 2⁻¹⁰, and their weights by as much of themselves. */
const halfAttentionBound = 2e-2;

async function betweenProducts(gpu: Gpu, cases: Case[]): Promise<void> {
  const arena = new Arena();
  const plain = plainLowBit(arena.memory);
  const place = (values: Float32Array): number => { const at = arena.take(values.byteLength + 16); arena.floats(at, values.length).set(values); return at; };
  const [tokens, width] = [3, 100];
  const wide = 128;
  const kinds = (['float', 'half', 'rounded'] as const).filter((kind) => kind !== 'half' || gpu.able.half);
  const [x, weight] = [new Float32Array(tokens * wide), new Float32Array(wide)];
  for (let t = 0; t < tokens; t++) x.set(random(10 + t, width, 3), t * wide);
  weight.set(random(20, width));
  const normed = new Float32Array(tokens * wide);
  for (let t = 0; t < tokens; t++) {
    const out = arena.take(4 * wide);
    plain.rmsNorm(place(x.subarray(t * wide, (t + 1) * wide)), place(weight), width, 1e-5, out);
    normed.set(arena.floats(out, width), t * wide);
  }
  for (const inputs of kinds) {
    const made = inputBytes[inputs].map((bytes) => gpu.buffer('inputs', tokens * 4 * bytes));
    gpu.run([gpu.step(rmsNorm({ width, epsilon: 1e-5, inputs }, gpu.able), [gpu.buffer('x', x), gpu.buffer('weight', weight), ...made], tokens)]);
    cases.push({ name: `RMSNorm, made ${inputs}`, error: apart(await valuesOf(gpu, inputs, made, tokens * wide), normed), bound: madeBound[inputs] });
  }
  const [gates, ups] = [random(30, tokens * width, 4), random(31, tokens * width)];
  const sides = new Float32Array(tokens * 2 * width);
  const gated = new Float32Array(tokens * wide);
  for (let t = 0; t < tokens; t++) {
    const [gate, up] = [gates, ups].map((all) => all.subarray(t * width, (t + 1) * width));
    sides.set(gate, 2 * t * width);
    sides.set(up, (2 * t + 1) * width);
    const at = place(gate);
    plain.siluTimes(at, place(up), width);
    gated.set(arena.floats(at, width), t * wide);
  }
  for (const inputs of kinds) {
    const made = inputBytes[inputs].map((bytes) => gpu.buffer('inputs', tokens * 4 * bytes));
    gpu.run([gpu.step(siluTimes({ width, inputs }, gpu.able), [gpu.buffer('x', sides), ...made], 1, tokens)]);
    cases.push({ name: `SiLU · up, made ${inputs}`, error: apart(await valuesOf(gpu, inputs, made, tokens * wide), gated), bound: madeBound[inputs] });
  }
}

/** Rounding to 8 bits is off by half a step of the largest value of a group. */
const madeBound: Readonly<Record<InputKind, number>> = { float: 2e-5, half: 4e-3, rounded: 5e-2 };

/** Inputs of products as floats. */
async function valuesOf(gpu: Gpu, kind: InputKind, made: readonly GPUBuffer[], count: number): Promise<Float32Array> {
  switch (kind) {
    case 'float': return new Float32Array(await gpu.read(made[0], 4 * count));
    case 'half': return Float32Array.from(new Uint16Array(await gpu.read(made[0], 2 * count)), f16ToF32);
    case 'rounded': {
      const codes = new Int8Array(await gpu.read(made[0], count));
      const sides = new Float32Array(await gpu.read(made[1], count / 4));
      return Float32Array.from(codes, (code, i) => code * sides[2 * Math.floor(i / groupSize)]);
    }
    default: return kind satisfies never;
  }
}

interface AttentionCase { readonly shape: AttentionShape; readonly rope: boolean; readonly norm?: number; readonly before: number; readonly tokens: number; readonly half: boolean }

/** Rotation, cache and attention together: `before` tokens in one go, then `tokens` more. */
async function attention(gpu: Gpu, { shape, rope, norm, before, tokens, half }: AttentionCase): Promise<number> {
  const { heads, kvHeads, headDim, context, cache, window } = shape;
  const all = before + tokens;
  const width = (heads + 2 * kvHeads) * headDim;
  const x = random(40, all * width);
  const angles = Float32Array.from({ length: context * headDim }, (_, i) => { const a = Math.floor(i / headDim) / 3 ** (((i % headDim) >> 1) / 4); return i % 2 === 0 ? Math.cos(a) : Math.sin(a); });
  const weights = random(41, 2 * headDim).map((v) => 1 + v / 8);
  const [keys, values] = [gpu.buffer('keys', cacheBytes(shape)), gpu.buffer('values', cacheBytes(shape))];
  const state = gpu.buffer('state', stateBytes, usage.uniform);
  const left = gpu.buffer('left', 4 * leftFloats(headDim) * heads * Math.max(partTokens * Math.ceil(context / partPositions), all));
  const groups = (heads * headDim) / groupSize;
  const out = gpu.buffer('mixed', 4 * all * heads * headDim);
  const results: Float32Array[] = [];
  for (const [position, count] of [[0, before], [before, tokens]].filter(([, n]) => n > 0)) {
    const few = count <= partTokens;
    const parts = few ? Math.ceil((position + count) / partPositions) : 1;
    gpu.write(state, 0, Uint32Array.of(position, count, parts, 0));
    const vectors = gpu.buffer('x', x.slice(position * width, (position + count) * width));
    const tile = attentionTile(headDim, half, Math.min(gpu.workgroupBytes, 32768), gpu.workgroupThreads);
    gpu.run([
      gpu.step(rotate({ ...shape, rope, norm }, gpu.able), [state, vectors, keys, values, ...(rope ? [gpu.buffer('angles', angles)] : []), ...(norm === undefined ? [] : [gpu.buffer('norms', weights)])], heads + 2 * kvHeads, count),
      few ? gpu.step(attendParts(shape, gpu.able), [state, vectors, keys, values, left], parts, heads, count)
        : gpu.step(attendTiles(shape, tile), [state, vectors, keys, values, left], Math.ceil(count / tile.queries), heads),
      gpu.step(attendMerge({ heads, headDim, inputs: 'float' }, gpu.able), [state, left, out], groups, count),
    ]);
    results.push(new Float32Array(await gpu.read(out, 4 * count * heads * headDim)));
  }
  const got = Float32Array.from(results.flatMap((part) => [...part]));
  return apart(got, plainAttention(x, all, { ...shape, window }, rope ? angles : undefined, norm, weights, cache));
}

/** The same by the twins. */
function plainAttention(x: Float32Array, tokens: number, { heads, kvHeads, headDim, window }: AttentionShape, angles: Float32Array | undefined, norm: number | undefined, weights: Float32Array, cache: 'float' | 'half'): Float32Array {
  const arena = new Arena();
  const plain = plainLowBit(arena.memory);
  const width = (heads + 2 * kvHeads) * headDim;
  const place = (values: Float32Array): number => { const at = arena.take(values.byteLength); arena.floats(at, values.length).set(values); return at; };
  const vectors = place(x);
  const [qNorm, kNorm] = [place(weights.slice(0, headDim)), place(weights.slice(headDim))];
  const [scores, out] = [arena.take(4 * (tokens + 4)), arena.take(4 * tokens * heads * headDim)];
  const stored = (at: number, count: number): void => { if (cache === 'half') arena.floats(at, count).set(roundToF16(arena.floats(at, count))); };
  const cosines = arena.take(2 * headDim);
  const sines = arena.take(2 * headDim);
  for (let t = 0; t < tokens; t++) {
    const at = vectors + 4 * t * width;
    const keys = at + 4 * heads * headDim;
    for (let h = 0; h < heads + kvHeads; h++) if (norm !== undefined) plain.rmsNorm(at + 4 * h * headDim, h < heads ? qNorm : kNorm, headDim, norm, at + 4 * h * headDim);
    if (angles !== undefined) {
      arena.floats(cosines, headDim / 2).forEach((_, i, to) => { to[i] = angles[t * headDim + 2 * i]; });
      arena.floats(sines, headDim / 2).forEach((_, i, to) => { to[i] = angles[t * headDim + 2 * i + 1]; });
      plain.rotate(at, heads + kvHeads, headDim / 2, cosines, sines);
    }
    stored(keys, 2 * kvHeads * headDim);
    for (let h = 0; h < heads; h++) {
      const kv = vectors + 4 * (heads + Math.floor((h * kvHeads) / heads)) * headDim;
      plain.attend(at + 4 * h * headDim, kv, kv + 4 * kvHeads * headDim, 4 * width, window === undefined ? 0 : Math.max(0, t + 1 - window), t + 1, headDim, 1 / Math.sqrt(headDim), scores, out + 4 * (t * heads + h) * headDim);
    }
  }
  return arena.floats(out, tokens * heads * headDim).slice();
}

async function attentions(gpu: Gpu, cases: Case[]): Promise<void> {
  const shapes: { readonly of: Omit<AttentionShape, 'context'>; readonly rope: boolean; readonly norm?: number }[] = [
    { of: { heads: 4, kvHeads: 2, headDim: 32, cache: 'float' }, rope: true }, { of: { heads: 2, kvHeads: 2, headDim: 128, cache: 'half' }, rope: true, norm: 1e-6 },
    { of: { heads: 2, kvHeads: 1, headDim: 80, cache: 'float', window: 40 }, rope: false }, { of: { heads: 4, kvHeads: 1, headDim: 8, cache: 'half' }, rope: true },
  ];
  for (const { of, rope, norm } of shapes) {
    for (const half of of.cache === 'half' && gpu.able.half ? [false, true] : [false]) {
      for (const [before, tokens] of [[70, 3], [0, 2], [9, 70], [290, 1]]) {
        const error = await attention(gpu, { shape: { ...of, context: 320 }, rope, norm, before, tokens, half });
        cases.push({ name: `attention, heads of ${of.headDim}, cache ${of.cache}${half ? ', in halves' : ''}, ${before} + ${tokens} tokens`, error, bound: half ? halfAttentionBound : of.cache === 'half' ? 2e-3 : floatBound });
      }
    }
  }
}

/** All kernels, part by part. */
export const parts = { products, fewBitProducts, trellisProducts, stacked, betweenProducts, attentions, codedAttentions, mixedProducts };

export async function checkKernels(gpu: Gpu, names = Object.keys(parts) as (keyof typeof parts)[]): Promise<Case[]> {
  const cases: Case[] = [];
  for (const name of names) await parts[name](gpu, cases);
  return cases;
}
