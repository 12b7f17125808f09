/**
 * Low-bit layouts of Hugging Face folders read back as float weights: `quantization_config` says which layout, the
 * tensors beside a weight's name carry codes, scales and zero points. GPTQ (v1 and v2), AWQ gemm and compressed-tensors,
 * and bitsandbytes in a file of its own.
 */
import { defineErrors } from '../errors.ts';
import { isJsonObject, type Json } from '../files/json.ts';
import { elementCount, type TensorRef } from '../tensor-ref.ts';
import { readBitsAndBytes } from './bitsandbytes.ts';
import { readFloats } from '../files/values.ts';
import { valuesOf, type MatrixCodes } from '../formats/coded.ts';
import { packing } from '../formats/index.ts';
import { decodeE8M0, decodeMiniFloat, e2m1 } from '../formats/minifloat-code.ts';
import { lazyTensor } from '../graph/values.ts';

export interface DequantizedTensors {
  /** All tensors under the names that a float model has; low-bit ones decode to f32 when they are read. */
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Names of those that are low-bit in the file. */
  readonly lowBit: readonly string[];
}

const errors = defineErrors('quantizationConfig', {
  method: (f: { method: string }) => [`quant_method ${f.method} is not read`, 'known: gptq, awq (version gemm), compressed-tensors, bitsandbytes; or take the float model'] as const,
  field: (f: { field: string; value: string }) => `quantization_config: ${f.field} is ${f.value}`,
  missing: (f: { name: string; part: string }) => `weight ${f.name} has no tensor ${f.part} beside it`,
  type: (f: { name: string; part: string; type: string }) => `tensor ${f.name}.${f.part} has type ${f.type}, packed codes are i32`,
  shape: (f: { name: string; part: string; found: readonly number[] }) => `tensor ${f.name}.${f.part} has shape [${f.found.join(', ')}], which does not fit the others`,
});

type JsonObject = { readonly [key: string]: Json };
type Parts = ReadonlyMap<string, TensorRef>;
/** Makes the float weight [rows, cols] of a layer from the tensors under its name, or undefined when the layer is float. */
type Reader = (name: string, parts: Parts) => TensorRef | undefined;

/** The float view of a folder's tensors; the same tensors where nothing says they are quantized. */
export function dequantized(
  config: Readonly<Record<string, unknown>>, tensors: ReadonlyMap<string, TensorRef>, shapes: ReadonlyMap<string, readonly number[]>,
): DequantizedTensors {
  const quantization = config.quantization_config as Json | undefined;
  if (quantization === undefined || quantization === null) return { tensors, lowBit: [] };
  if (!isJsonObject(quantization)) throw errors.field({ field: 'quantization_config', value: 'not an object' });
  if (quantization.quant_method === 'bitsandbytes') return readBitsAndBytes(tensors, shapes);
  const read = readerOf(quantization, shapes);
  const layers = new Map<string, Map<string, TensorRef>>();
  for (const [name, tensor] of tensors) {
    const dot = name.lastIndexOf('.');
    const [layer, part] = [name.slice(0, dot), name.slice(dot + 1)];
    const parts = layers.get(layer) ?? layers.set(layer, new Map()).get(layer)!;
    parts.set(part, tensor);
  }
  const out = new Map<string, TensorRef>();
  const lowBit: string[] = [];
  for (const [layer, parts] of layers) {
    const name = `${layer}.weight`;
    const weight = read(name, parts);
    if (weight === undefined) for (const [part, tensor] of parts) out.set(`${layer}.${part}`, tensor);
    else {
      out.set(name, weight);
      lowBit.push(name);
      const bias = parts.get('bias');
      if (bias !== undefined) out.set(`${layer}.bias`, bias);
    }
  }
  return { tensors: out, lowBit };
}

function readerOf(config: JsonObject, shapes: ReadonlyMap<string, readonly number[]>): Reader {
  const { quant_method: method, version = 'gemm' } = config;
  switch (method) {
    case 'gptq': return gptqReader(whole(config, 'bits', gptqBits), config.checkpoint_format === 'gptq_v2' ? 'v2' : 'v1', isJsonObject(config.dynamic) ? shapes : new Map());
    case 'awq':
      if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') throw errors.field({ field: 'version', value: told(version) });
      whole(config, 'bits', [4]);
      return awqReader;
    case 'compressed-tensors': return compressedReader(config, shapes);
    default: throw errors.method({ method: typeof method === 'string' ? method.slice(0, 60) : told(method) });
  }
}

