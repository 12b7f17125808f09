/** A Mamba language model, of the first kind or the second, on the low-bit kernels: tokens in, logits out, a state of fixed size in place of keys and values. */
import { defineErrors } from '../errors.ts';
import { lowBitKernels, type LowBitKernels } from '../engine/kernels/lowbit.ts';
import { ssmKernels, type SsmKernels } from '../engine/kernels/ssm.ts';
import { headName } from '../models/llama-weights.ts';
import { finalNormName, mambaLayer } from '../models/mamba-backbone.ts';
import type { Mamba1Config } from '../models/mamba1-config.ts';
import type { Mamba2Config } from '../models/mamba2-config.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { Arena } from './arena.ts';
import { arenaWeights } from './arena-weights.ts';
import type { Decoder } from './generate.ts';
import { chunk, type Mixer, type MixerContext, type Mixers } from './mamba-mixer.ts';
import { mamba1Mixers } from './mamba1-mixer.ts';
import { mamba2Mixers } from './mamba2-mixer.ts';
import { multiply, padded, rowOf, takeRounded, type PackedMatrix } from './packed-matrix.ts';

const errors = defineErrors('mambaDecoder', {
  width: (f: { what: string; value: number }) => `${f.what} of ${f.value} is not a multiple of 4, which the low-bit engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

export interface MambaOptions {
  /** Tokens that a text may have; its state is of the same size whatever they are. */
  readonly context?: number;
  readonly kernels?: (memory: WebAssembly.Memory) => LowBitKernels;
  readonly scans?: (memory: WebAssembly.Memory) => SsmKernels;
  onTensor?(name: string, done: number, total: number): void;
}

interface Layer {
  readonly into: PackedMatrix; readonly out: PackedMatrix;
  /** Addresses of vectors; biases are 0 where the model has none. */
  readonly norm: number; readonly intoBias: number; readonly outBias: number;
  readonly mixer: Mixer;
}

interface Parts {
  readonly product: MixerContext['product']; readonly kernels: LowBitKernels; readonly mixers: Mixers; readonly layers: readonly Layer[];
  readonly embedding: PackedMatrix; readonly head: PackedMatrix; readonly finalNorm: number;
}

/** Addresses of rows of a chunk. */
interface Scratch { readonly x: number; readonly normed: number; readonly projected: number; readonly inner: number; readonly out: number; readonly logits: number }

export class MambaDecoder implements Decoder {
  readonly context: number;
  readonly vocabulary: number;
  readonly #arena: Arena;
  readonly #config: Mamba1Config | Mamba2Config;
  readonly #parts: Parts;
  readonly #scratch: Scratch;
  #position = 0;

  private constructor(arena: Arena, config: Mamba1Config | Mamba2Config, context: number, parts: Parts) {
    this.#arena = arena;
    this.#config = config;
    this.context = context;
    this.vocabulary = config.vocabSize;
    this.#parts = parts;
    const { hiddenSize, innerSize, vocabSize } = config;
    const floats = (width: number, tokens = chunk): number => arena.take(4 * tokens * padded(width));
    this.#scratch = { x: floats(hiddenSize), normed: floats(hiddenSize), projected: floats(parts.mixers.rows), inner: floats(innerSize), out: floats(hiddenSize), logits: floats(vocabSize, 1) };
  }

  /** Reads and repacks all weights. */
  static async open(config: Mamba1Config | Mamba2Config, tensors: ReadonlyMap<string, TensorRef>, { context = config.maxPositions, kernels = lowBitKernels, scans = ssmKernels, onTensor }: MambaOptions = {}): Promise<MambaDecoder> {
    const { hiddenSize, stateSize, innerSize } = config;
    for (const [what, value] of [['a hidden size', hiddenSize], ['a state', stateSize], ['a norm', config.family === 'mamba2' ? config.normGroup : 0], ['an inner size', innerSize]] as const) if (value % 4 !== 0) throw errors.width({ what, value });
    const arena = new Arena();
    const weights = arenaWeights(tensors, arena, onTensor);
    const own = kernels(arena.memory);
    const rounded = takeRounded(arena, chunk, Math.max(padded(hiddenSize), padded(innerSize)));
    const product: MixerContext['product'] = (matrix, x, count, out) => {
      own.roundInputs(x, count * matrix.groups, rounded);
      multiply(own, matrix, { x, rounded }, count, out, padded(matrix.rows));
    };
    const mixerContext: MixerContext = { arena, kernels: own, scans: scans(arena.memory), weights, product };
    const mixers = config.family === 'mamba2' ? mamba2Mixers(config, mixerContext) : mamba1Mixers(config, mixerContext);
    const { matrix, vector } = weights;
    const embedding = await matrix(config.embeddingName);
    const layers: Layer[] = [];
    for (let i = 0; i < config.layerCount; i++) {
      const of = (part: string): string => mambaLayer(i, part);
      layers.push({
        into: await matrix(of('mixer.in_proj.weight')), out: await matrix(of('mixer.out_proj.weight')),
        norm: await vector(of('norm.weight')), intoBias: await vector(of('mixer.in_proj.bias')), outBias: await vector(of('mixer.out_proj.bias')), mixer: await mixers.layer(i),
      });
    }
    const finalNorm = await vector(finalNormName);
    const head = config.tied ? embedding : await matrix(headName);
    return new MambaDecoder(arena, config, context, { product, kernels: own, mixers, layers, embedding, head, finalNorm });
  }

  get position(): number { return this.#position; }

  /** Bytes of weights, state and everything else. */
  get bytes(): number { return this.#arena.bytes; }

  /** Bytes of the state among them, whatever the length of the text. */
  get cacheBytes(): number { return 4 * this.#config.layerCount * this.#parts.mixers.stateFloats; }

  /** A state does not go back: what is not all held is forgotten. */
  rewind(position: number): number {
    if (position >= this.#position) return this.#position;
    for (const { mixer } of this.#parts.layers) mixer.clear();
    this.#position = 0;
    return 0;
  }

  /** Takes tokens in and gives the logits after the last one, or after each. The result is the caller's. */
  feed(tokens: readonly number[], { all = false }: { readonly all?: boolean } = {}): Float32Array {
    const { vocabulary, context } = this;
    if (this.#position + tokens.length > context) throw errors.context({ tokens: this.#position + tokens.length, context });
    for (const id of tokens) if (!(Number.isInteger(id) && id >= 0 && id < vocabulary)) throw errors.token({ id, vocabulary });
    const logits = new Float32Array(all ? tokens.length * vocabulary : vocabulary);
    for (let first = 0; first < tokens.length; first += chunk) {
      const part = tokens.slice(first, first + chunk);
      this.#forward(part);
      for (let t = 0; t < part.length; t++) {
        if (all) logits.set(this.#logits(t), (first + t) * vocabulary);
        else if (first + t === tokens.length - 1) logits.set(this.#logits(t));
      }
      this.#position += part.length;
    }
    return logits;
  }

  #forward(tokens: readonly number[]): void {
    const { hiddenSize, epsilon } = this.#config;
    const { layers, embedding, kernels: k, mixers, product } = this.#parts;
    const s = this.#scratch;
    const count = tokens.length;
    const [wide, rows] = [padded(hiddenSize), padded(mixers.rows)];
    tokens.forEach((id, t) => rowOf(this.#arena, embedding, id, this.#arena.floats(s.x + 4 * t * wide, wide)));
    for (const { norm, into, intoBias, mixer, out, outBias } of layers) {
      for (let t = 0; t < count; t++) k.rmsNorm(s.x + 4 * t * wide, norm, hiddenSize, epsilon, s.normed + 4 * t * wide);
      product(into, s.normed, count, s.projected);
      if (intoBias !== 0) for (let t = 0; t < count; t++) k.addTo(s.projected + 4 * t * rows, intoBias, 4 * Math.ceil(mixers.rows / 4));
      mixer.mix(s.projected, count, s.inner);
      product(out, s.inner, count, s.out);
      if (outBias !== 0) for (let t = 0; t < count; t++) k.addTo(s.out + 4 * t * wide, outBias, hiddenSize);
      k.addTo(s.x, s.out, count * wide);
    }
  }

  /** Logits after one token of the chunk that went through last. */
  #logits(token: number): Float32Array {
    const { hiddenSize, epsilon, vocabSize } = this.#config;
    const { kernels, finalNorm, product, head } = this.#parts;
    const s = this.#scratch;
    kernels.rmsNorm(s.x + 4 * token * padded(hiddenSize), finalNorm, hiddenSize, epsilon, s.normed);
    product(head, s.normed, 1, s.logits);
    return this.#arena.floats(s.logits, vocabSize);
  }
}
