/** Attention of prompts and of one token beside that of ONNX Runtime. */
import { attendMerge } from '../../src/engine/webgpu/attend-merge.ts';
import { attendParts } from '../../src/engine/webgpu/attend-parts.ts';
import { attendTiles, type AttentionTile, attentionTileBytes } from '../../src/engine/webgpu/attend-tiles.ts';
import { type AttentionShape, cacheBytes, keyDims, leftFloats, partPositions, partTokens } from '../../src/engine/webgpu/attention-shape.ts';
import { type Step, usage } from '../../src/engine/webgpu/gpu.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { encodeF16 } from '../../src/numeric/half.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { type Contender, fastest, gpu, inside, ours, race, scale, theirs, there, unit, values } from './race.ts';

/** Queries [tokens, heads, 128] over keys and values, causal; heads as of a model of 8 billion weights. */
export async function attention(): Promise<void> {
  const [heads, kvHeads, headDim] = [Math.max(2, 32 / scale), Math.max(1, 8 / scale), 128];
  const kinds: { cache: AttentionShape['cache']; half: boolean }[] = [{ cache: 'float', half: false }, { cache: 'half', half: false }, ...(gpu.able.half ? [{ cache: 'half' as const, half: true }] : [])];
  const found = new Map<string, AttentionTile>();
  for (const length of [1024, 2048, 4096, 8192].map((n) => Math.max(64, n / scale))) {
    const width = (heads + 2 * kvHeads) * headDim;
    const x = values(length * width);
    for (const prompt of [true, false]) {
      const tokens = prompt ? length : 1;
      const contenders: (Contender | undefined)[] = [];
      const given = gpu.buffer('x', x);
      const chain = prompt ? [2, length > 4096 ? 4 : 8] as const : [2, 33] as const;
      for (const { cache, half: inHalves } of kinds) {
        const shape: AttentionShape = { heads, kvHeads, headDim, context: length, cache };
        const stored = Array.from({ length: prompt ? 1 : 8 }, () => [gpu.buffer('keys', cacheBytes(shape)), gpu.buffer('values', cacheBytes(shape))]);
        fillCache(shape, x, stored);
        const partCount = prompt ? 1 : Math.ceil(length / partPositions);
        const state = gpu.buffer('state', Uint32Array.of(prompt ? 0 : length - 1, tokens, partCount, 0), usage.uniform);
        const left = gpu.buffer('left', 4 * leftFloats(headDim) * heads * Math.max(partTokens * partCount, tokens));
        const out = gpu.buffer('mixed', 4 * tokens * heads * headDim);
        const merge = gpu.step(attendMerge({ heads, headDim, inputs: 'float' }, gpu.able), [state, left, out], (heads * headDim) / 32, tokens);
        const query = prompt ? given : gpu.buffer('query', x.slice((length - 1) * width));
        const tiled = (tile: AttentionTile, i: number): Step[] => [gpu.step(attendTiles(shape, tile), [state, query, ...stored[i % stored.length], left], Math.ceil(tokens / tile.queries), heads), merge];
        const link = prompt
          ? await (async () => {
            const key = `attention, cache ${cache}${inHalves ? ', in halves' : ''}`;
            const best = found.get(key) ?? await fastest(key, attentionShapes(inHalves), tiled, 1);
            found.set(key, best);
            return (i: number) => tiled(best, i);
          })()
          : (i: number) => [gpu.step(attendParts(shape, gpu.able), [state, query, ...stored[i % stored.length], left], partCount, heads, 1), merge];
        if (!prompt && inHalves) continue;
        contenders.push(ours(`fewbit, cache ${cache}${inHalves ? ', in halves' : ''}`, link, async () => {
          gpu.run(link(0));
          return attentionError(new Float32Array(await gpu.read(out, 4 * tokens * heads * headDim)), x, length, tokens, { heads, kvHeads, headDim });
        }, chain));
      }
      for (const kind of gpu.able.half ? ['f16'] as const : ['f32'] as const) {
        contenders.push(await attentionPeer('MatMul, Softmax, MatMul', kind, x, length, tokens, { heads, kvHeads, headDim }, chain));
        if (prompt) contenders.push(await attentionPeer('GroupQueryAttention', kind, x, length, tokens, { heads, kvHeads, headDim }, chain));
      }
      await race(`attention of ${tokens === 1 ? 'one token over' : 'a prompt of'} ${length}, ${heads} heads over ${kvHeads} of ${headDim}`, there(contenders));
    }
  }
}

