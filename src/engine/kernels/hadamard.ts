/** Hadamard transforms as WASM SIMD, the bits of `hadamardTransform`, which judges them. */
import { hadamardTransform } from '../../numeric/hadamard.ts';
import { hadamardWasm } from './hadamard.wasm.ts';
import { growTo, kernelsOver } from './instance.ts';

interface HadamardExports { transform(x: number, count: number, order: number, scale: number, scratch: number): void }

/** Over a memory: `count` runs of `order` float32 values in place, `order` a power of two from 4 on; `scratch` holds `order` float64. */
export function hadamardKernel(memory: WebAssembly.Memory): (x: number, count: number, order: number, scratch: number) => void {
  const { transform } = kernelsOver<HadamardExports>(hadamardWasm(), memory);
  return (x, count, order, scratch) => transform(x, count, order, 1 / Math.sqrt(order), scratch);
}

/** Values taken at a time: they stay in the second-level cache. */
const chunkValues = 1 << 16;
/** Longer runs are left to the plain transform, so that the memory stays small. */
const longest = 1 << 20;

let own: { readonly memory: WebAssembly.Memory; readonly run: ReturnType<typeof hadamardKernel> } | undefined;

/** Every run of `order` values multiplied by the matrix, as `hadamardTransform` does it. */
export function hadamardFast(values: Float32Array, order: number): Float32Array {
  if (order < 4 || order > longest || (order & (order - 1)) !== 0 || values.length % order !== 0) return hadamardTransform(values, order);
  if (own === undefined) {
    const memory = new WebAssembly.Memory({ initial: 1 });
    own = { memory, run: hadamardKernel(memory) };
  }
  const chunk = Math.max(order, chunkValues);
  growTo(own.memory, 4 * chunk + 8 * order);
  const held = new Float32Array(own.memory.buffer, 0, chunk);
  const out = new Float32Array(values.length);
  for (let begin = 0; begin < values.length; begin += chunk) {
    const part = values.subarray(begin, begin + chunk);
    held.set(part);
    own.run(0, part.length / order, order, 4 * chunk);
    out.set(held.subarray(0, part.length), begin);
  }
  return out;
}
