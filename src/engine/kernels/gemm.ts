/**
 * Error feedback on tiles: the factor of a second moment and the update it drives, as WASM SIMD with plain twins.
 * Layouts are described in kernels/gemm/index.ts. Both give the same bits: every element is reduced in ascending
 * order of the inner index, one rounding per multiply and per add.
 */
import { notPositive, unitUpperFactor } from '../../numeric/cholesky.ts';
import { gemmWasm } from './gemm.wasm.ts';
import { exportsOf } from './instance.ts';

/** Rows per strip of a tile. */
export const stripRows = 8;

/** The unit upper factor U of a permuted, damped second moment H = U·D·Uᵀ, as float32 panels of four columns. */
export interface UnitUpper {
  /** Columns of H. */
  readonly size: number;
  /** `size` rounded up to a multiple of four; padding columns are uncoupled. */
  readonly padded: number;
  readonly panels: Float32Array;
}

/** A symmetric matrix [size, size] seen through a column order, with `damping` added to its diagonal. */
export interface Moment {
  readonly values: Float32Array | Float64Array;
  readonly size: number;
  /** Position → column of `values`. */
  readonly order: Uint32Array;
  readonly damping: number;
}

/** Rows in flight: values still to be rounded and the errors made so far, both [strips, padded columns, 8]. */
export interface FeedbackTile {
  readonly weights: Float32Array;
  readonly errors: Float32Array;
  /** weights[·][k] += Σ_j errors[·][j]·U[j][k] for the columns k of panels [p0, p1) and j in [j0, j1), in order of j. */
  feedback(p0: number, p1: number, j0: number, j1: number): void;
}

export interface FeedbackKernel {
  /** Throws when the damped moment is not positive definite. */
  factor(moment: Moment): UnitUpper;
  tile(upper: UnitUpper, strips: number): FeedbackTile;
}

const panelStart = (p: number): number => 8 * p * (p + 1);
const padTo4 = (n: number): number => (n + 3) & ~3;

export const plainFeedback: FeedbackKernel = {
  factor({ values, size, order, damping }) {
    const padded = padTo4(size);
    const h = new Float64Array(padded * padded);
    for (let i = 0; i < padded; i++) h[i * padded + i] = 1;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) h[i * padded + j] = values[order[i] * size + order[j]] + (i === j ? damping : 0);
    }
    const { upper } = unitUpperFactor(h, padded);
    const panels = new Float32Array(panelStart(padded / 4));
    for (let k = 0; k < padded; k++) {
      for (let j = 0; j <= k; j++) panels[panelStart(k >> 2) + 4 * j + (k & 3)] = upper[j * padded + k];
    }
    return { size, padded, panels };
  },
  tile({ padded, panels }, strips) {
    const weights = new Float32Array(strips * padded * stripRows);
    const errors = new Float32Array(weights.length);
    return {
      weights, errors,
      feedback(p0, p1, j0, j1) {
        for (let s = 0; s < strips; s++) {
          const strip = s * padded * stripRows;
          for (let k = 4 * p0; k < 4 * p1; k++) {
            for (let r = 0; r < stripRows; r++) {
              let w = weights[strip + k * stripRows + r];
              for (let j = j0; j < j1; j++) {
                const term = Math.fround(errors[strip + j * stripRows + r] * panels[panelStart(k >> 2) + 4 * j + (k & 3)]);
                w = Math.fround(w + term);
              }
              weights[strip + k * stripRows + r] = w;
            }
          }
        }
      },
    };
  },
};

interface GemmExports {
  cholesky(base: number, panels: number, first: number, last: number): number;
  feedback(w: number, e: number, u: number, cols: number, strips: number, p0: number, p1: number, j0: number, j1: number): void;
}

/** Panels factored together; their slices stay in the second-level cache. */
const blockPanels = 16;

let compiled: WebAssembly.Module | undefined;

function instantiate(bytes: number): { memory: WebAssembly.Memory; kernel: GemmExports } {
  compiled ??= new WebAssembly.Module(gemmWasm());
  const memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil(bytes / 65536)) });
  return { memory, kernel: exportsOf<GemmExports>(compiled, memory) };
}

export const wasmFeedback: FeedbackKernel = {
  factor({ values, size, order, damping }) {
    const padded = padTo4(size);
    const count = padded / 4;
    const { memory, kernel } = instantiate(panelStart(count) * 8);
    const l = new Float64Array(memory.buffer, 0, panelStart(count));
    const last = padded - 1;
    for (let row = 0; row < padded; row++) {
      const base = panelStart(row >> 2) + (row & 3);
      const i = last - row;
      if (i >= size) {
        l[base + 4 * row] = 1;
        continue;
      }
      const from = order[i] * size;
      for (let k = padded - size; k < row; k++) l[base + 4 * k] = values[from + order[last - k]];
      l[base + 4 * row] = values[from + order[i]] + damping;
    }
    let failed = -1;
    for (let p = 0; p < count && failed < 0; p += blockPanels) failed = kernel.cholesky(0, count, p, Math.min(p + blockPanels, count));
    if (failed >= 0) throw notPositive(failed, l[panelStart(failed >> 2) + 4 * failed + (failed & 3)]);
    const panels = new Float32Array(panelStart(count));
    for (let k = 0; k < padded; k++) {
      const inner = last - k;
      const pivot = l[panelStart(inner >> 2) + 4 * inner + (inner & 3)];
      const to = panelStart(k >> 2) + (k & 3);
      for (let j = 0; j <= k; j++) {
        const row = last - j;
        panels[to + 4 * j] = l[panelStart(row >> 2) + 4 * inner + (row & 3)] / pivot;
      }
    }
    return { size, padded, panels };
  },
  tile({ padded, panels }, strips) {
    const length = strips * padded * stripRows;
    const { memory, kernel } = instantiate((panels.length + 2 * length) * 4);
    new Float32Array(memory.buffer, 0, panels.length).set(panels);
    const w = panels.length * 4;
    const e = w + length * 4;
    return {
      weights: new Float32Array(memory.buffer, w, length),
      errors: new Float32Array(memory.buffer, e, length),
      feedback: (p0, p1, j0, j1) => kernel.feedback(w, e, 0, padded, strips, p0, p1, j0, j1),
    };
  },
};
