/**
 * Attention of one head as WASM SIMD, over any memory: in float32, and with 4-bit or 8-bit products of queries and keys
 * (SageAttention2). Layouts and the order of operations are described in kernels/attention/index.ts; the plain twins in
 * attention-plain.ts give the same bits.
 */
import { defineErrors } from '../../errors.ts';
import { attentionRelaxedWasm } from './attention-relaxed.wasm.ts';
import { attentionWasm } from './attention.wasm.ts';
import { fasterOf, type Build } from './builds.ts';
import { kernelsOver } from './instance.ts';

const errors = defineErrors('attention', {
  width: (f: { width: number }) => `heads of ${f.width} channels: attention kernels need a multiple of 4`,
});

/** Query rows that run together, query rows whose mean is taken out together, and keys of a tile. */
export const blockRows = 32;
export const smoothedRows = 128;
export const tileKeys = 64;
/** Largest code of probabilities and of values. */
export const valueCodes = 4095;

/** Rows that share a scale: each its own, as a GPU's thread holds them, 32 queries and 64 keys, or 128 queries and 64 keys. */
export const groupings = ['token', 'thread', 'warp', 'tile'] as const;
export type Grouping = (typeof groupings)[number];

export interface LowBitAttention {
  readonly bits: 4 | 8;
  /** Default `thread`. */
  readonly grouping?: Grouping;
  /** Whose means are taken out before rounding; default all three. */
  readonly smooth?: { readonly queries: boolean; readonly keys: boolean; readonly values: boolean };
}

/** Row r sees keys [max(0, h − window), h) with h = min(keys, shown + r · step). */
export interface Visible { readonly shown: number; readonly step: 0 | 1; readonly window?: number }

/** A head in memory: addresses and strides in bytes, keys and values with one stride. */
export interface KeysPlace { readonly keys: number; readonly values: number; readonly stride: number; readonly count: number; readonly width: number }
export interface QueriesPlace { readonly query: number; readonly queryStride: number; readonly rows: number; readonly out: number; readonly outStride: number; readonly scale: number; readonly visible: Visible }

export interface AttentionKernels {
  /** Keys and values as `attendFloat` reads them, at an address with room for `packedFloatBytes`. */
  packFloat(head: KeysPlace, to: number): void;
  attendFloat(queries: QueriesPlace, head: KeysPlace, packed: number, scratch: number): void;
  /** The same in codes, with room for `packedCodeBytes`; `scratch` takes `codeScratchBytes`. */
  packCodes(head: KeysPlace, how: LowBitAttention, scratch: number, to: number): void;
  attendCodes(queries: QueriesPlace, head: KeysPlace, how: LowBitAttention, packed: number, scratch: number): void;
}

const wideOf = (width: number): number => Math.ceil(width / 8) * 8;
const tilesOf = (count: number): number => Math.ceil(count / tileKeys);

export const packedFloatBytes = (count: number, width: number): number => tilesOf(count) * wideOf(width) * 512;
export const packedCodeBytes = (count: number, width: number): number => tilesOf(count) * (wideOf(width) * 512 + 256) + 8 * wideOf(width);
export const floatScratchBytes = (width: number): number => 4 * blockRows * (3 * wideOf(width) + tileKeys + 4);
export const codeScratchBytes = (count: number, width: number): number =>
  smoothedRows * (6 * wideOf(width) + 8) + 4 * wideOf(width) + blockRows * (8 * wideOf(width) + 6 * tileKeys + 16) + 4 * tileKeys * tilesOf(count);

/** Largest code, number of the grouping, and what is smoothed. */
export function lowBitSettings({ bits, grouping = 'thread', smooth = { queries: true, keys: true, values: true } }: LowBitAttention) {
  return { largest: 2 ** (bits - 1) - 1, grouping: groupings.indexOf(grouping), smooth };
}

type Exports = Readonly<Record<'packFloat' | 'attendFloat' | 'packCodes' | 'attendCodes', (...args: number[]) => void>>;
const everyKey = 2 ** 31 - 1;

/** Kernels over a memory, shared or not, in the fastest build that passes its test here, or in one that is asked for; codes are read by the build that packed them. */
export function attentionKernels(memory: WebAssembly.Memory, build: Build = fastestAttention()): AttentionKernels {
  const run = kernelsOver<Exports>(build === 'relaxed SIMD' ? attentionRelaxedWasm() : attentionWasm(), memory);
  return {
    packFloat: ({ keys, values, stride, count, width }, to) => run.packFloat(keys, values, stride, count, width, to),
    attendFloat: ({ query, queryStride, rows, scale, visible: { shown, step, window = everyKey }, out, outStride }, { count, width }, packed, scratch) =>
      run.attendFloat(query, queryStride, rows, width, packed, count, scale, shown, step, window, scratch, out, outStride),
    packCodes({ keys, values, stride, count, width }, how, scratch, to) {
      const { largest, grouping, smooth } = lowBitSettings(how);
      run.packCodes(keys, values, stride, count, width, grouping, largest, Number(smooth.keys), Number(smooth.values), scratch, to);
    },
    attendCodes({ query, queryStride, rows, scale, visible: { shown, step, window = everyKey }, out, outStride }, { count, width }, how, packed, scratch) {
      const { largest, grouping, smooth } = lowBitSettings(how);
      run.attendCodes(query, queryStride, rows, width, packed, count, scale, shown, step, window, grouping, largest, Number(smooth.queries), scratch, out, outStride);
    },
  };
}

