/** A token's way through the state of a Mamba mixer, as WASM SIMD with a plain twin of the same bits over the same memory; see kernels/ssm/index.ts. */
import { exponential, lanes, silu } from './exponential.ts';
import { kernelsOver } from './instance.ts';
import { ssmWasm } from './ssm.wasm.ts';

/** Sizes of a mixer: B and C of a group serve heads / groups heads. */
export interface ScanSizes { readonly heads: number; readonly groups: number; readonly width: number; readonly size: number }

/** Addresses in bytes. */
export interface ScanPlace { readonly state: number; readonly x: number; readonly steps: number; readonly decays: number; readonly direct: number; readonly B: number; readonly C: number; readonly y: number }

/** Of a mixer whose channels have step sizes of their own, and states rates of decay. */
export type ChannelPlace = Omit<ScanPlace, 'decays'> & { readonly rates: number };

export interface SsmKernels {
  /** `bias` is 0 where there is none. */
  convolveToken(x: number, history: number, weights: number, bias: number, channels: number, kernel: number, out: number): void;
  /** Mamba-2. */
  scanToken(place: ScanPlace, sizes: ScanSizes): void;
  /** Mamba-1. */
  scanChannels(place: ChannelPlace, channels: number, size: number): void;
}

interface Exports {
  convolveToken(x: number, history: number, weights: number, bias: number, channels: number, kernel: number, out: number): void;
  scanToken(state: number, x: number, steps: number, decays: number, direct: number, B: number, C: number, heads: number, groups: number, width: number, size: number, y: number): void;
  scanChannels(state: number, x: number, steps: number, rates: number, direct: number, B: number, C: number, channels: number, size: number, y: number): void;
}

/** Kernels over a memory that is not shared. */
export function ssmKernels(memory: WebAssembly.Memory): SsmKernels {
  const run = kernelsOver<Exports>(ssmWasm(), memory);
  return {
    convolveToken: run.convolveToken,
    scanToken: ({ state, x, steps, decays, direct, B, C, y }, { heads, groups, width, size }) => run.scanToken(state, x, steps, decays, direct, B, C, heads, groups, width, size, y),
    scanChannels: ({ state, x, steps, rates, direct, B, C, y }, channels, size) => run.scanChannels(state, x, steps, rates, direct, B, C, channels, size, y),
  };
}

const f = Math.fround;

export function plainSsm(memory: WebAssembly.Memory): SsmKernels {
  return {
    convolveToken(x, history, weights, bias, channels, kernel, out) {
      const F = new Float32Array(memory.buffer);
      for (let c = 0; c < channels; c++) {
        let sum = bias === 0 ? 0 : F[bias / 4 + c];
        for (let k = 0; k < kernel; k++) sum = f(sum + f(F[weights / 4 + k * channels + c] * F[(k === kernel - 1 ? x / 4 : history / 4 + k * channels) + c]));
        F[out / 4 + c] = silu(sum);
      }
      if (kernel < 2) return;
      F.copyWithin(history / 4, history / 4 + channels, history / 4 + (kernel - 1) * channels);
      F.copyWithin(history / 4 + (kernel - 2) * channels, x / 4, x / 4 + channels);
    },
    scanToken({ state, x, steps, decays, direct, B, C, y }, { heads, groups, width, size }) {
      const F = new Float32Array(memory.buffer);
      for (let row = 0; row < heads * width; row++) {
        const head = Math.floor(row / width);
        const group = Math.floor(head / (heads / groups)) * size;
        const value = F[x / 4 + row];
        const given = f(F[steps / 4 + head] * value);
        const sums = [0, 0, 0, 0];
        for (let n = 0; n < size; n++) {
          const at = state / 4 + row * size + n;
          F[at] = f(f(F[at] * F[decays / 4 + head]) + f(given * F[B / 4 + group + n]));
          sums[n & 3] = f(sums[n & 3] + f(F[at] * F[C / 4 + group + n]));
        }
        F[y / 4 + row] = f(lanes(sums) + f(F[direct / 4 + head] * value));
      }
    },
    scanChannels({ state, x, steps, rates, direct, B, C, y }, channels, size) {
      const F = new Float32Array(memory.buffer);
      for (let c = 0; c < channels; c++) {
        const [value, step] = [F[x / 4 + c], F[steps / 4 + c]];
        const given = f(step * value);
        const sums = [0, 0, 0, 0];
        for (let n = 0; n < size; n++) {
          const at = state / 4 + c * size + n;
          const decay = exponential(f(step * F[rates / 4 + c * size + n]));
          F[at] = f(f(F[at] * decay) + f(given * F[B / 4 + n]));
          sums[n & 3] = f(sums[n & 3] + f(F[at] * F[C / 4 + n]));
        }
        F[y / 4 + c] = f(lanes(sums) + f(F[direct / 4 + c] * value));
      }
    },
  };
}
