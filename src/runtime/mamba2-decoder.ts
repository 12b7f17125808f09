/** A Mamba-2 language model on the low-bit kernels: tokens in, logits out, a state of fixed size in place of keys and values. */
import { defineErrors } from '../errors.ts';
import { groupSize, lowBitKernels, type LowBitKernels } from '../engine/kernels/lowbit.ts';
import { ssmKernels, type SsmKernels } from '../engine/kernels/ssm.ts';
import { headName } from '../models/llama-weights.ts';
import { finalNormName, mambaLayer } from '../models/mamba-backbone.ts';
import type { Mamba2Config } from '../models/mamba2-config.ts';
import { convChannels, projectionRows } from '../models/mamba2-weights.ts';
import { exp, log } from '../numeric/elementary.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { Arena } from './arena.ts';
import { arenaWeights } from './arena-weights.ts';
import type { Decoder } from './generate.ts';
import { multiply, padded, rowOf, takeRounded, type Inputs, type PackedMatrix } from './packed-matrix.ts';

const errors = defineErrors('mamba2Decoder', {
  width: (f: { what: string; value: number }) => `${f.what} of ${f.value} is not a multiple of 4, which the low-bit engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

/** Tokens whose products are computed together. */
const chunk = 32;

export interface Mamba2Options {
  /** Tokens that a text may have; its state is of the same size whatever they are. */
  readonly context?: number;
  readonly kernels?: (memory: WebAssembly.Memory) => LowBitKernels;
  readonly scans?: (memory: WebAssembly.Memory) => SsmKernels;
  onTensor?(name: string, done: number, total: number): void;
}

interface Layer {
  readonly into: PackedMatrix; readonly out: PackedMatrix;
  /** Addresses of vectors; biases are 0 where the model has none. */
  readonly norm: number; readonly intoBias: number; readonly outBias: number; readonly conv: number; readonly convBias: number; readonly direct: number; readonly gated: number;
  readonly stepBias: Float32Array;
  /** −e^A_log of each head. */
  readonly rates: Float64Array;
  readonly history: number; readonly state: number;
}

interface Scratch {
  readonly x: number; readonly normed: number; readonly projected: number; readonly convolved: number; readonly y: number; readonly inner: number; readonly out: number;
  readonly steps: number; readonly decays: number; readonly logits: number; readonly rounded: Inputs['rounded'];
}

export class Mamba2Decoder implements Decoder {
  readonly context: number;
  readonly vocabulary: number;
  readonly #arena: Arena;
  readonly #kernels: LowBitKernels;
  readonly #scans: SsmKernels;
  readonly #config: Mamba2Config;
  readonly #layers: readonly Layer[];
  readonly #embedding: PackedMatrix;
  readonly #head: PackedMatrix;
  readonly #finalNorm: number;
  readonly #scratch: Scratch;
  #position = 0;

  private constructor(arena: Arena, config: Mamba2Config, context: number, parts: { kernels: LowBitKernels; scans: SsmKernels; layers: readonly Layer[]; embedding: PackedMatrix; head: PackedMatrix; finalNorm: number }) {
    this.#arena = arena;
    this.#config = config;
    this.context = context;
    this.vocabulary = config.vocabSize;
    this.#kernels = parts.kernels;
    this.#scans = parts.scans;
    this.#layers = parts.layers;
    this.#embedding = parts.embedding;
    this.#head = parts.head;
    this.#finalNorm = parts.finalNorm;
    const { hiddenSize, innerSize, heads } = config;
    const floats = (width: number, tokens = chunk): number => arena.take(4 * tokens * padded(width));
    this.#scratch = {
      x: floats(hiddenSize), normed: floats(hiddenSize), projected: floats(projectionRows(config)), convolved: floats(convChannels(config), 1), y: floats(innerSize, 1),
      inner: floats(innerSize), out: floats(hiddenSize), steps: floats(heads, 1), decays: floats(heads, 1), logits: floats(config.vocabSize, 1),
      rounded: takeRounded(arena, chunk, Math.max(padded(hiddenSize), padded(innerSize))),
    };
  }

  /** Reads and repacks all weights. */
  static async open(config: Mamba2Config, tensors: ReadonlyMap<string, TensorRef>, { context = config.maxPositions, kernels = lowBitKernels, scans = ssmKernels, onTensor }: Mamba2Options = {}): Promise<Mamba2Decoder> {
    for (const [what, value] of [['a hidden size', config.hiddenSize], ['a state', config.stateSize], ['a norm', config.normGroup], ['an inner size', config.innerSize]] as const) if (value % 4 !== 0) throw errors.width({ what, value });
    const arena = new Arena();
    const { matrix, values, placed, vector } = arenaWeights(tensors, arena, onTensor);
    const { kernel, heads, headDim, stateSize } = config;
    const channels = convChannels(config);
    const embedding = await matrix(config.embeddingName);
    const layers: Layer[] = [];
    for (let i = 0; i < config.layerCount; i++) {
      const of = (part: string): string => mambaLayer(i, part);
      const conv = (await values(of('mixer.conv1d.weight')))!;
      layers.push({
        into: await matrix(of('mixer.in_proj.weight')), out: await matrix(of('mixer.out_proj.weight')),
        norm: await vector(of('norm.weight')), intoBias: await vector(of('mixer.in_proj.bias')), outBias: await vector(of('mixer.out_proj.bias')),
        conv: placed(conv.map((_, at) => conv[(at % channels) * kernel + Math.floor(at / channels)])), convBias: await vector(of('mixer.conv1d.bias')),
        direct: await vector(of('mixer.D')), gated: await vector(of('mixer.norm.weight')), stepBias: (await values(of('mixer.dt_bias')))!,
        rates: Float64Array.from((await values(of('mixer.A_log')))!, (logarithm) => -Math.fround(exp(logarithm))),
        history: arena.take(4 * (kernel - 1) * channels + 16), state: arena.take(4 * heads * headDim * stateSize),
      });
    }
    const finalNorm = await vector(finalNormName);
    const head = config.tied ? embedding : await matrix(headName);
    const memory = arena.memory;
    return new Mamba2Decoder(arena, config, context, { kernels: kernels(memory), scans: scans(memory), layers, embedding, head, finalNorm });
  }

  get position(): number { return this.#position; }

  /** Bytes of weights, state and everything else. */
  get bytes(): number { return this.#arena.bytes; }

  /** Bytes of the state among them, whatever the length of the text. */
  get cacheBytes(): number {
    const { kernel, heads, headDim, stateSize, layerCount } = this.#config;
    return 4 * layerCount * ((kernel - 1) * convChannels(this.#config) + heads * headDim * stateSize);
  }

  /** A state does not go back: what is not all held is forgotten. */
  rewind(position: number): number {
    if (position >= this.#position) return this.#position;
    const { kernel, heads, headDim, stateSize } = this.#config;
    for (const { history, state } of this.#layers) {
      this.#arena.floats(history, (kernel - 1) * convChannels(this.#config)).fill(0);
      this.#arena.floats(state, heads * headDim * stateSize).fill(0);
    }
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
    const { hiddenSize, innerSize, heads, headDim: width, groups, stateSize: size, kernel, normGroup, epsilon } = this.#config;
    const s = this.#scratch;
    const k = this.#kernels;
    const count = tokens.length;
    const channels = convChannels(this.#config);
    const [wide, inner, rows] = [padded(hiddenSize), padded(innerSize), padded(projectionRows(this.#config))];
    const rounded = (x: number, of: number): Inputs => {
      k.roundInputs(x, (count * of) / groupSize, s.rounded);
      return { x, rounded: s.rounded };
    };
    tokens.forEach((id, t) => rowOf(this.#arena, this.#embedding, id, this.#arena.floats(s.x + 4 * t * wide, wide)));
    for (const layer of this.#layers) {
      for (let t = 0; t < count; t++) k.rmsNorm(s.x + 4 * t * wide, layer.norm, hiddenSize, epsilon, s.normed + 4 * t * wide);
      multiply(k, layer.into, rounded(s.normed, wide), count, s.projected, rows);
      for (let t = 0; t < count; t++) {
        const z = s.projected + 4 * t * rows;
        if (layer.intoBias !== 0) k.addTo(z, layer.intoBias, 4 * Math.ceil(projectionRows(this.#config) / 4));
        this.#scans.convolveToken(z + 4 * innerSize, layer.history, layer.conv, layer.convBias, channels, kernel, s.convolved);
        this.#steps(layer, z + 4 * (innerSize + channels));
        const B = s.convolved + 4 * innerSize;
        this.#scans.scanToken({ state: layer.state, x: s.convolved, steps: s.steps, decays: s.decays, direct: layer.direct, B, C: B + 4 * groups * size, y: s.y }, { heads, groups, width, size });
        k.siluTimes(z, s.y, innerSize);
        for (let at = 0; at < innerSize; at += normGroup) k.rmsNorm(z + 4 * at, layer.gated + 4 * at, normGroup, epsilon, s.inner + 4 * (t * inner + at));
      }
      multiply(k, layer.out, rounded(s.inner, inner), count, s.out, wide);
      if (layer.outBias !== 0) for (let t = 0; t < count; t++) k.addTo(s.out + 4 * t * wide, layer.outBias, hiddenSize);
      k.addTo(s.x, s.out, count * wide);
    }
  }

  /** Step sizes of a token, softplus(dt + bias) within their bounds, and what they leave of the state. */
  #steps({ stepBias, rates }: Layer, raw: number): void {
    const { heads, stepLimit: [low, high] } = this.#config;
    const given = this.#arena.floats(raw, heads);
    const [steps, decays] = [this.#arena.floats(this.#scratch.steps, heads), this.#arena.floats(this.#scratch.decays, heads)];
    for (let h = 0; h < heads; h++) {
      const x = Math.fround(given[h] + stepBias[h]);
      const positive = Math.fround(x > 0 ? x + log(1 + exp(-x)) : log(1 + exp(x)));
      steps[h] = Math.min(high, Math.max(low, positive));
      decays[h] = exp(Math.fround(steps[h] * rates[h]));
    }
  }

  /** Logits after one token of the chunk that went through last. */
  #logits(token: number): Float32Array {
    const { hiddenSize, epsilon, vocabSize } = this.#config;
    const s = this.#scratch;
    const wide = padded(hiddenSize);
    this.#kernels.rmsNorm(s.x + 4 * token * wide, this.#finalNorm, hiddenSize, epsilon, s.normed);
    this.#kernels.roundInputs(s.normed, wide / groupSize, s.rounded);
    multiply(this.#kernels, this.#head, { x: s.normed, rounded: s.rounded }, 1, s.logits, padded(vocabSize));
    return this.#arena.floats(s.logits, vocabSize);
  }
}
