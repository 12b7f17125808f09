/** Integers read at fewer bits as WASM SIMD, code for code what `narrowCodes` gives, which judges it. */
import type { NarrowingRule } from '../../formats/nested-integer.ts';
import { exportsOf, growTo } from './instance.ts';
import { nestedWasm } from './nested.wasm.ts';

/** See kernels/nested/index.ts. */
interface NestedExports {
  readonly memory: WebAssembly.Memory;
  heap(): number;
  narrow(codes: number, count: number, shift: number, rounds: number): void;
}

let instance: NestedExports | undefined;

function start(): NestedExports {
  if (!instance) {
    instance = exportsOf<NestedExports>(new WebAssembly.Module(nestedWasm()));
    growTo(instance.memory, instance.heap() + strip);
  }
  return instance;
}

/** Codes taken at a time: they stay in the first-level cache while they are copied in, narrowed and copied out. */
const strip = 1 << 14;

/** Codes of 8 bits as codes of `low` bits, 2 to 8, by the rule. */
export function narrowBytes(codes: Int8Array, low: number, rule: NarrowingRule = 'round'): Int8Array {
  const out = new Int8Array(codes.length);
  if (low === 8) out.set(codes);
  if (low === 8 || codes.length === 0) return out;
  const kernel = start();
  const at = kernel.heap();
  const memory = new Int8Array(kernel.memory.buffer, at, strip);
  for (let begin = 0; begin < codes.length; begin += strip) {
    const part = codes.subarray(begin, begin + strip);
    memory.set(part);
    kernel.narrow(at, (part.length + 15) & ~15, 8 - low, rule === 'round' ? 1 : 0);
    out.set(memory.subarray(0, part.length), begin);
  }
  return out;
}
