/** A model of the Llama family as buffers of a WebGPU device. */
import { cacheBytes, leftFloats, partPositions, partTokens, stateBytes, type AttentionShape } from '../engine/webgpu/attention-shape.ts';
import { usage, type Gpu } from '../engine/webgpu/gpu.ts';
import { groupSize, inputBytes, type InputKind } from '../engine/webgpu/inputs.ts';
import { vectorTokens } from '../engine/webgpu/shapes.ts';
import { readFloats } from '../files/values.ts';
import type { LlamaConfig } from '../models/llama-config.ts';
import { embeddingName, headName, layerName } from '../models/llama-weights.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { eachTurn } from './turns.ts';
import { alike, inputsFor, laidMatrix, uploadMatrix, type GpuMatrix, type LaidMatrix } from './webgpu-matrix.ts';

/** Tokens that go through the layers together at most. */
export const chunk = 256;

/** A matrix with what is added to its results, and where they go. */
export interface Place { readonly matrix: GpuMatrix; readonly bias: GPUBuffer | undefined; readonly offset: number }

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

export interface Parts { readonly layers: readonly Layer[]; readonly embedding: GpuMatrix; readonly head: GpuMatrix; readonly finalNorm: GPUBuffer; readonly scratch: Scratch }

/** All weights of a model on the device, and room for what tokens pass through. */
export async function uploadModel(gpu: Gpu, config: LlamaConfig, tensors: ReadonlyMap<string, TensorRef>, shape: AttentionShape, inputs: InputKind, onTensor: ((name: string, done: number, total: number) => void) | undefined): Promise<Parts> {
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
    const laid = new Map<string, LaidMatrix>();
    for (const part of parts) laid.set(part, await laidMatrix(tensors.get(`${part}.weight`)!));
    const together = [...laid.values()].every((one) => alike(one, laid.get(parts[0])!) && one.tensor.shape[0] % 2 === 0);
    const places: Place[] = [];
    let offset = 0;
    for (const members of together ? [parts] : parts.map((part) => [part])) {
      const own = members.map((part) => laid.get(part)!);
      places.push({ matrix: await uploadMatrix(gpu, own), bias: await vector(members.map((part) => `${part}.bias`), 0), offset });
      for (const { tensor: { name, shape: [rows] } } of own) {
        took(name);
        offset += rows;
      }
    }
    return places;
  };
  const matrix = async (name: string): Promise<GpuMatrix> => {
    const made = await uploadMatrix(gpu, [await laidMatrix(tensors.get(name)!)]);
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
function turns(config: LlamaConfig, context: number): Float32Array {
  const table = new Float32Array(context * config.headDim);
  eachTurn(config, context, (at, cosine, sine) => {
    table[2 * at] = cosine;
    table[2 * at + 1] = sine;
  });
  return table;
}