const told = (value: Json | undefined): string => (JSON.stringify(value) ?? 'missing').slice(0, 60);

function whole(config: JsonObject, field: string, allowed: readonly number[]): number {
  const value = config[field];
  if (typeof value !== 'number' || !allowed.includes(value)) throw errors.field({ field, value: told(value) });
  return value;
}

function need(name: string, parts: Parts, part: string): TensorRef {
  const tensor = parts.get(part);
  if (tensor === undefined) throw errors.missing({ name, part });
  return tensor;
}

const dims = (name: string, part: string, { shape }: TensorRef, rank: number): readonly number[] => {
  if (shape.length !== rank || shape.some((dim) => dim === 0)) throw errors.shape({ name, part, found: shape });
  return shape;
};

/** The packed words of a part: `count` of them where the rest of the layer tells how many. */
async function words(name: string, parts: Parts, part: string, count?: number): Promise<Int32Array> {
  const tensor = need(name, parts, part);
  if (tensor.type !== 'i32') throw errors.type({ name, part, type: tensor.type });
  if (count !== undefined && elementCount(tensor.shape) !== count) throw errors.shape({ name, part, found: tensor.shape });
  return new Int32Array((await tensor.read()).slice().buffer);
}
const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const floatWeight = (name: string, rows: number, cols: number, make: () => Promise<Float32Array>): TensorRef =>
  lazyTensor(name, 'f32', [rows, cols], async () => bytesOf(await make()));
/** The same of codes with groups of columns, which engines may multiply as they are. */
const codedWeight = (name: string, rows: number, cols: number, codes: () => Promise<MatrixCodes>): TensorRef => ({
  ...floatWeight(name, rows, cols, async () => valuesOf(await codes(), rows, cols)), coded: { read: codes },
});

/** [groups, rows] as [rows, groups]. */
const turned = (values: Float32Array, rows: number, groups: number): Float32Array => Float32Array.from(values, (_, i) => values[(i % groups) * rows + Math.floor(i / groups)]);

/** (q − z)·s with the group of every column. */
function affine(codes: ArrayLike<number>, rows: number, cols: number, groupOf: (col: number) => number, at: (row: number, group: number) => { scale: number; zero: number }): Float32Array {
  const out = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const { scale, zero } = at(r, groupOf(c));
      out[r * cols + c] = (codes[r * cols + c] - zero) * scale;
    }
  }
  return out;
}

const gptqBits = [2, 3, 4, 8];

/** Layers with bits of their own are told by patterns; what the words of a layer make of its width says the same. */
const gptqReader = (common: number, labelled: packing.GptqVersion, shapes: ReadonlyMap<string, readonly number[]>): Reader => (name, parts) => {
  const qweight = parts.get('qweight');
  if (qweight === undefined) return undefined;
  const [packed, rows] = dims(name, 'qweight', qweight, 2);
  const bits = gptqBits.find((one) => (packed * 32) / one === shapes.get(name)?.[1]) ?? common;
  const cols = (packed * 32) / bits;
  const [groups, scaleRows] = dims(name, 'scales', need(name, parts, 'scales'), 2);
  if (scaleRows !== rows || !Number.isInteger(cols)) throw errors.shape({ name, part: 'scales', found: [groups, scaleRows] });
  const group = Math.ceil(cols / groups);
  const codes = async (): Promise<MatrixCodes> => {
    const qzeros = await words(name, parts, 'qzeros');
    // Labels lie: symmetric zeros say themselves which version they are.
    const version = packing.detectGptqVersion(qzeros, bits) ?? labelled;
    const zeros = packing.unpackGptqZeros(qzeros, rows, groups, bits, version);
    const scales = turned(await readFloats(need(name, parts, 'scales')), rows, groups);
    return { bits, codes: packing.unpackGptqWeight(await words(name, parts, 'qweight'), rows, cols, bits), group, scales, zeros };
  };
  const order = async (): Promise<Int32Array | undefined> => (parts.has('g_idx') ? words(name, parts, 'g_idx', cols) : undefined);
  /** Columns that were taken by importance belong to groups all over the row. */
  const inOrder = (places: Int32Array | undefined): boolean => places === undefined || places.every((place, c) => place === Math.floor(c / group));
  return {
    ...floatWeight(name, rows, cols, async () => {
      const [{ codes: found, scales, zeros }, places] = [await codes(), await order()];
      return affine(found, rows, cols, (c) => (places === undefined ? Math.floor(c / group) : Math.min(groups - 1, Math.max(0, places[c]))), (r, g) => ({ scale: scales[r * groups + g], zero: zeros![r * groups + g] }));
    }),
    coded: { read: async () => (inOrder(await order()) ? codes() : undefined) },
  };
};

