/**
 * The loops of optimizers as WASM SIMD, bit for bit those of `plainUpdates`. Arrays live in the kernel's memory from the
 * start, and the engine writes gradients there where it can, so that a step copies nothing.
 */
import { exportsOf } from './instance.ts';
import { plainUpdates, type UpdateLoops } from './optimizer-plain.ts';
import { optimizerWasm } from './optimizer.wasm.ts';

/** See kernels/optimizer/index.ts. */
interface OptimizerExports {
  heap(): number;
  descend(p: number, g: number, count: number, shrink: number, rate: number): void;
  roll(p: number, g: number, v: number, count: number, rate: number, decay: number, momentum: number, ahead: number): void;
  adapt(
    p: number, g: number, m: number, v: number, count: number,
    shrink: number, coupled: number, beta1: number, rest1: number, beta2: number, rest2: number, size: number, spread: number, epsilon: number,
  ): void;
  mix(x: number, y: number, count: number, a: number, b: number): void;
  scale(x: number, count: number, factor: number): void;
  squares(x: number, count: number): number;
}

/** Arrays, zero at the start, and the loops over them; other arrays are taken as well, by plain loops. */
export interface UpdateRoom {
  array(length: number): Float32Array;
  readonly loops: UpdateLoops;
}

let compiled: WebAssembly.Module | undefined;

/** Each array begins on a cache line. */
const line = 16;
const padded = (length: number): number => Math.ceil(length / line) * line;

/** Fewer numbers than these are not worth a memory of their own. */
const fewest = 1 << 14;
/** 2 GiB: what every browser gives to one memory. */
const mostPages = 1 << 15;

/** Room for arrays of these lengths. */
export function roomFor(lengths: readonly number[]): UpdateRoom {
  const numbers = lengths.reduce((sum, length) => sum + padded(length), 0);
  const pages = Math.ceil((4 * numbers) / 65536) + 1;
  if (numbers < fewest || pages > mostPages) return { array: (length) => new Float32Array(length), loops: plainUpdates };
  compiled ??= new WebAssembly.Module(optimizerWasm());
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const kernel = exportsOf<OptimizerExports>(compiled, memory);
  let next = 4 * padded(kernel.heap() / 4);
  return {
    array(length) {
      const made = new Float32Array(memory.buffer, next, length);
      next += 4 * padded(length);
      return made;
    },
    loops: loopsIn(memory.buffer, kernel),
  };
}

function loopsIn(buffer: ArrayBuffer, kernel: OptimizerExports): UpdateLoops {
  const isHere = (...arrays: readonly Float32Array[]): boolean => arrays.every((array) => array.buffer === buffer && array.byteOffset % 16 === 0);
  // Past the end of an array lies what fills its last cache line.
  const fours = ({ length }: Float32Array): number => (length + 3) & ~3;
  return {
    descend(p, g, shrink, rate) {
      if (!isHere(p, g)) return plainUpdates.descend(p, g, shrink, rate);
      kernel.descend(p.byteOffset, g.byteOffset, fours(p), shrink, rate);
    },
    roll(p, g, v, settings) {
      if (!isHere(p, g, v)) return plainUpdates.roll(p, g, v, settings);
      kernel.roll(p.byteOffset, g.byteOffset, v.byteOffset, fours(p), settings.rate, settings.decay, settings.momentum, settings.nesterov ? 1 : 0);
    },
    adapt(p, g, m, v, settings) {
      if (!isHere(p, g, m, v)) return plainUpdates.adapt(p, g, m, v, settings);
      const { shrink, coupled, beta1, beta2, size, spread, epsilon } = settings;
      kernel.adapt(p.byteOffset, g.byteOffset, m.byteOffset, v.byteOffset, fours(p), shrink, coupled, beta1, 1 - beta1, beta2, 1 - beta2, size, spread, epsilon);
    },
    mix(x, y, a, b) {
      if (!isHere(x, y)) return plainUpdates.mix(x, y, a, b);
      kernel.mix(x.byteOffset, y.byteOffset, fours(x), a, b);
    },
    scale(x, factor) {
      if (!isHere(x)) return plainUpdates.scale(x, factor);
      kernel.scale(x.byteOffset, fours(x), factor);
    },
    squares: (x) => (isHere(x) ? kernel.squares(x.byteOffset, x.length) : plainUpdates.squares(x)),
  };
}