const attentionShapes = (inHalves: boolean): AttentionTile[] => [64, 32].flatMap((queries) => [[32, 16], [64, 32], [32, 32], [64, 16]].map(([dims, positions]) => ({ queries, dims, positions, half: inHalves })))
  .filter((shape) => attentionTileBytes(128, shape) <= gpu.workgroupBytes && 4 * shape.queries <= gpu.workgroupThreads);

/** Keys and values of all positions as the kernels store them. */
function fillCache({ heads, kvHeads, headDim, context, cache }: AttentionShape, x: Float32Array, stored: readonly GPUBuffer[][]): void {
  const width = (heads + 2 * kvHeads) * headDim;
  const n = keyDims(cache);
  const [keys, vals] = [new Float32Array(kvHeads * headDim * context), new Float32Array(kvHeads * headDim * context)];
  for (let h = 0; h < kvHeads; h++) {
    for (let p = 0; p < context; p++) {
      for (let d = 0; d < headDim; d++) {
        keys[((h * (headDim / n) + Math.floor(d / n)) * context + p) * n + (d % n)] = x[p * width + (heads + h) * headDim + d];
        vals[(h * context + p) * headDim + d] = x[p * width + (heads + kvHeads + h) * headDim + d];
      }
    }
  }
  for (const [k, v] of stored) {
    gpu.write(k, 0, cache === 'half' ? encodeF16(keys) : keys);
    gpu.write(v, 0, cache === 'half' ? encodeF16(vals) : vals);
  }
}

interface Heads { readonly heads: number; readonly kvHeads: number; readonly headDim: number }

/** A few tokens and heads against attention in float64. */
function attentionError(results: Float32Array, x: Float32Array, length: number, tokens: number, { heads, kvHeads, headDim }: Heads): number {
  const width = (heads + 2 * kvHeads) * headDim;
  let [most, squares, count] = [0, 0, 0];
  for (let t = tokens - 1; t >= 0; t -= Math.ceil(tokens / 4)) {
    const seen = length - tokens + t + 1;
    for (let h = 0; h < heads; h += Math.ceil(heads / 3)) {
      const kv = heads + Math.floor((h * kvHeads) / heads);
      const scores = new Float64Array(seen);
      for (let p = 0; p < seen; p++) for (let d = 0; d < headDim; d++) scores[p] += (x[(seen - 1) * width + h * headDim + d] * x[p * width + kv * headDim + d]) / Math.sqrt(headDim);
      const top = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b);
      for (let d = 0; d < headDim; d++) {
        let sum = 0;
        for (let p = 0; p < seen; p++) sum += (weights[p] / total) * x[p * width + (kv + kvHeads) * headDim + d];
        const far = Math.abs(results[(t * heads + h) * headDim + d] - sum);
        if (!(far <= most)) most = far;
        squares += sum * sum;
        count++;
      }
    }
  }
  return most / Math.sqrt(squares / count);
}