/** The build that is taken here. */
export const fastestAttention = (): Build => fasterOf(attentionRelaxedWasm, agree);

/** Whether both builds give the same bits for extreme and mixed codes. */
function agree(): boolean {
  const [rows, width] = [12, 64];
  const values = (step: number): Float32Array => Float32Array.from({ length: rows * width }, (_, i) => (i % 2 === 0 ? (i % 3 === 0 ? 1 : -1) : ((i * step) % 255) / 127 - 1));
  const inputs: AttentionInputs = { query: values(29), keys: values(53), values: values(97), heads: 1, kvHeads: 1, width };
  return ([4, 8] as const).every((bits) => {
    const lowBit: LowBitAttention = { bits, smooth: { queries: false, keys: false, values: false } };
    const [plain, relaxed] = (['plain SIMD', 'relaxed SIMD'] as const).map((build) => attention(inputs, { lowBit }, build));
    return plain.every((value, i) => value === relaxed[i]);
  });
}

/** Queries [heads, rows, width], keys and values [kvHeads, keys, width]; query head h reads head ⌊h · kvHeads / heads⌋. */
export interface AttentionInputs {
  readonly query: Float32Array; readonly keys: Float32Array; readonly values: Float32Array;
  readonly heads: number; readonly kvHeads: number; readonly width: number;
}
export interface AttentionOptions {
  /** Default all keys for every row. */
  readonly visible?: Visible;
  /** Default 1 / √width. */
  readonly scale?: number;
  /** Default float32. */
  readonly lowBit?: LowBitAttention;
}

/** Sees the keys before it and its own, the last row all of them. */
export const causal = (rows: number, keys: number, window?: number): Visible => ({ shown: keys - rows + 1, step: 1, ...(window === undefined ? {} : { window }) });

/** Sizes and settings that inputs and options leave to be worked out. */
export function resolved({ query, keys, heads, kvHeads, width }: AttentionInputs, { visible, scale = 1 / Math.sqrt(width) }: AttentionOptions) {
  const count = keys.length / (kvHeads * width);
  return { rows: query.length / (heads * width), count, scale, visible: visible ?? { shown: count, step: 0 as const } };
}

/** Attention of arrays: outputs [heads, rows, width]. */
export function attention(inputs: AttentionInputs, options: AttentionOptions = {}, build?: Build): Float32Array {
  const { heads, kvHeads, width } = inputs;
  const { rows, count, scale, visible } = resolved(inputs, options);
  if (width % 4 !== 0) throw errors.width({ width });
  const { lowBit } = options;
  let end = 1024;
  const take = (bytes: number): number => {
    const at = end;
    end += Math.ceil(bytes / 64) * 64;
    return at;
  };
  const [query, out, keys, values] = [inputs.query, inputs.query, inputs.keys, inputs.values].map(({ byteLength }) => take(byteLength));
  const packed = take(lowBit === undefined ? packedFloatBytes(count, width) : packedCodeBytes(count, width));
  const scratch = take(lowBit === undefined ? floatScratchBytes(width) : codeScratchBytes(count, width));
  const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536) });
  const floats = new Float32Array(memory.buffer);
  floats.set(inputs.query, query / 4);
  floats.set(inputs.keys, keys / 4);
  floats.set(inputs.values, values / 4);
  const kernels = attentionKernels(memory, build);
  const bytes = 4 * width;
  for (let kv = 0; kv < kvHeads; kv++) {
    const head: KeysPlace = { keys: keys + kv * count * bytes, values: values + kv * count * bytes, stride: bytes, count, width };
    if (lowBit === undefined) kernels.packFloat(head, packed);
    else kernels.packCodes(head, lowBit, scratch, packed);
    for (let h = 0; h < heads; h++) {
      if (Math.floor((h * kvHeads) / heads) !== kv) continue;
      const place: QueriesPlace = { query: query + h * rows * bytes, queryStride: bytes, rows, out: out + h * rows * bytes, outStride: bytes, scale, visible };
      if (lowBit === undefined) kernels.attendFloat(place, head, packed, scratch);
      else kernels.attendCodes(place, head, lowBit, packed, scratch);
    }
  }
  return floats.slice(out / 4, out / 4 + inputs.query.length);
}
