/** A model of the Llama family on WebGPU: tokens in, logits out, weights, keys and values on the device. */
import { defineErrors } from '../errors.ts';
import { attendMerge } from '../engine/webgpu/attend-merge.ts';
import { attendParts } from '../engine/webgpu/attend-parts.ts';
import { attendTiles, attentionTile, type AttentionTile } from '../engine/webgpu/attend-tiles.ts';
import { cacheBytes, leftFloats, partPositions, partTokens, stateBytes, type AttentionShape } from '../engine/webgpu/attention-shape.ts';
import { embed } from '../engine/webgpu/embed.ts';
import { Gpu, usage, type Step } from '../engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../engine/webgpu/inputs.ts';
import { lastToken } from '../engine/webgpu/last-token.ts';
import { matrixTiles } from '../engine/webgpu/matrix-tiles.ts';
import { matrixVector } from '../engine/webgpu/matrix-vector.ts';
import { rmsNorm } from '../engine/webgpu/rms-norm.ts';
import { rotate } from '../engine/webgpu/rotate.ts';
import { siluTimes } from '../engine/webgpu/silu-times.ts';
import { tileShape, vectorShape, vectorTokens } from '../engine/webgpu/shapes.ts';
import { readFloats } from '../files/values.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import { embeddingName, headName, layerName } from '../models/llama-weights.ts';
import { inverseFrequencies } from '../models/rope.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { inputsFor, layoutOf, uploadMatrix, type GpuMatrix } from './webgpu-matrix.ts';

const errors = defineErrors('webgpuDecoder', {
  activation: (f: { activation: string }) => `models with ${f.activation} between their layers are not run by the low-bit engine`,
  width: (f: { what: string; value: number; by: number }) => `${f.what} of ${f.value} is not a multiple of ${f.by}, which the WebGPU engine needs`,
  context: (f: { tokens: number; context: number }) => [`${f.tokens} tokens do not fit into a context of ${f.context}`, 'shorten the prompt, ask for fewer tokens, or give a longer --context'],
  token: (f: { id: number; vocabulary: number }) => `token ${f.id} is outside of the vocabulary of ${f.vocabulary}`,
});

/** Tokens that go through the layers together at most. */
const chunk = 256;

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

/** A matrix with what is added to its results, and where they go. */
interface Place { readonly matrix: GpuMatrix; readonly bias: GPUBuffer | undefined; readonly offset: number }

interface Layer {
  readonly qkv: readonly Place[];
  readonly o: readonly Place[];
  readonly gateUp: readonly Place[];
  readonly down: readonly Place[];
  readonly before: GPUBuffer;
  readonly after: GPUBuffer;
  readonly headNorms: GPUBuffer | undefined;
  readonly keys: GPUBuffer;
  readonly values: GPUBuffer;
}

/** What a chunk of tokens passes through. */
interface Scratch {
  readonly ids: GPUBuffer; readonly state: GPUBuffer; readonly x: GPUBuffer; readonly last: GPUBuffer;
  /** Inputs of products, by kind: as wide as the widest. */
  readonly inputs: Readonly<Record<InputKind, readonly GPUBuffer[]>>;
  readonly qkv: GPUBuffer; readonly left: GPUBuffer; readonly gateUp: GPUBuffer; readonly logits: GPUBuffer; readonly angles: GPUBuffer;
}

/** Steps of a number of tokens, and those among them whose size grows with the cache. */
interface Plan { readonly steps: readonly Step[]; readonly attend: readonly Step[] }