const awqReader: Reader = (name, parts) => {
  const qweight = parts.get('qweight');
  if (qweight === undefined) return undefined;
  const [cols, packed] = dims(name, 'qweight', qweight, 2);
  const rows = packed * 8;
  const [groups, scaleRows] = dims(name, 'scales', need(name, parts, 'scales'), 2);
  if (scaleRows !== rows) throw errors.shape({ name, part: 'scales', found: [groups, scaleRows] });
  return codedWeight(name, rows, cols, async () => ({
    bits: 4, group: Math.ceil(cols / groups), codes: packing.unpackAwq(await words(name, parts, 'qweight'), rows, cols),
    zeros: packing.unpackAwq(await words(name, parts, 'qzeros'), rows, groups), scales: turned(await readFloats(need(name, parts, 'scales')), rows, groups),
  }));
};

/**
 * Layouts are told apart by the tensors a layer has; the bits of packed integers come from the configuration group that
 * names the layer. Other groups mean classes and patterns: of those the one counts whose words make the layer's width.
 */
function compressedReader(config: JsonObject, shapes: ReadonlyMap<string, readonly number[]>): Reader {
  const groups = isJsonObject(config.config_groups) ? Object.values(config.config_groups) : [];
  const missing = () => errors.field({ field: 'config_groups', value: `${groups.length} groups, each with weights is read` });
  if (groups.length === 0) throw missing();
  const known = groups.map((group) => {
    if (!isJsonObject(group) || !isJsonObject(group.weights)) throw missing();
    return { bits: whole(group.weights, 'num_bits', [1, 2, 3, 4, 5, 6, 7, 8]), targets: new Set(Array.isArray(group.targets) ? group.targets : []) };
  });
  const bitsOf = (name: string, { shape: packed }: TensorRef): number => {
    const cols = shapes.get(name)?.[1];
    const named = known.find(({ targets }) => targets.has(name.replace(/\.weight$/, '')));
    const fitting = known.find(({ bits }) => cols !== undefined && Math.ceil(cols / Math.floor(32 / bits)) === packed[1]);
    return (named ?? fitting ?? known[0]).bits;
  };
  return (name, parts) => {
    if (parts.has('weight_packed') && need(name, parts, 'weight_packed').type === 'u8') return fp4Weight(name, parts);
    if (parts.has('weight_packed')) return packedWeight(name, parts, bitsOf(name, need(name, parts, 'weight_packed')), shapes.get(name));
    return parts.has('weight_scale') ? scaledWeight(name, parts) : undefined;
  };
}

/** The width is what the configuration says the layer has: packed words hold up to a word more. */
function packedWeight(name: string, parts: Parts, bits: number, shape: readonly number[] | undefined): TensorRef {
  const packed = need(name, parts, 'weight_packed');
  const [rows, wordsPerRow] = dims(name, 'weight_packed', packed, 2);
  const scale = need(name, parts, 'weight_scale');
  const [scaleRows, groups] = dims(name, 'weight_scale', scale, 2);
  const perWord = Math.floor(32 / bits);
  const cols = shape?.[1] ?? wordsPerRow * perWord;
  if (scaleRows !== rows || Math.ceil(cols / perWord) !== wordsPerRow) throw errors.shape({ name, part: 'weight_packed', found: packed.shape });
  return codedWeight(name, rows, cols, async () => ({
    bits, group: Math.ceil(cols / groups), codes: packing.unpackQuantized(await words(name, parts, 'weight_packed'), rows, cols, bits), scales: await readFloats(scale),
    ...(parts.has('weight_zero_point') ? { zeros: packing.unpackQuantizedZeros(await words(name, parts, 'weight_zero_point'), rows, groups, bits) } : {}),
  }));
}

