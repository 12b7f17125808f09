/** A model of the Llama family on WebGPU: tokens in, logits out, weights, keys and values on the device. */
import { defineErrors } from '../errors.ts';
import { attendMerge } from '../engine/webgpu/attend-merge.ts';
import { attendParts } from '../engine/webgpu/attend-parts.ts';
import { attendTiles, attentionTile, type AttentionTile } from '../engine/webgpu/attend-tiles.ts';
import { cacheBytes, partPositions, partTokens, type AttentionShape } from '../engine/webgpu/attention-shape.ts';
import { embed } from '../engine/webgpu/embed.ts';
import { Gpu, type Step } from '../engine/webgpu/gpu.ts';
import { groupSize, type InputKind } from '../engine/webgpu/inputs.ts';
import { lastToken } from '../engine/webgpu/last-token.ts';
import { matrixTiles } from '../engine/webgpu/matrix-tiles.ts';
import { matrixVector } from '../engine/webgpu/matrix-vector.ts';
import { rmsNorm } from '../engine/webgpu/rms-norm.ts';
import { rotate } from '../engine/webgpu/rotate.ts';
import { siluTimes } from '../engine/webgpu/silu-times.ts';
import { tileShape, vectorShape, vectorTokens } from '../engine/webgpu/shapes.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { inputsFor } from './webgpu-matrix.ts';
import { chunk, uploadModel, type Parts, type Place } from './webgpu-weights.ts';