interface Parts { readonly layers: readonly Layer[]; readonly embedding: GpuMatrix; readonly head: GpuMatrix; readonly finalNorm: GPUBuffer; readonly scratch: Scratch }

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
    const by = halfCache ? 8 : 4;
    if (config.headDim % by !== 0) throw errors.width({ what: 'a head', value: config.headDim, by });
    const gpu = options.gpu ?? await Gpu.open({ gpu: options.adapters });
    try {
      const inputs = options.inputs === 'half' && !gpu.able.half ? 'float' : options.inputs ?? 'rounded';
      const shape: AttentionShape = { heads: config.heads, kvHeads: config.kvHeads, headDim: config.headDim, context: Math.ceil(context / 64) * 64, cache: halfCache ? 'half' : 'float' };
      const parts = await upload(gpu, config, tensors, shape, inputs, options.onTensor);
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
          const shape = tileShape(tokens, inputs, gpu.workgroupBytes);
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

async function upload(gpu: Gpu, config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, shape: AttentionShape, inputs: InputKind, onTensor: WebGpuOptions['onTensor']): Promise<Parts> {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize } = config;
  let done = 0;
  const took = (name: string): void => onTensor?.(name, ++done, tensors.size);
  const wide = Math.ceil(hiddenSize / groupSize) * groupSize;
  const vector = async (names: readonly string[], width = wide): Promise<GPUBuffer | undefined> => {
    if (names.every((name) => !tensors.has(name))) return undefined;
    const values = new Float32Array(Math.max(width, names.reduce((sum, name) => sum + (tensors.get(name)?.shape[0] ?? 0), 0)));
    let at = 0;
    for (const name of names) {
      values.set(await readFloats(tensors.get(name)!), at);
      at += tensors.get(name)!.shape[0];
      took(name);
    }
    return gpu.buffer(names[0], values);
  };
  /** Matrices that read the same inputs: one where their layouts agree, else each by itself. */
  const matrices = async (parts: readonly string[]): Promise<Place[]> => {
    const refs = parts.map((part) => tensors.get(`${part}.weight`)!);
    const together = refs.every((ref) => layoutOf(ref) === layoutOf(refs[0]) && ref.shape[0] % 2 === 0);
    const places: Place[] = [];
    let offset = 0;
    for (const members of together ? [parts] : parts.map((part) => [part])) {
      const own = members.map((part) => tensors.get(`${part}.weight`)!);
      places.push({ matrix: await uploadMatrix(gpu, own), bias: await vector(members.map((part) => `${part}.bias`), 0), offset });
      for (const { name, shape: [rows] } of own) {
        took(name);
        offset += rows;
      }
    }
    return places;
  };
  const matrix = async (name: string): Promise<GpuMatrix> => {
    const made = await uploadMatrix(gpu, [tensors.get(name)!]);
    took(name);
    return made;
  };
  const embedding = await matrix(embeddingName);
  const layers: Layer[] = [];
  for (let i = 0; i < config.layers.length; i++) {
    const of = (part: string): string => layerName(i, part);
    layers.push({
      qkv: await matrices(['q', 'k', 'v'].map((name) => of(`self_attn.${name}_proj`))),
      o: await matrices([of('self_attn.o_proj')]),
      gateUp: await matrices([of('mlp.gate_proj'), of('mlp.up_proj')]),
      down: await matrices([of('mlp.down_proj')]),
      before: (await vector([of('input_layernorm.weight')]))!,
      after: (await vector([of('post_attention_layernorm.weight')]))!,
      headNorms: await vector([of('self_attn.q_norm.weight'), of('self_attn.k_norm.weight')], 0),
      keys: gpu.buffer('keys', cacheBytes(shape)), values: gpu.buffer('values', cacheBytes(shape)),
    });
  }
  const finalNorm = (await vector(['model.norm.weight']))!;
  const head = config.tied ? embedding : await matrix(headName);
  const widest = Math.max(...[hiddenSize, intermediateSize, heads * headDim].map((width) => Math.ceil(width / groupSize)));
  const used = new Set([...layers.flatMap(({ qkv, o, gateUp, down }) => [...qkv, ...o, ...gateUp, ...down]).map(({ matrix: { layout } }) => layout), head.layout].map((layout) => inputsFor(layout, inputs)));
  const inputBuffers = (kind: InputKind): GPUBuffer[] => (used.has(kind) ? inputBytes[kind].map((bytes) => gpu.buffer('inputs', chunk * widest * bytes)) : []);
  const left = Math.max(chunk, partTokens * Math.ceil(shape.context / partPositions)) * heads * leftFloats(headDim);
  return {
    layers, embedding, head, finalNorm,
    scratch: {
      ids: gpu.buffer('ids', 4 * chunk), state: gpu.buffer('state', stateBytes, usage.uniform),
      x: gpu.buffer('x', 4 * chunk * wide), last: gpu.buffer('last', 4 * wide),
      inputs: { float: inputBuffers('float'), half: inputBuffers('half'), rounded: inputBuffers('rounded') },
      qkv: gpu.buffer('qkv', 4 * chunk * (heads + 2 * kvHeads) * headDim), left: gpu.buffer('left', 4 * left),
      gateUp: gpu.buffer('gate and up', 8 * chunk * intermediateSize), logits: gpu.buffer('logits', 4 * vectorTokens * vocabSize),
      angles: gpu.buffer('angles', turns(config, shape.context)),
    },
  };
}

/** Cosines and sines [context, headDim / 2, 2]. */
function turns({ rope, headDim }: LlamaConfig, context: number): Float32Array {
  const half = headDim / 2;
  const scale = rope.kind === 'yarn' ? rope.attentionFactor : 1;
  const frequencies = inverseFrequencies(rope, headDim);
  const table = new Float32Array(2 * context * half);
  for (let p = 0; p < context; p++) {
    for (let i = 0; i < half; i++) {
      // Turned by angles in float32, as in the exported graphs.
      const angle = Math.fround(Math.fround(frequencies[i]) * p);
      table[2 * (p * half + i)] = Math.cos(angle) * scale;
      table[2 * (p * half + i) + 1] = Math.sin(angle) * scale;
    }
  }
  return table;
}
