/**
 * Encoders of ggml block types as WASM SIMD. They give the bytes of the plain codecs in formats/ggml, which judge them:
 * one sub-block per lane, every lane with the float operations of the plain search in the same order.
 */
import { blockTypes } from '../../tensor-ref.ts';
import type { TensorType } from '../../tensor-ref.ts';
import type { GgmlType } from '../../formats/ggml/index.ts';
import { ggmlWasm } from './ggml.wasm.ts';
import { exportsOf, growTo } from './instance.ts';

/** Types that have a kernel, and whether it also serves where there are importance weights (some types ignore them). */
const kernels = {
  q2_k: { weighted: true }, q3_k: { weighted: true }, q4_k: { weighted: true }, q5_k: { weighted: true }, q6_k: { weighted: true },
  iq4_nl: { weighted: true }, iq4_xs: { weighted: true },
  q4_0: { weighted: true }, q5_0: { weighted: true }, q4_1: { weighted: false }, q5_1: { weighted: false },
  q8_0: { weighted: true }, mxfp4: { weighted: true }, nvfp4: { weighted: true },
} as const satisfies Partial<Record<GgmlType, { weighted: boolean }>>;
type KernelType = keyof typeof kernels;

/** Packs `blocks` blocks from float32 values; `importance` is the address of the weights of their columns, or 0. */
type Encoder = (values: number, blocks: number, importance: number, to: number) => void;

/** Converts values to float32 (or looks at them where they are); 1 when one of them is not finite. */
type Converter = (from: number, count: number, to: number) => number;

interface GgmlExports extends Record<KernelType, Encoder> {
  readonly memory: WebAssembly.Memory;
  heap(): number;
  readonly f16: Converter;
  readonly bf16: Converter;
  f32check(values: number, count: number): number;
}

let instance: GgmlExports | undefined;

function start(): GgmlExports {
  if (!instance) {
    instance = exportsOf<GgmlExports>(new WebAssembly.Module(ggmlWasm()));
  }
  return instance;
}

/** Values converted and encoded together; their float32 form stays in the first-level cache. */
const stripValues = 4096;
/** Kernels take four blocks of 32 at a time and may read and write that far beyond the end. */
const slack = 1024;

const align = (address: number): number => (address + 63) & ~63;
const width = { f32: 4, f16: 2, bf16: 2 } as const;
export type FloatType = keyof typeof width;

/** Whether `encodeBlocksFast` has a kernel for this. */
export const hasKernel = (type: TensorType, weighted: boolean): type is KernelType =>
  Object.hasOwn(kernels, type) && (!weighted || kernels[type as KernelType].weighted);

/**
 * Packs a row-major [rows, cols] matrix of floats, stored as `source`, into blocks. Shapes and importance are the
 * caller's to check. Undefined when a value is not finite.
 */
export function encodeBlocksFast(
  type: KernelType, source: FloatType, bytes: Uint8Array, rows: number, cols: number, importance?: Float32Array,
): Uint8Array<ArrayBuffer> | undefined {
  const kernel = start();
  const { block, bytes: blockBytes } = blockTypes[type];
  const out = new Uint8Array((rows * cols / block) * blockBytes);
  // Importance belongs to columns, so that weighted strips are whole rows.
  const step = importance ? cols : stripValues;
  const size = Math.min(step, rows * cols);
  const weights = align(kernel.heap());
  const values = align(weights + (importance ? 4 * cols + slack : 0));
  const raw = align(values + 4 * size + slack);
  const packed = align(raw + 4 * size + slack);
  const end = packed + (size / block) * blockBytes + slack;
  growTo(kernel.memory, end);
  const memory = new Uint8Array(kernel.memory.buffer);
  if (importance) new Float32Array(memory.buffer, weights, cols).set(importance);
  const at = source === 'f32' ? values : raw;
  for (let begin = 0; begin < rows * cols; begin += step) {
    const count = Math.min(step, rows * cols - begin);
    memory.set(bytes.subarray(begin * width[source], (begin + count) * width[source]), at);
    const infinite = source === 'f32' ? kernel.f32check(values, count) : kernel[source](raw, count, values);
    if (infinite) return undefined;
    const blocks = count / block;
    kernel[type](values, blocks, importance ? weights : 0, packed);
    out.set(memory.subarray(packed, packed + blocks * blockBytes), (begin / block) * blockBytes);
  }
  return out;
}
