/** Operators between quantized activations on WASM SIMD; layouts are described in kernels/qdq. */
import type { Windows } from '../interpreter/windows.ts';
import type { QdqWeight } from '../qdq/network.ts';
import { fasterOf, type Build } from './builds.ts';
import { kernelsOver } from './instance.ts';
import { qdqRelaxedWasm } from './qdq-relaxed.wasm.ts';
import { qdqWasm } from './qdq.wasm.ts';

/** Addresses and counts as the sources name them; `…ToFloats` leaves out the last three. */
export type QdqKernels = Readonly<Record<
  'convolve' | 'convolveToFloats' | 'convolveFloats' | 'depthwise' | 'depthwiseToFloats' | 'depthwiseFloats' | 'quantize' | 'dequantize' |
  'join' | 'addFloats' | 'clampFloats' | 'largest' | 'average' | 'averageFloats' | 'translate' | 'scatter' | 'surround' | 'turn' | 'gather', (...args: number[]) => void>>;

export type QdqBuild = Build;

/** Where memory that kernels do not use themselves begins. */
export const qdqReserved = 1024;
/** What kernels may read or write behind the end of a value. */
export const qdqSlack = 64;

export const qdqKernels = (memory: WebAssembly.Memory, build: QdqBuild): QdqKernels => kernelsOver<QdqKernels>(build === 'relaxed SIMD' ? qdqRelaxedWasm() : qdqWasm(), memory);

/**
 * The build with relaxed dot products where they take bytes from 0 to 255 and add without saturating, as instructions for
 * neural networks do; the standard leaves open what else may come out of them.
 */
export const fastestQdqBuild = (): QdqBuild => fasterOf(qdqRelaxedWasm, dotsAddUp);

/** Extreme and mixed codes against sums worked out here, once and after so many calls that the engine's better compiler has its turn. */
function dotsAddUp(): boolean {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const kernels = qdqKernels(memory, 'relaxed SIMD');
  const depth = 64;
  const [x, w, sides, out] = [1024, 2048, 8192, 9216];
  const codes = new Uint8Array(memory.buffer, x, 4 * depth).map((_, i) => (i < depth ? 255 : i < 2 * depth ? 128 : (i * 73) & 255));
  const values = Int8Array.from({ length: 8 * depth }, (_, i) => (i < depth ? 127 : i < 2 * depth ? -128 : ((i * 91) & 255) - 128));
  new Uint8Array(memory.buffer).set(codes, x);
  new Uint8Array(memory.buffer).set(packedBytes({ name: '', shape: [8, depth], values }, 1, 1), w);
  new Float32Array(memory.buffer, sides, 24).fill(1, 8, 16);
  const found = new Float32Array(memory.buffer, out, 32);
  const add = (): void => kernels.convolveToFloats(x, w, sides, 8, 4, 4, 1, 1, depth / 4, 0, 0, depth, 0, out, 32);
  const right = (): boolean => found.every((value, i) => {
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += codes[(i >> 3) * depth + k] * values[(i & 7) * depth + k];
    return value === sum;
  });
  add();
  if (!right()) return false;
  for (let turn = 0; turn < 2000; turn++) add();
  return right();
}

/** Kinds of elements in the steps of a convolution, and how many make four bytes. */
const inStep = { words: 2, bytes: 4, floats: 1 } as const;
export type StepKind = keyof typeof inStep;

/** Elements per step, runs in a row of a window and steps of a run. Columns without gaps between them make one run. */
export function runsOf(kind: StepKind, own: number, groups: number, { kernel, dilations }: Pick<Windows, 'kernel' | 'dilations'>): { runs: number; length: number; steps: number } {
  const joined = groups === 1 && (dilations[1] === 1 || kernel[1] === 1);
  const [runs, length] = joined ? [1, kernel[1] * own] : [kernel[1], own];
  return { runs, length, steps: Math.ceil(length / inStep[kind]) };
}

