/** A model of the Llama family on the low-bit kernels: tokens in, logits out, keys and values kept in caches. */
import { defineErrors } from '../errors.ts';
import { groupSize, lowBitKernels, type LowBitKernels } from '../engine/kernels/lowbit.ts';
import type { Team } from '../engine/kernels/lowbit-team.ts';
import { boardBytes } from '../engine/kernels/team.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import { embeddingName, headName, layerName } from '../models/llama-weights.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { Arena } from './arena.ts';
import { arenaWeights } from './arena-weights.ts';
import { pathsOf, type BranchingDecoder } from './draft.ts';
import type { CacheShape, KvCache } from './kv-cache.ts';
import { openCache, type CacheFormat, type OpenCache } from './kv-caches.ts';
import { LlamaSequence } from './llama-sequence.ts';
import { multiply, padded, rowOf, takeRounded, type Inputs, type PackedMatrix } from './packed-matrix.ts';
import { eachTurn } from './turns.ts';

const errors = defineErrors('decoder', {
  activation: (f: { activation: string }) => `models with ${f.activation} between their layers are not run by the low-bit engine`,
  width: (f: { what: string; value: number }) => `${f.what} of ${f.value} is not a multiple of 4, which the low-bit engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  branch: (f: { tokens: number; most: number }) => `${f.tokens} tokens of a tree do not go through the layers together: at most ${f.most} do`,
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

/** Tokens that go through a layer together at most. */
const chunk = 32;
/** Logits that are computed together at most: 16 MiB. */
const logitsAtOnce = 2 ** 22;

export interface DecoderOptions {
  /** Positions that fit; default what the model was made for, at most 4096. */
  readonly context?: number;
  /** Texts that are held side by side, each with a cache of its own; default 1. */
  readonly sequences?: number;
  /** How keys and values are held: in float32, which is the default, or those of older tokens in 8 or 4 bits. */
  readonly cache?: CacheFormat | OpenCache;
  /** What low-bit matrices multiply: inputs rounded to 8 bits, which is the default, or to 16, which stand for floats and take a tenth to a third longer. */
  readonly inputs?: 'int8' | 'float';
  /** The kernels that compute; the WASM ones by default. */
  readonly kernels?: (memory: WebAssembly.Memory) => LowBitKernels;
  /** Threads that share the products; the memory is then shared. */
  readonly team?: Team;
  onTensor?(name: string, done: number, total: number): void;
}

interface Layer {
  readonly q: PackedMatrix; readonly k: PackedMatrix; readonly v: PackedMatrix; readonly o: PackedMatrix;
  readonly gate: PackedMatrix; readonly up: PackedMatrix; readonly down: PackedMatrix;
  /** Addresses of vectors; 0 where the model has none. */
  readonly vectors: Readonly<Record<'before' | 'after' | 'qNorm' | 'kNorm' | 'qBias' | 'kBias' | 'vBias' | 'oBias' | 'gateBias' | 'upBias' | 'downBias', number>>;
  /** One for each text. */
  readonly caches: readonly KvCache[];
}

/** What a text takes in: tokens that follow one another, or those of a tree. */
export interface Intake {
  readonly sequence: LlamaSequence;
  readonly tokens: readonly number[];
  /** Index of the token before each, −1 for the text so far; the tokens are then no part of the text until they are kept. */
  readonly parents?: readonly number[];
  /** Logits after each token, not only after the last. */
  readonly all?: boolean;
}

/** Tokens of one text that go through the layers together with those of others; they begin at row `first`. */
interface Part { readonly index: number; readonly position: number; readonly first: number; readonly tokens: readonly number[]; readonly parents: readonly number[] | undefined }

/** Where a token stands, and what it attends to: positions before `to`, then listed ones. */
interface Row { readonly part: Part; readonly position: number; readonly to: number; readonly path: readonly number[] }

/** Addresses of what a chunk of tokens passes through. */
interface Scratch {
  readonly x: number; readonly normed: number; readonly query: number; readonly mixed: number; readonly projected: number;
  readonly gate: number; readonly up: number; readonly logits: number;
  /** Keys and values of several texts, before they are placed. */
  readonly keys: number; readonly values: number;
  readonly rounded: Inputs['rounded'];
}

export class LlamaDecoder implements BranchingDecoder {
  readonly context: number;
  readonly vocabulary: number;
  /** Tokens of all texts that go through the layers together at most. */
  readonly together = chunk;
  /** The texts that are held; the decoder itself speaks of the first. */
  readonly sequences: readonly LlamaSequence[];
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

  private constructor(arena: Arena, kernels: LowBitKernels, config: LlamaConfig, parts: { layers: readonly Layer[]; embedding: PackedMatrix; head: PackedMatrix; finalNorm: number; context: number; sequences: number; inputs: 'int8' | 'float' }) {
    this.#arena = arena;
    this.#kernels = kernels;
    this.#config = config;
    this.#layers = parts.layers;
    this.#embedding = parts.embedding;
    this.#head = parts.head;
    this.#finalNorm = parts.finalNorm;
    this.context = parts.context;
    this.vocabulary = config.vocabSize;
    this.sequences = Array.from({ length: parts.sequences }, (_, index) => new LlamaSequence(this, index, parts.layers.map(({ caches }) => caches[index])));
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
    const floats = (width: number, tokens = chunk): number => arena.take(4 * tokens * padded(width));
    const widest = Math.max(padded(hiddenSize), padded(intermediateSize), padded(heads * headDim));
    this.#scratch = {
      x: floats(hiddenSize), normed: floats(hiddenSize), query: floats(heads * headDim), mixed: floats(heads * headDim), projected: floats(hiddenSize),
      gate: floats(intermediateSize), up: floats(intermediateSize), logits: floats(config.vocabSize, this.#logitsRows),
      keys: floats(kvHeads * headDim), values: floats(kvHeads * headDim),
      rounded: takeRounded(arena, chunk, widest, parts.inputs === 'float' ? 16 : 8),
    };
    this.#angles = turnTables(arena, config, parts.context);
  }

  /** Reads and repacks all weights. */
  static async open(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, { context = Math.min(config.maxPositions, 4096), sequences = 1, cache = 'float', inputs = 'int8', kernels = lowBitKernels, team, onTensor }: DecoderOptions = {}): Promise<LlamaDecoder> {
    if (config.activation !== 'silu') throw errors.activation({ activation: config.activation });
    for (const [what, value] of [['a hidden size', config.hiddenSize], ['a head', config.headDim], ['an inner size', config.intermediateSize]] as const) if (value % 4 !== 0) throw errors.width({ what, value });
    const arena = new Arena(team !== undefined);
    const board = team === undefined ? 0 : arena.take(boardBytes);
    const { matrix, vector } = arenaWeights(tensors, arena, onTensor);
    const own = kernels(arena.memory);
    const { heads, kvHeads, headDim } = config;
    const shape: CacheShape = { heads, kvHeads, headDim, context, chunk, scores: arena.take(16 * (context + 8)), listed: arena.take(4 * chunk) };
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
        caches: Array.from({ length: sequences }, () => openCache(cache, arena, own, shape)),
      });
    }
    const finalNorm = await vector('model.norm.weight');
    const head = config.tied ? embedding : await matrix(headName);
    const made = new LlamaDecoder(arena, own, config, { layers, embedding, head, finalNorm, context, sequences, inputs });
    // Threads see the memory as large as it is when they begin.
    if (team !== undefined) {
      const formed = [head, ...layers.flatMap(({ q, k, v, o, gate, up, down }) => [q, k, v, o, gate, up, down])].some(({ layout }) => layout === 'own');
      const shared = await team.start(arena.memory, board, team.members, formed ? ['mixed'] : []);
      made.#kernels = shared;
      made.#stop = () => shared.stop();
    }
    return made;
  }

  /** Bytes of weights, cache and everything else. */
  get bytes(): number { return this.#arena.bytes; }

  /** Bytes of keys and values among them. */
  get cacheBytes(): number { return this.#layers.flatMap(({ caches }) => caches).reduce((sum, { bytes }) => sum + bytes, 0); }

  get position(): number { return this.sequences[0].position; }
  rewind(position: number): number { return this.sequences[0].rewind(position); }
  feed(tokens: readonly number[], options: { readonly all?: boolean } = {}): Float32Array { return this.sequences[0].feed(tokens, options); }
  branch(tokens: readonly number[], parents: readonly number[]): Float32Array { return this.sequences[0].branch(tokens, parents); }
  keep(path: readonly number[]): void { this.sequences[0].keep(path); }

  /** Ends the threads, if there are any; the memory goes with the decoder. */
  dispose(): void { this.#stop(); }

  get #logitsRows(): number { return Math.max(1, Math.min(chunk, Math.floor(logitsAtOnce / this.vocabulary))); }

  /** What is wrong with tokens that a text is to take in, before any of them is. */
  check({ sequence: { position }, tokens, parents }: Intake): void {
    if (position + tokens.length > this.context) throw errors.context({ tokens: position + tokens.length, context: this.context });
    if (parents !== undefined && tokens.length > chunk) throw errors.branch({ tokens: tokens.length, most: chunk });
    for (const id of tokens) if (!(Number.isInteger(id) && id >= 0 && id < this.vocabulary)) throw errors.token({ id, vocabulary: this.vocabulary });
  }

  /**
   * Several texts take tokens in together, one product per layer for all of them; gives the logits of each, the caller's,
   * which are those that it would get alone, bit for bit. No text may be there twice.
   */
  run(intakes: readonly Intake[]): Float32Array[] {
    for (const intake of intakes) this.check(intake);
    const { vocabulary } = this;
    const logits = intakes.map(({ tokens, all }) => new Float32Array(all === true ? tokens.length * vocabulary : vocabulary));
    const read = intakes.map(() => 0);
    while (intakes.some(({ tokens }, i) => read[i] < tokens.length)) {
      const parts: Part[] = [];
      const wanted: { readonly row: number; readonly to: Float32Array }[] = [];
      let rows = 0;
      intakes.forEach(({ sequence, tokens, parents, all }, i) => {
        const count = Math.min(chunk - rows, tokens.length - read[i]);
        // Trees are not cut.
        if (count === 0 || (parents !== undefined && count < tokens.length)) return;
        const at = read[i];
        parts.push({ index: sequence.index, position: sequence.position, first: rows, tokens: tokens.slice(at, at + count), parents });
        for (let t = 0; t < count; t++) {
          if (all === true) wanted.push({ row: rows + t, to: logits[i].subarray((at + t) * vocabulary, (at + t + 1) * vocabulary) });
          else if (at + t === tokens.length - 1) wanted.push({ row: rows + t, to: logits[i] });
        }
        rows += count;
        read[i] += count;
      });
      this.#forward(parts, rows);
      this.#logits(wanted);
      for (const { index, tokens, parents } of parts) if (parents === undefined) this.sequences[index].took(tokens.length);
    }
    return logits;
  }

  #forward(parts: readonly Part[], count: number): void {
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim, epsilon } = this.#config;
    const s = this.#scratch;
    const k = this.#kernels;
    const rows = parts.flatMap(rowsOf);
    const [wide, inner, turned] = [padded(hiddenSize), padded(intermediateSize), padded(heads * headDim)];
    const kvWidth = kvHeads * headDim;
    for (const { first, tokens } of parts) tokens.forEach((id, t) => rowOf(this.#arena, this.#embedding, id, this.#arena.floats(s.x + 4 * (first + t) * wide, wide)));
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
    this.#layers.forEach((layer, number) => {
      const { vectors } = layer;
      const { rope, window } = this.#config.layers[number];
      const places = parts.map(({ index, position, tokens }) => layer.caches[index].place(position, tokens.length));
      const { keys, values } = places.length === 1 ? places[0] : s;
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
        const angle = 2 * rows[t].position * headDim;
        k.rotate(query, heads, headDim / 2, this.#angles.cos + angle, this.#angles.sin + angle);
        k.rotate(key, kvHeads, headDim / 2, this.#angles.cos + angle, this.#angles.sin + angle);
      }
      if (places.length > 1) {
        for (const [i, place] of places.entries()) {
          const [from, length] = [4 * parts[i].first * kvWidth, parts[i].tokens.length * kvWidth];
          this.#arena.floats(place.keys, length).set(this.#arena.floats(keys + from, length));
          this.#arena.floats(place.values, length).set(this.#arena.floats(values + from, length));
        }
      }
      const fromOf = ({ position }: Row): number => (window === undefined ? 0 : Math.max(0, position + 1 - window));
      for (let t = 0; t < count;) {
        const { part, to, path } = rows[t];
        const [from, cache, queries, out] = [fromOf(rows[t]), layer.caches[part.index], s.query + 4 * t * turned, s.mixed + 4 * t * turned];
        if (cache.attendRows !== undefined && fourInLine(rows, t) && from === fromOf(rows[t + 3])) {
          cache.attendRows(queries, out, 4 * turned, from, to);
          t += 4;
        } else {
          cache.attend(queries, out, Math.min(from, to), to, path.slice(Math.max(0, from - to)));
          t++;
        }
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

  /** Logits after some of the rows that went through last. */
  #logits(wanted: readonly { readonly row: number; readonly to: Float32Array }[]): void {
    const { hiddenSize, epsilon, vocabSize } = this.#config;
    const s = this.#scratch;
    const [wide, stride] = [padded(hiddenSize), padded(vocabSize)];
    for (let first = 0; first < wanted.length; first += this.#logitsRows) {
      const some = wanted.slice(first, first + this.#logitsRows);
      some.forEach(({ row }, i) => this.#kernels.rmsNorm(s.x + 4 * row * wide, this.#finalNorm, hiddenSize, epsilon, s.normed + 4 * i * wide));
      this.#kernels.roundInputs(s.normed, (some.length * wide) / groupSize, s.rounded);
      multiply(this.#kernels, this.#head, { x: s.normed, rounded: s.rounded }, some.length, s.logits, stride);
      some.forEach(({ to }, i) => to.set(this.#arena.floats(s.logits + 4 * i * stride, vocabSize)));
    }
  }
}

/** Positions and ancestors of the tokens of a part. A tree's tokens lie one after another behind the text; those on the path to one are listed. */
function rowsOf(part: Part): Row[] {
  const { position, tokens, parents } = part;
  const plain = parents === undefined || parents.every((parent, t) => parent === t - 1);
  if (plain) return tokens.map((_, t) => ({ part, position: position + t, to: position + t + 1, path: [] }));
  return pathsOf(parents).map((path) => ({ part, position: position + path.length - 1, to: position, path: path.map((at) => position + at) }));
}

/** Whether four rows from `t` on are tokens of one text that follow each other. */
const fourInLine = (rows: readonly Row[], t: number): boolean =>
  t + 3 < rows.length && [0, 1, 2, 3].every((r) => rows[t + r].part === rows[t].part && rows[t + r].path.length === 0 && rows[t + r].to === rows[t].to + r);

/** Cosines and sines [context, headDim / 2]. */
function turnTables(arena: Arena, config: LlamaConfig, context: number): { readonly cos: number; readonly sin: number } {
  const count = context * (config.headDim / 2);
  const [cos, sin] = [arena.take(4 * count), arena.take(4 * count)];
  const [C, S] = [arena.floats(cos, count), arena.floats(sin, count)];
  eachTurn(config, context, (at, cosine, sine) => {
    C[at] = cosine;
    S[at] = sine;
  });
  return { cos, sin };
}