/** Attention of ONNX Runtime: the results are the next queries. Standard operators see keys of every query's own head, and a prompt gets a mask. */
async function attentionPeer(what: string, type: 'f16' | 'f32', x: Float32Array, length: number, tokens: number, shape: Heads, chain: readonly [number, number]): Promise<Contender | undefined> {
  const { heads, kvHeads, headDim } = shape;
  const width = (heads + 2 * kvHeads) * headDim;
  const bytesOf = (from: Float32Array): Uint8Array => new Uint8Array((type === 'f32' ? from : encodeF16(from)).buffer);
  const columns = (first: number, count: number, from = 0): Float32Array => {
    const made = new Float32Array((length - from) * count * headDim);
    for (let p = from; p < length; p++) made.set(x.subarray(p * width + first * headDim, p * width + (first + count) * headDim), (p - from) * count * headDim);
    return made;
  };
  const ofHeads = (list: Float32Array, count: number, turn: boolean): Float32Array => {
    const made = new Float32Array(list.length);
    const rows = list.length / (count * headDim);
    for (let p = 0; p < rows; p++) for (let h = 0; h < count; h++) for (let d = 0; d < headDim; d++) made[turn ? (h * headDim + d) * rows + p : (h * rows + p) * headDim + d] = list[(p * count + h) * headDim + d];
    return made;
  };
  const name = `onnxruntime ${what} ${type}`;
  if (what === 'GroupQueryAttention') {
    return theirs(name, chain, (links) => {
      const g = new GraphBuilder('attention');
      let at = inside(g, type, [1, length, heads * headDim], columns(0, heads));
      const [k, v] = [heads, heads + kvHeads].map((first, i) => g.weight(memoryTensor(`kv${i}`, type, [1, length, kvHeads * headDim], bytesOf(columns(first, kvHeads)))));
      const [last, total] = [g.weight(memoryTensor('last', 'i32', [1], new Uint8Array(Int32Array.of(length - 1).buffer))), g.weight(memoryTensor('total', 'i32', [], new Uint8Array(Int32Array.of(length).buffer)))];
      for (let i = 0; i < links; i++) [at] = g.op('GroupQueryAttention', [at, k, v, '', '', last, total], { num_heads: int(heads), kv_num_heads: int(kvHeads) }, { domain: 'com.microsoft', outputs: 3 });
      if (links === 1) g.output(at, 'y', type, [1, length, heads * headDim]);
      else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([1])]), 'y', type, [1, 1, heads * headDim]);
      return g;
    }, unit(type),
    (y) => attentionError(y, x, length, tokens, shape));
  }
  // Scores of a long prompt do not fit.
  if (tokens > 1 && heads * length * length * 4 >= 2 ** 31) return undefined;
  const [K, V] = [bytesOf(ofHeads(columns(heads, kvHeads), kvHeads, true)), bytesOf(ofHeads(columns(heads + kvHeads, kvHeads), kvHeads, false))];
  const group = heads / kvHeads;
  // Queries that share keys stand below each other.
  const rows = group * tokens;
  const mask = bytesOf(Float32Array.from({ length: tokens === 1 ? 1 : rows * length }, (_, i) => (tokens > 1 && i % length > Math.floor(i / length) % tokens ? -60000 : 0)));
  const queries = ofHeads(columns(0, heads, length - tokens).map((q) => q / Math.sqrt(headDim)), heads, false);
  return theirs(name, chain, (links) => {
    const g = new GraphBuilder('attention');
    let at = inside(g, type, [kvHeads, rows, headDim], queries);
    for (let i = 0; i < links; i++) {
      // Different weights for one token: a cache is read from memory.
      const own = tokens === 1 ? i % 8 : 0;
      const scores = g.op('MatMul', [at, g.weight(memoryTensor(`k${own}`, type, [kvHeads, headDim, length], K))]);
      const masked = tokens === 1 ? scores : g.op('Add', [scores, g.weight(memoryTensor('mask', type, [1, rows, length], mask))]);
      at = g.op('MatMul', [g.op('Softmax', [masked], { axis: int(-1) }), g.weight(memoryTensor(`v${own}`, type, [kvHeads, length, headDim], V))]);
    }
    if (links === 1) g.output(at, 'y', type, [kvHeads, rows, headDim]);
    else g.output(g.op('Slice', [at, g.ints([0]), g.ints([1]), g.ints([1])]), 'y', type, [kvHeads, 1, headDim]);
    return g;
  }, unit(type), (got) => {
    return attentionError(Float32Array.from({ length: tokens * heads * headDim }, (_, i) => { const [t, h, d] = [Math.floor(i / headDim / heads), Math.floor(i / headDim) % heads, i % headDim]; return got[(h * tokens + t) * headDim + d]; }), x, length, tokens, shape);
  });
}
