/** A model of the Llama family on the low-bit kernels: tokens in, logits out, keys and values kept in caches. */
import { defineErrors } from '../errors.ts';
import { groupSize, lowBitKernels, type LowBitKernels } from '../engine/kernels/lowbit.ts';
import { boardBytes } from '../engine/kernels/lowbit-team.ts';
import { readFloats } from '../files/values.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import { embeddingName, headName, layerName } from '../models/llama-weights.ts';
import { inverseFrequencies } from '../models/rope.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { Arena } from './arena.ts';
import { floatCache, type CacheShape, type KvCache } from './kv-cache.ts';
import { multiply, packMatrix, rowOf, type Inputs, type PackedMatrix } from './packed-matrix.ts';

const errors = defineErrors('decoder', {
  activation: (f: { activation: string }) => `models with ${f.activation} between their layers are not run by the low-bit engine`,
  width: (f: { what: string; value: number }) => `${f.what} of ${f.value} is not a multiple of 4, which the low-bit engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

/** Tokens that go through a layer together while a prompt is read. */
const chunk = 32;

export interface DecoderOptions {
  /** Positions that fit; default what the model was made for, at most 4096. */
  readonly context?: number;
  /** The kernels that compute; the WASM ones by default. */
  readonly kernels?: (memory: WebAssembly.Memory) => LowBitKernels;
  /** Threads that share the products, and what starts them; the memory is then shared. `stop` ends them. */
  readonly team?: { readonly members: number; start(memory: WebAssembly.Memory, board: number, members: number): Promise<LowBitKernels & { stop(): void }> };
  onTensor?(name: string, done: number, total: number): void;
}

interface Layer {
  readonly q: PackedMatrix; readonly k: PackedMatrix; readonly v: PackedMatrix; readonly o: PackedMatrix;
  readonly gate: PackedMatrix; readonly up: PackedMatrix; readonly down: PackedMatrix;
  /** Addresses of vectors; 0 where the model has none. */
  readonly vectors: Readonly<Record<'before' | 'after' | 'qNorm' | 'kNorm' | 'qBias' | 'kBias' | 'vBias' | 'oBias' | 'gateBias' | 'upBias' | 'downBias', number>>;
  readonly cache: KvCache;
}

/** Addresses of what a chunk of tokens passes through. */
interface Scratch {
  readonly x: number; readonly normed: number; readonly query: number; readonly mixed: number; readonly projected: number;
  readonly gate: number; readonly up: number; readonly logits: number;
  readonly rounded: Inputs['rounded'];
}

export class LlamaDecoder {
  readonly context: number;
  readonly vocabulary: number;
  #position = 0;
  readonly #arena: Arena;
  #kernels: LowBitKernels;
  #stop: () => void = () => {};
  readonly #config: LlamaConfig;
  readonly #layers: readonly Layer[];
  readonly #embedding: PackedMatrix;
  readonly #head: PackedMatrix;
  readonly #finalNorm: number;
  readonly #angles: { readonly cos: number; readonly sin: number };
  readonly #scratch: Scratch;

  private constructor(arena: Arena, kernels: LowBitKernels, config: LlamaConfig, parts: { layers: readonly Layer[]; embedding: PackedMatrix; head: PackedMatrix; finalNorm: number; context: number }) {
    this.#arena = arena;
    this.#kernels = kernels;
    this.#config = config;
    this.#layers = parts.layers;
    this.#embedding = parts.embedding;
    this.#head = parts.head;
    this.#finalNorm = parts.finalNorm;
    this.context = parts.context;
    this.vocabulary = config.vocabSize;
    const padded = (width: number): number => Math.ceil(width / groupSize) * groupSize;
    const { hiddenSize, intermediateSize, heads, headDim } = config;
    const floats = (width: number, tokens = chunk): number => arena.take(4 * tokens * padded(width));
    const widest = Math.max(padded(hiddenSize), padded(intermediateSize), padded(heads * headDim));
    this.#scratch = {
      x: floats(hiddenSize), normed: floats(hiddenSize), query: floats(heads * headDim), mixed: floats(heads * headDim), projected: floats(hiddenSize),
      gate: floats(intermediateSize), up: floats(intermediateSize), logits: floats(config.vocabSize, 1),
      rounded: { codes: arena.take(2 * chunk * widest), bytes: arena.take(chunk * widest), scales: arena.take((4 * chunk * widest) / groupSize), totals: arena.take((4 * chunk * widest) / groupSize) },
    };
    this.#angles = turnTables(arena, config, parts.context);
  }

  /** Reads and repacks all weights. */
  static async open(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, { context = Math.min(config.maxPositions, 4096), kernels = lowBitKernels, team, onTensor }: DecoderOptions = {}): Promise<LlamaDecoder> {
    if (config.activation !== 'silu') throw errors.activation({ activation: config.activation });
    for (const [what, value] of [['a hidden size', config.hiddenSize], ['a head', config.headDim], ['an inner size', config.intermediateSize]] as const) if (value % 4 !== 0) throw errors.width({ what, value });
    const arena = new Arena(team !== undefined);
    const board = team === undefined ? 0 : arena.take(boardBytes);
    let done = 0;
    const took = (name: string): void => onTensor?.(name, ++done, tensors.size);
    const matrix = async (name: string): Promise<PackedMatrix> => {
      const packed = await packMatrix(tensors.get(name)!, arena);
      took(name);
      return packed;
    };
    const vector = async (name: string): Promise<number> => {
      const tensor = tensors.get(name);
      if (tensor === undefined) return 0;
      const values = await readFloats(tensor);
      const at = arena.take(4 * (values.length + 4));
      arena.floats(at, values.length).set(values);
      took(name);
      return at;
    };
    const own = kernels(arena.memory);
    const { heads, kvHeads, headDim } = config;
    const shape: CacheShape = { heads, kvHeads, headDim, context, chunk, scores: arena.take(4 * (context + 4)), listed: arena.take(4 * chunk) };
    const embedding = await matrix(embeddingName);
    const layers: Layer[] = [];
    for (let i = 0; i < config.layers.length; i++) {
      const of = (part: string): string => layerName(i, part);
      const linear = (part: string): Promise<PackedMatrix> => matrix(of(`${part}.weight`));
      const bias = (part: string): Promise<number> => vector(of(`${part}.bias`));
      layers.push({
        q: await linear('self_attn.q_proj'), k: await linear('self_attn.k_proj'), v: await linear('self_attn.v_proj'), o: await linear('self_attn.o_proj'),
        gate: await linear('mlp.gate_proj'), up: await linear('mlp.up_proj'), down: await linear('mlp.down_proj'),
        vectors: {
          before: await vector(of('input_layernorm.weight')), after: await vector(of('post_attention_layernorm.weight')),
          qNorm: await vector(of('self_attn.q_norm.weight')), kNorm: await vector(of('self_attn.k_norm.weight')),
          qBias: await bias('self_attn.q_proj'), kBias: await bias('self_attn.k_proj'), vBias: await bias('self_attn.v_proj'), oBias: await bias('self_attn.o_proj'),
          gateBias: await bias('mlp.gate_proj'), upBias: await bias('mlp.up_proj'), downBias: await bias('mlp.down_proj'),
        },
        cache: floatCache(arena, own, shape),
      });
    }
    const finalNorm = await vector('model.norm.weight');
    const head = config.tied ? embedding : await matrix(headName);
    const made = new LlamaDecoder(arena, own, config, { layers, embedding, head, finalNorm, context });
    // Threads see the memory as large as it is when they begin.
    if (team !== undefined) {
      const shared = await team.start(arena.memory, board, team.members);
      made.#kernels = shared;
      made.#stop = () => shared.stop();
    }
    return made;
  }

  /** Bytes of weights, cache and everything else. */
  get bytes(): number { return this.#arena.bytes; }

  /** Tokens seen so far. */
  get position(): number { return this.#position; }

  /** Forgets what came after `position` tokens; gives how many are still held: that many, or none where the cache cannot go back exactly. */
  rewind(position: number): number {
    if (position < this.#position) this.#position = Math.min(...this.#layers.map(({ cache }) => cache.rewind(position)));
    return this.#position;
  }

  /** Ends the threads, if there are any; the memory goes with the decoder. */
  dispose(): void { this.#stop(); }

  /** Takes tokens in and gives the logits after the last one, or after each. The result is the caller's. */
  feed(tokens: readonly number[], options: { readonly all?: boolean } = {}): Float32Array {
    if (this.position + tokens.length > this.context) throw errors.context({ tokens: this.position + tokens.length, context: this.context });
    for (const id of tokens) if (!(Number.isInteger(id) && id >= 0 && id < this.vocabulary)) throw errors.token({ id, vocabulary: this.vocabulary });
    const { vocabulary } = this;
    const logits = new Float32Array(options.all === true ? tokens.length * vocabulary : vocabulary);
    for (let first = 0; first < tokens.length; first += chunk) {
      const part = tokens.slice(first, first + chunk);
      this.#forward(part);
      for (let t = 0; t < part.length; t++) {
        if (options.all === true) logits.set(this.#logits(t), (first + t) * vocabulary);
        else if (first + t === tokens.length - 1) logits.set(this.#logits(t));
      }
      this.#position += part.length;
    }
    return logits;
  }

  #forward(tokens: readonly number[]): void {
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim, epsilon } = this.#config;
    const s = this.#scratch;
    const k = this.#kernels;
    const count = tokens.length;
    const [wide, inner, turned] = [hiddenSize, intermediateSize, heads * headDim].map((width) => Math.ceil(width / groupSize) * groupSize);
    const kvWidth = kvHeads * headDim;
    tokens.forEach((id, t) => rowOf(this.#arena, this.#embedding, id, this.#arena.floats(s.x + 4 * t * wide, wide)));
    const rounded = (x: number, width: number): Inputs => {
      k.roundInputs(x, (count * width) / groupSize, s.rounded);
      return { x, rounded: s.rounded };
    };
    const biased = (at: number, bias: number, stride: number, width: number): void => {
      if (bias !== 0) for (let t = 0; t < count; t++) k.addTo(at + 4 * t * stride, bias, width);
    };
    const normed = (weight: number): Inputs => {
      for (let t = 0; t < count; t++) k.rmsNorm(s.x + 4 * t * wide, weight, hiddenSize, epsilon, s.normed + 4 * t * wide);
      return rounded(s.normed, wide);
    };
    this.#layers.forEach((layer, index) => {
      const { vectors } = layer;
      const { rope, window } = this.#config.layers[index];
      const { keys, values } = layer.cache.place(this.position, count);
      const before = normed(vectors.before);
      multiply(k, layer.q, before, count, s.query, turned);
      multiply(k, layer.k, before, count, keys, kvWidth);
      multiply(k, layer.v, before, count, values, kvWidth);
      biased(s.query, vectors.qBias, turned, heads * headDim);
      biased(keys, vectors.kBias, kvWidth, kvWidth);
      biased(values, vectors.vBias, kvWidth, kvWidth);
      for (let t = 0; t < count; t++) {
        const [query, key] = [s.query + 4 * t * turned, keys + 4 * t * kvWidth];
        if (vectors.qNorm !== 0) for (let h = 0; h < heads; h++) k.rmsNorm(query + 4 * h * headDim, vectors.qNorm, headDim, epsilon, query + 4 * h * headDim);
        if (vectors.kNorm !== 0) for (let h = 0; h < kvHeads; h++) k.rmsNorm(key + 4 * h * headDim, vectors.kNorm, headDim, epsilon, key + 4 * h * headDim);
        if (!rope) continue;
        const angle = 2 * (this.position + t) * headDim;
        k.rotate(query, heads, headDim / 2, this.#angles.cos + angle, this.#angles.sin + angle);
        k.rotate(key, kvHeads, headDim / 2, this.#angles.cos + angle, this.#angles.sin + angle);
      }
      for (let t = 0; t < count; t++) {
        const to = this.position + t + 1;
        const from = window === undefined ? 0 : Math.max(0, to - window);
        layer.cache.attend(s.query + 4 * t * turned, s.mixed + 4 * t * turned, from, to);
      }
      multiply(k, layer.o, rounded(s.mixed, turned), count, s.projected, wide);
      biased(s.projected, vectors.oBias, wide, hiddenSize);
      k.addTo(s.x, s.projected, count * wide);
      const after = normed(vectors.after);
      multiply(k, layer.gate, after, count, s.gate, inner);
      multiply(k, layer.up, after, count, s.up, inner);
      biased(s.gate, vectors.gateBias, inner, intermediateSize);
      biased(s.up, vectors.upBias, inner, intermediateSize);
      k.siluTimes(s.gate, s.up, count * inner);
      multiply(k, layer.down, rounded(s.gate, inner), count, s.projected, wide);
      biased(s.projected, vectors.downBias, wide, hiddenSize);
      k.addTo(s.x, s.projected, count * wide);
    });
  }

  /** Logits after one token of the chunk that went through last. */
  #logits(token: number): Float32Array {
    const { hiddenSize, epsilon, vocabSize } = this.#config;
    const s = this.#scratch;
    const wide = Math.ceil(hiddenSize / groupSize) * groupSize;
    this.#kernels.rmsNorm(s.x + 4 * token * wide, this.#finalNorm, hiddenSize, epsilon, s.normed);
    this.#kernels.roundInputs(s.normed, wide / groupSize, s.rounded);
    multiply(this.#kernels, this.#head, { x: s.normed, rounded: s.rounded }, 1, s.logits, vocabSize);
    return this.#arena.floats(s.logits, vocabSize);
  }
}

/** Cosines and sines [context, headDim / 2]. */
function turnTables(arena: Arena, { rope, headDim }: LlamaConfig, context: number): { readonly cos: number; readonly sin: number } {
  const half = headDim / 2;
  const scale = rope.kind === 'yarn' ? rope.attentionFactor : 1;
  const frequencies = inverseFrequencies(rope, headDim);
  const [cos, sin] = [arena.take(4 * context * half), arena.take(4 * context * half)];
  const [C, S] = [arena.floats(cos, context * half), arena.floats(sin, context * half)];
  for (let p = 0; p < context; p++) {
    for (let i = 0; i < half; i++) {
      // The engine turns by angles in float32, as the exported graphs do.
      const angle = Math.fround(Math.fround(frequencies[i]) * p);
      C[p * half + i] = Math.cos(angle) * scale;
      S[p * half + i] = Math.sin(angle) * scale;
    }
  }
  return { cos, sin };
}