const errors = defineErrors('webgpuDecoder', {
  activation: (f: { activation: string }) => `models with ${f.activation} between their layers are not run by the low-bit engine`,
  form: (f: { name: string }) => [`what ${f.name} multiplies is sorted, scaled or rounded first, or has a branch of low rank beside it, which the WebGPU engine does not carry out`, 'run the model on the CPU'],
  width: (f: { what: string; value: number; by: number }) => `${f.what} of ${f.value} is not a multiple of ${f.by}, which the WebGPU engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

export interface WebGpuOptions {
  /** Positions that fit; default what the model was made for, at most 4096. */
  readonly context?: number;
  /** What products take in: codes of 8 bits as on the CPU (`rounded`, the default), floats, or halves where the device has them. */
  readonly inputs?: InputKind;
  /** Keys and values in floats (the default) or in halves, which take half of the memory. */
  readonly halfCache?: boolean;
  /** A device that is already open; without it one is opened, and closed with the decoder. */
  readonly gpu?: Gpu;
  /** What offers devices; default `navigator.gpu`. */
  readonly adapters?: GPU | null;
  onTensor?(name: string, done: number, total: number): void;
}

/** Steps of a number of tokens, and those among them whose size grows with the cache. */
interface Plan { readonly steps: readonly Step[]; readonly attend: readonly Step[] }

export class WebGpuDecoder {
  readonly context: number;
  readonly vocabulary: number;
  readonly gpu: Gpu;
  readonly #owned: boolean;
  readonly #config: LlamaConfig;
  readonly #parts: Parts;
  readonly #inputs: InputKind;
  readonly #shape: AttentionShape;
  readonly #tile: AttentionTile;
  readonly #landing: GPUBuffer;
  readonly #plans = new Map<string, Plan>();
  #position = 0;

  private constructor(gpu: Gpu, owned: boolean, config: LlamaConfig, parts: Parts, inputs: InputKind, shape: AttentionShape, context: number) {
    this.gpu = gpu;
    this.#owned = owned;
    this.#config = config;
    this.#parts = parts;
    this.#inputs = inputs;
    this.#shape = shape;
    this.context = context;
    this.vocabulary = config.vocabSize;
    this.#tile = attentionTile(config.headDim, shape.cache === 'half' && inputs === 'half', gpu.workgroupBytes, gpu.workgroupThreads);
    this.#landing = gpu.landing(4 * vectorTokens * config.vocabSize);
  }

  /** Reads all weights and puts them on the device, which is closed again where they do not fit. */
  static async open(config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, options: WebGpuOptions = {}): Promise<WebGpuDecoder> {
    const { halfCache = false, context = Math.min(config.maxPositions, 4096) } = options;
    if (config.activation !== 'silu') throw errors.activation({ activation: config.activation });
    for (const [name, { coded }] of tensors) if (coded?.inputs !== undefined || coded?.branch !== undefined) throw errors.form({ name });
    const by = halfCache ? 8 : 4;
    if (config.headDim % by !== 0) throw errors.width({ what: 'a head', value: config.headDim, by });
    const gpu = options.gpu ?? await Gpu.open({ gpu: options.adapters });
    try {
      const inputs = options.inputs === 'half' && !gpu.able.half ? 'float' : options.inputs ?? 'rounded';
      const shape: AttentionShape = { heads: config.heads, kvHeads: config.kvHeads, headDim: config.headDim, context: Math.ceil(context / 64) * 64, cache: halfCache ? 'half' : 'float' };
      const parts = await uploadModel(gpu, config, tensors, shape, inputs, options.onTensor);
      const made = new WebGpuDecoder(gpu, options.gpu === undefined, config, parts, inputs, shape, context);
      await gpu.settled();
      return made;
    } catch (error) {
      if (options.gpu === undefined) gpu.dispose();
      throw error;
    }
  }

  /** Bytes of all buffers of the device. */
  get bytes(): number { return this.gpu.bytes; }
  /** Bytes of keys and values among them. */
  get cacheBytes(): number { return 2 * cacheBytes(this.#shape) * this.#config.layers.length; }
  get position(): number { return this.#position; }

  /** Forgets what came after `position` tokens; gives how many are still held. */
  rewind(position: number): number {
    this.#position = Math.min(this.#position, position);
    return this.#position;
  }

  dispose(): void { if (this.#owned) this.gpu.dispose(); }

  /** Takes tokens in and gives the logits after the last one, or after each. The result is the caller's. */
  async feed(tokens: readonly number[], { all = false }: { readonly all?: boolean } = {}): Promise<Float32Array> {
    if (this.#position + tokens.length > this.context) throw errors.context({ tokens: this.#position + tokens.length, context: this.context });
    for (const id of tokens) if (!(Number.isInteger(id) && id >= 0 && id < this.vocabulary)) throw errors.token({ id, vocabulary: this.vocabulary });
    const logits = new Float32Array(all ? tokens.length * this.vocabulary : this.vocabulary);
    const atOnce = all ? vectorTokens : chunk;
    for (let first = 0; first < tokens.length; first += atOnce) {
      const part = tokens.slice(first, first + atOnce);
      const wanted = all ? part.length : first + atOnce >= tokens.length ? 1 : 0;
      this.#forward(part, wanted);
      if (wanted > 0) logits.set(new Float32Array(await this.gpu.landed(this.#landing, 4 * wanted * this.vocabulary)), all ? first * this.vocabulary : 0);
      this.#position += part.length;
    }
    return logits;
  }

  /** Hands a chunk to the device; the logits of its last `wanted` tokens land, of all of them or of the last one. */
  #forward(tokens: readonly number[], wanted: number): void {
    const { gpu } = this;
    const { scratch } = this.#parts;
    const count = tokens.length;
    const few = count <= partTokens;
    const parts = few ? Math.ceil((this.#position + count) / partPositions) : 1;
    gpu.check();
    gpu.write(scratch.ids, 0, Uint32Array.from(tokens));
    gpu.write(scratch.state, 0, Uint32Array.of(this.#position, count, parts, 0));
    const key = `${count} ${wanted}`;
    const plan = this.#plans.get(key) ?? this.#plan(count, wanted);
    // Prompts have chunks of any length; those that come again are kept.
    if (few || count === chunk) this.#plans.set(key, plan);
    const steps = few ? plan.steps.map((step) => (plan.attend.includes(step) ? { ...step, groups: [parts, this.#config.heads, count] as const } : step)) : plan.steps;
    gpu.run(steps, wanted === 0 ? [] : [{ from: scratch.logits, at: 0, to: this.#landing, bytes: 4 * wanted * this.vocabulary }]);
  }

  #plan(count: number, wanted: number): Plan {
    const { gpu } = this;
    const { able } = gpu;
    const { hiddenSize, intermediateSize, heads, kvHeads, headDim, epsilon } = this.#config;
    const { layers, embedding, head, finalNorm, scratch: s } = this.#parts;
    const steps: Step[] = [];
    const attend: Step[] = [];
    const add = (...of: Parameters<Gpu['step']>): number => steps.push(gpu.step(...of));
    const groupsOf = (width: number): number => Math.ceil(width / groupSize);
    /** Runs what makes inputs once for every kind that the matrices take. */
    const make = (places: readonly Place[], made: (kind: InputKind, buffers: readonly GPUBuffer[]) => void): void => {
      for (const kind of new Set(places.map(({ matrix }) => inputsFor(matrix.layout, this.#inputs)))) made(kind, s.inputs[kind]);
    };
    const normed = (places: readonly Place[], x: GPUBuffer, weight: GPUBuffer, tokens: number): void =>
      make(places, (inputs, buffers) => add(rmsNorm({ width: hiddenSize, epsilon, inputs }, able), [x, weight, ...buffers], tokens));
    const multiply = (places: readonly Place[], out: GPUBuffer, stride: number, tokens: number, sum: boolean): void => {
      for (const { matrix: { layout, rows, groups, buffers }, bias, offset } of places) {
        const inputs = inputsFor(layout, this.#inputs);
        const product = { layout, rows, groups, stride, offset, inputs, bias: bias !== undefined, add: sum };
        const bound = [...buffers, ...s.inputs[inputs], out, ...(bias === undefined ? [] : [bias])];
        if (tokens <= vectorTokens) {
          const shape = vectorShape(tokens, inputs);
          const workgroups = Math.ceil(rows / shape.rows);
          add(matrixVector(product, shape, able), bound, Math.min(workgroups, 32768), Math.ceil(workgroups / 32768));
        } else {
          const shape = tileShape(tokens, inputs, layout, gpu.workgroupBytes);
          add(matrixTiles(product, shape, able), bound, Math.ceil(rows / shape.rows), Math.ceil(tokens / shape.tokens));
        }
      }
    };
    const wide = groupsOf(hiddenSize) * groupSize;
    add(embed(embedding.layout, embedding.groups), [...embedding.buffers, s.ids, s.x], Math.ceil(embedding.groups / 64), count);
    layers.forEach((layer, index) => {
      const { rope, window } = this.#config.layers[index];
      const shape = { ...this.#shape, ...(window === undefined ? {} : { window }) };
      const norm = layer.headNorms === undefined ? {} : { norm: epsilon };
      normed(layer.qkv, s.x, layer.before, count);
      multiply(layer.qkv, s.qkv, (heads + 2 * kvHeads) * headDim, count, false);
      add(rotate({ ...this.#shape, rope, ...norm }, able), [s.state, s.qkv, layer.keys, layer.values, ...(rope ? [s.angles] : []), ...(layer.headNorms === undefined ? [] : [layer.headNorms])], heads + 2 * kvHeads, count);
      if (count <= partTokens) add(attendParts(shape, able), [s.state, s.qkv, layer.keys, layer.values, s.left], 1, heads, count);
      else add(attendTiles(shape, this.#tile), [s.state, s.qkv, layer.keys, layer.values, s.left], Math.ceil(count / this.#tile.queries), heads);
      attend.push(steps.at(-1)!);
      make(layer.o, (inputs, buffers) => add(attendMerge({ heads, headDim, inputs }, able), [s.state, s.left, ...buffers], groupsOf(heads * headDim), count));
      multiply(layer.o, s.x, wide, count, true);
      normed(layer.gateUp, s.x, layer.after, count);
      multiply(layer.gateUp, s.gateUp, 2 * intermediateSize, count, false);
      make(layer.down, (inputs, buffers) => add(siluTimes({ width: intermediateSize, inputs }, able), [s.gateUp, ...buffers], Math.ceil(groupsOf(intermediateSize) / 64), count));
      multiply(layer.down, s.x, wide, count, true);
    });
    if (wanted > 0) {
      const one = wanted < count;
      if (one) add(lastToken(wide), [s.state, s.x, s.last], Math.ceil(wide / 64));
      const places = [{ matrix: head, bias: undefined, offset: 0 }];
      normed(places, one ? s.last : s.x, finalNorm, wanted);
      multiply(places, s.logits, this.vocabulary, wanted, false);
    }
    return { steps, attend };
  }
}