/** int8 or FP8 codes with scales per tensor, row, group or block. */
function scaledWeight(name: string, parts: Parts): TensorRef {
  const weight = need(name, parts, 'weight');
  const scale = need(name, parts, 'weight_scale');
  const [rows, cols] = dims(name, 'weight', weight, 2);
  const sides = async () => {
    const scales = await readFloats(scale);
    // A list of as many scales as rows has one for each.
    const [scaleRows, scaleCols] = scale.shape.length === 2 ? scale.shape : scales.length === rows ? [rows, 1] : [1, scales.length];
    const zeros = parts.has('weight_zero_point') ? await readFloats(need(name, parts, 'weight_zero_point')) : undefined;
    if (scaleRows > rows || scaleCols > cols || scaleRows === 0 || scaleCols === 0) throw errors.shape({ name, part: 'weight_scale', found: scale.shape });
    const [height, group] = [Math.ceil(rows / scaleRows), Math.ceil(cols / scaleCols)];
    return { scales, zeros, group, scaleCols, placeOf: (r: number, g: number) => Math.floor(r / height) * scaleCols + g };
  };
  const floats = floatWeight(name, rows, cols, async () => {
    const { scales, zeros, group, placeOf } = await sides();
    return affine(await readFloats(weight), rows, cols, (c) => Math.floor(c / group), (r, g) => ({ scale: scales[placeOf(r, g)], zero: zeros?.[placeOf(r, g)] ?? 0 }));
  });
  if (weight.type !== 'i8') return floats;
  return {
    ...floats,
    coded: {
      async read() {
        const { scales, zeros, group, scaleCols, placeOf } = await sides();
        const laid = (of: (at: number) => number): Float32Array => Float32Array.from({ length: rows * scaleCols }, (_, i) => of(placeOf(Math.floor(i / scaleCols), i % scaleCols)));
        const codes = (await weight.read()).map((code) => code ^ 128);
        return { bits: 8, codes, group, scales: laid((at) => scales[at]), ...(zeros === undefined ? {} : { zeros: laid((at) => zeros[at] + 128) }) };
      },
    },
  };
}

/** NVFP4 (a divisor for the whole tensor beside E4M3 block scales) and MXFP4 (E8M0 block scales). */
function fp4Weight(name: string, parts: Parts): TensorRef {
  const packed = need(name, parts, 'weight_packed');
  const [rows, half] = dims(name, 'weight_packed', packed, 2);
  const cols = half * 2;
  const scale = need(name, parts, 'weight_scale');
  const [scaleRows, groups] = dims(name, 'weight_scale', scale, 2);
  if (scaleRows !== rows || cols % groups !== 0) throw errors.shape({ name, part: 'weight_scale', found: [scaleRows, groups] });
  const levels = Float32Array.from({ length: 16 }, (_, code) => decodeMiniFloat(code, e2m1));
  const group = cols / groups;
  const read = async () => {
    const raw = await scale.read();
    const scales = scale.type === 'u8' ? Float32Array.from(raw, decodeE8M0) : await readFloats(scale);
    const whole = parts.get('weight_global_scale');
    if (whole !== undefined && elementCount(whole.shape) !== 1) throw errors.shape({ name, part: 'weight_global_scale', found: whole.shape });
    return { codes: packing.unpackFp4(await packed.read()), scales, divisor: whole === undefined ? 1 : (await readFloats(whole))[0] };
  };
  return {
    ...floatWeight(name, rows, cols, async () => {
      const { codes, scales, divisor } = await read();
      return Float32Array.from(codes, (code, i) => (levels[code] * scales[Math.floor(i / cols) * groups + Math.floor((i % cols) / group)]) / divisor);
    }),
    coded: {
      async read() {
        const { codes, scales, divisor } = await read();
        return { bits: 4, codes, levels, group, scales: scales.map((value) => value / divisor) };
      },
    },
  };
}
