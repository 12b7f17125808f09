/** Trellis codes by WASM SIMD: the states that `encodeTrellis` finds, which judges it. */
import type { Trellis, TrellisEncoder } from '../../formats/trellis/viterbi.ts';
import { exportsOf, growTo } from './instance.ts';
import { trellisWasm } from './trellis.wasm.ts';

/** See kernels/trellis/index.ts. */
interface TrellisExports {
  readonly memory: WebAssembly.Memory;
  heap(): number;
  pass(
    values: number, sequence: number, steps: number, stateBits: number, stepBits: number, perState: number, prefix: number,
    scratch: number, states: number,
  ): void;
}

let instance: TrellisExports | undefined;
/** Whose values lie in the kernel's memory. */
let held: Trellis | undefined;

function start(bytes: number): TrellisExports {
  if (!instance) {
    instance = exportsOf<TrellisExports>(new WebAssembly.Module(trellisWasm()));
  }
  growTo(instance.memory, instance.heap() + bytes);
  return instance;
}

const align = (address: number): number => (address + 63) & ~63;

/** Four prefixes go side by side; with fewer there is no kernel. */
export const hasTrellisKernel = ({ stateBits, stepBits }: Trellis): boolean => stateBits - stepBits >= 2;

export const encodeTrellisFast: TrellisEncoder = (trellis, sequences, length) => {
  const { stateBits, stepBits, perState } = trellis;
  const steps = length / perState;
  const prefixes = 2 ** (stateBits - stepBits);
  const valueBytes = align(4 * trellis.values.length);
  const sequenceBytes = align(4 * length);
  const statesBytes = align(2 * steps);
  const kernel = start(valueBytes + sequenceBytes + statesBytes + 8 * prefixes + 2 * steps * prefixes + 64);
  const values = align(kernel.heap());
  const sequenceAt = values + valueBytes;
  const statesAt = sequenceAt + sequenceBytes;
  const scratch = statesAt + statesBytes;
  const { buffer } = kernel.memory;
  if (held !== trellis) {
    inReadingOrder(trellis, new Float32Array(buffer, values, trellis.values.length));
    held = trellis;
  }
  const sequence = new Float32Array(buffer, sequenceAt, length);
  const found = new Uint16Array(buffer, statesAt, steps);
  const pass = (prefix: number): void => kernel.pass(values, sequenceAt, steps, stateBits, stepBits, perState, prefix, scratch, statesAt);
  const half = (steps >> 1) * perState;
  const states = new Uint16Array(sequences.length / perState);
  for (let at = 0; at < sequences.length; at += length) {
    sequence.set(sequences.subarray(at + half, at + length));
    sequence.set(sequences.subarray(at, at + half), length - half);
    pass(-1);
    const prefix = found[steps - (steps >> 1)] >>> stepBits;
    sequence.set(sequences.subarray(at, at + length));
    pass(prefix);
    states.set(found, at / perState);
  }
  return states;
};

/** Values in the order in which the kernel reads them. */
function inReadingOrder({ stateBits, stepBits, perState, values }: Trellis, out: Float32Array): void {
  const prefixes = 2 ** (stateBits - stepBits);
  const states = 2 ** stateBits;
  let at = 0;
  for (let o = 0; o < prefixes; o += 4) {
    for (let s = o; s < states; s += prefixes) {
      for (let part = 0; part < perState; part++, at += 4) out.set(values.subarray(part * states + s, part * states + s + 4), at);
    }
  }
}