/** [outputs, own, rows, columns] → [outputs / 8][rows][runs][steps][8][elements of a step], zeros where a run is shorter. */
function packed<Values extends Int8Array | Int16Array | Float32Array>(
  { shape, values }: QdqWeight<ArrayLike<number>>, kind: StepKind, runs: number, group: { first: number; made: number }, make: (count: number) => Values,
): Values {
  const [, own, rows = 1, columns = 1] = shape.length === 3 ? [shape[0], shape[1], 1, shape[2]] : shape;
  const each = inStep[kind];
  const inRun = columns / runs;
  const steps = Math.ceil((inRun * own) / each);
  const out = make(Math.ceil(group.made / 8) * rows * runs * steps * 8 * each);
  for (let o = 0; o < group.made; o++) {
    for (let c = 0; c < own; c++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const at = (j % inRun) * own + c;
          const step = (((o >> 3) * rows + i) * runs + Math.floor(j / inRun)) * steps + Math.floor(at / each);
          out[(step * 8 + (o & 7)) * each + (at % each)] = values[(((group.first + o) * own + c) * rows + i) * columns + j];
        }
      }
    }
  }
  return out;
}

/** Weights of the outputs of every group in the layout of `convolve`, as bytes. */
export function packedBytes(weight: QdqWeight<Int8Array>, runs: number, groups: number): Uint8Array {
  return joinedGroups(weight, groups, (group) => packed(weight, 'bytes', runs, group, (count) => new Int8Array(count)));
}
export function packedWords(weight: QdqWeight<Int8Array>, runs: number, groups: number): Uint8Array {
  return joinedGroups(weight, groups, (group) => packed(weight, 'words', runs, group, (count) => new Int16Array(count)));
}
export function packedFloats(weight: QdqWeight<Float32Array>, runs: number, groups: number): Uint8Array {
  return joinedGroups(weight, groups, (group) => packed(weight, 'floats', runs, group, (count) => new Float32Array(count)));
}

function joinedGroups({ shape }: QdqWeight<unknown>, groups: number, make: (group: { first: number; made: number }) => Int8Array | Int16Array | Float32Array): Uint8Array {
  const made = shape[0] / groups;
  const parts = Array.from({ length: groups }, (_, g) => make({ first: g * made, made }));
  const bytes = parts.map((part) => new Uint8Array(part.buffer));
  const out = new Uint8Array(bytes[0].length * groups);
  bytes.forEach((part, g) => out.set(part, g * part.length));
  return out;
}

/** [channels, 1, …taps] → [channels / 8][pairs of taps][8][2] codes of 16 bits. */
export function packedPairs({ shape: [channels], values }: QdqWeight<Int8Array>): Uint8Array {
  const taps = values.length / channels;
  const pairs = Math.ceil(taps / 2);
  const out = new Int16Array(Math.ceil(channels / 8) * pairs * 16);
  for (let c = 0; c < channels; c++) for (let t = 0; t < taps; t++) out[(((c >> 3) * pairs + (t >> 1)) * 8 + (c & 7)) * 2 + (t & 1)] = values[c * taps + t];
  return new Uint8Array(out.buffer);
}

/** [channels, 1, …taps] → [channels / 8][taps][8] floats. */
export function packedTaps({ shape: [channels], values }: QdqWeight<Float32Array>): Uint8Array {
  const taps = values.length / channels;
  const out = new Float32Array(Math.ceil(channels / 8) * taps * 8);
  for (let c = 0; c < channels; c++) for (let t = 0; t < taps; t++) out[((c >> 3) * taps + t) * 8 + (c & 7)] = values[c * taps + t];
  return new Uint8Array(out.buffer);
}

/** Biases, factors and addends of outputs by eights, groups apart. */
export function packedSides(outputs: number, groups: number, bias: Int32Array | Float32Array, factors?: Float32Array, addends?: Float32Array): Uint8Array {
  const made = outputs / groups;
  const blocks = Math.ceil(made / 8);
  const bytes = new ArrayBuffer(groups * blocks * 96);
  const [whole, real] = [new Int32Array(bytes), new Float32Array(bytes)];
  for (let o = 0; o < outputs; o++) {
    const [g, own] = [Math.floor(o / made), o % made];
    const at = (g * blocks + (own >> 3)) * 24 + (own & 7);
    if (bias instanceof Int32Array) whole[at] = bias[o];
    else real[at] = bias[o];
    real[at + 8] = factors?.[o] ?? 0;
    real[at + 16] = addends?.[o] ?? 0;
  }
  return new Uint8Array(bytes);
}
